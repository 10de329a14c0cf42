"""
One gateway, one provider made of bytes, and what has to hold of every request between them.

`ask` checks an answer at once; `settle` runs after every test, `close_books` after every module:

1. a stream is sound to its last byte or ends in an error event; anything else is whole JSON;
2. no more upstream calls than max_attempts, and no answer after the deadline;
3. one record a request, with one attempt a call, that say what the caller was told;
4. no key in an answer or in the log, no prompt in the log;
5. sockets and threads are back to where they were, memory nearly;
6. who served, and who was tried, is what the provider's own log says.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults import says
from tests.faults.caller import Answer, Caller, request
from tests.faults.provider import GATE, KEEP, Script, ScriptedProvider
from tests.faults.tongues import CHAT, SPARE_TEXT, TONGUES, Heard, Tongue
from tests.support.processes import wait_for
from tests.support.validator import Told, read_error, read_json, read_stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.gateways import GatewayProcess

SPARE = "spare"
PROMPT = "a-prompt-that-nobody-may-log"
MAX_ATTEMPTS = 3
DEADLINE_S = 8.0
SLACK_S = 4.0  # a machine that is busy with other tests
THREAD_SLACK = 8  # the loop's and the admin's own pools grow to their size, not to the load's
MEMORY_SLACK_KB = 64 << 10
EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One fault: what the provider sends, to callers of which kind, and what is configured for it.

    `unlogged` calls never reach the provider. `is_alone`: nobody stands behind it. `tongue` is the
    protocol that caller and providers speak.
    """

    script: Script = ()
    timeouts: Mapping[str, float] = field(default_factory=dict)
    failover: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = ""
    unlogged: int = 0
    is_alone: bool = False
    tongue: Tongue = CHAT


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request and what has become of it."""

    request_id: str
    test: str
    primary: str = ""
    calls: list[str] = field(default_factory=list)
    unlogged: int = 0
    answer: Answer | None = None
    told: Told | None = None
    heard: Heard | None = None


class Field:
    """`ask` a case by its name; a model of the same name stands for it in the configuration."""

    def __init__(
        self,
        gateway: GatewayProcess,
        provider: ScriptedProvider,
        spare: ScriptedProvider,
        cases: Mapping[str, Case],
    ) -> None:
        self.gateway = gateway
        self.provider = provider
        self.spare = spare  # on a port of its own: connections of a port are shared
        self.cases = cases
        self.test = ""
        self.asked: list[Asked] = []
        self._secrets = [gateway.key, *map(key_of, (SPARE, *cases))]
        self._sockets = self._threads = self._memory_kb = self._log_seen = 0
        self._made = 0
        self._worker = next(iter(gateway.workers()))
        provider.scripts |= {name: case.script for name, case in cases.items()}
        for tongue in TONGUES:
            for is_stream in (False, True):
                spare.scripts[spare_of(tongue, is_stream=is_stream)] = well(tongue, is_stream)

    def begin(self) -> None:
        """Before a module: note where everything stands, once what comes with use has come."""
        for stream in (False, True):
            self.ask(SPARE, stream=stream)
        self.gateway.request("/api/benches")
        self.gateway.request("/api/requests")
        wait_for(lambda: self.spare.connections == 1, what="one kept connection")
        self._sockets = self._settled_sockets()
        self._threads = self._status("Threads")
        self._memory_kb = self._status("VmRSS")

    # Asking

    def new_request(self, unlogged: int = 0) -> Asked:
        self._made += 1
        asked = Asked(
            request_id=f"fault-{os.getpid()}-{self._made}", test=self.test, unlogged=unlogged
        )
        self.asked.append(asked)
        return asked

    def body(self, name: str, *, stream: bool, usage: bool = False, **more: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": f"{name}-{'stream' if stream else 'plain'}",
            "messages": [{"role": "user", "content": PROMPT}],
        }
        if stream:
            body["stream"] = True
        if usage:
            body["stream_options"] = {"include_usage": True}
        return body | more

    def request(self, body: Any, asked: Asked, **headers: str) -> bytes:
        return request(body, key=self.gateway.key, x_request_id=asked.request_id, **headers)

    def ask(
        self,
        name: str,
        *,
        stream: bool = False,
        usage: bool = False,
        more: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> Asked:
        """Ask for a case, and check the answer as far as it can be checked by itself."""
        case = self.cases.get(name, Case())
        return self.ask_raw(
            self.body(name, stream=stream, usage=usage, **more or {}), usage=usage,
            unlogged=case.unlogged, primary=f"{SPARE}-stream" if stream and name == SPARE else name,
            **headers,
        )  # fmt: skip

    def ask_raw(
        self,
        body: Any,
        *,
        usage: bool = False,
        unlogged: int = 0,
        primary: str = "",
        **headers: str,
    ) -> Asked:
        asked = self.new_request(unlogged)
        asked.primary = primary
        answer = self._exchange(self.request(body, asked, **headers), asked, primary)
        asked.told = self._read(answer, usage=usage)
        self._check_calls(asked)
        return asked

    def ask_in(self, tongue: Tongue, name: str, *, stream: bool) -> Asked:
        """The same in any protocol; what the caller hears is in `heard`."""
        asked = self.new_request(self.cases[name].unlogged)
        asked.primary = name
        model = f"{name}-{'stream' if stream else 'plain'}"
        sent = request(
            tongue.body(model, PROMPT, stream), key=self.gateway.key,
            path=tongue.path(model, stream), x_request_id=asked.request_id,
        )  # fmt: skip
        answer = self._exchange(sent, asked, name)
        assert answer.status == 200, answer.body
        hear = tongue.hear_stream if stream else tongue.hear_whole
        asked.heard = hear(answer.body)
        self._check_calls(asked)
        return asked

    def _exchange(self, sent: bytes, asked: Asked, primary: str) -> Answer:
        """The answer to `sent`, and who was called for it."""
        first = len(self.provider.calls)
        began = time.monotonic()
        with Caller(self.gateway.url) as caller:
            self.provider.close_gate()
            caller.send(sent)
            case = self.cases.get(primary, Case())
            if GATE in case.script:
                caller.until(b"content")  # it has come through to the caller
                self.provider.open_gate()
            answer = caller.answer()
        # The promise: whatever a provider does, the caller hears by the deadline.
        assert time.monotonic() - began < DEADLINE_S + SLACK_S
        asked.answer = answer
        asked.calls = [call.provider for call in self.provider.calls[first:]]
        self._check_secrets("an answer", caller.received)
        return answer

    def _read(self, answer: Answer, *, usage: bool) -> Told | None:
        """The stream, if it is one; sound JSON otherwise."""
        kind = answer.headers["content-type"]
        if kind == EVENT_STREAM:
            assert answer.status == 200
            return read_stream(answer.body, wants_usage=usage)
        document = read_json(answer.body)
        if answer.status != 200:
            read_error(document)
        return None

    def _check_calls(self, asked: Asked) -> None:
        answer, calls = asked.answer, asked.calls
        assert answer is not None
        made = len(calls) + asked.unlogged
        assert made <= MAX_ATTEMPTS
        headers = answer.headers
        assert headers["x-request-id"] == asked.request_id
        if "x-switchyard-attempts" in headers:
            assert int(headers["x-switchyard-attempts"]) == made
        elif asked.told is None or not asked.told.heartbeats:  # no early 200
            assert answer.status != 200
            assert calls == []
        if "x-switchyard-provider" in headers:
            assert headers["x-switchyard-provider"] == calls[-1]
            assert (headers["x-switchyard-failover"] == "true") == (calls[-1] != asked.primary)
        if answer.status >= 500 and asked.heard is None:
            stated = json.loads(answer.body)["error"]["attempts"]
            assert len(stated) == made
            assert [a["provider"] for a in stated][asked.unlogged :] == calls

    # What has to hold afterwards

    def settle(self) -> None:
        """After a test: nothing has been said that should not, and nothing is left open."""
        log = self.gateway.logs().encode()
        self._check_secrets("the log", log[self._log_seen :], PROMPT)
        assert b"Traceback" not in log[self._log_seen :], log[self._log_seen :].decode()
        self._log_seen = len(log)
        wait_for(
            lambda: self.provider.connections == 0 and self._open_sockets() <= self._sockets,
            what=f"sockets to be back at {self._sockets}, from {self._open_sockets()}",
        )

    def close_books(self) -> None:
        """After a module: one record for each request, and no more memory or threads."""
        wanted = {asked.request_id: asked for asked in self.asked}
        found: Counter[str] = Counter()

        def look() -> bool:
            found.clear()
            found.update(
                row["request_id"] for row in self._records() if row["request_id"] in wanted
            )
            return len(found) == len(wanted)

        wait_for(look, what="a record for every request", limit_s=10)
        assert set(found.values()) == {1}
        for asked in self.asked:
            self._check_record(asked)
        self.asked.clear()
        wait_for(self._is_idle, what="/metrics to say that nothing is in flight")
        assert self._status("Threads") <= self._threads + THREAD_SLACK
        grown = self._status("VmRSS") - self._memory_kb
        assert grown < MEMORY_SLACK_KB, f"the worker has grown by {grown} kB"

    def _is_idle(self) -> bool:
        metrics = self.gateway.request("/metrics").body
        self._check_secrets("the metrics", metrics, PROMPT)
        name = b"switchyard_requests_in_flight"
        figures = [line.split()[-1] for line in metrics.splitlines() if line.startswith(name)]
        return bool(figures) and all(float(figure) == 0 for figure in figures)

    def _records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        path = "/api/requests?limit=500"
        while path:
            page = self.gateway.request(path).json()
            rows += page["results"]
            path = (page["next"] or "").removeprefix(self.gateway.url)
        return rows

    def record(self, asked: Asked) -> dict[str, Any]:
        """The record of a request, as soon as it is in the database."""

        def look() -> dict[str, Any] | None:
            reply = self.gateway.request(f"/api/requests/{asked.request_id}")
            row: dict[str, Any] | None = reply.json() if reply.status == 200 else None
            return row

        return wait_for(look, what=f"the record of {asked.request_id}")

    def _check_record(self, asked: Asked) -> None:
        row = self.record(asked)
        tried = [attempt["provider"] for attempt in row["attempts"]]
        assert len(tried) == len(asked.calls) + asked.unlogged, asked
        assert tried[asked.unlogged :] == asked.calls, asked
        assert PROMPT not in json.dumps(row)
        self._check_secrets("a record", json.dumps(row).encode())
        answer = asked.answer
        if answer is None:
            assert row["outcome"] == "abandoned", asked
            return
        assert row["status"] == answer.status, asked
        if answer.status == 200:
            said = asked.told or asked.heard
            broke = said is not None and said.error is not None
            ending = "answered" if not broke else "interrupted" if row["provider"] else "failed"
            assert row["outcome"] == ending, (asked, row)
            assert row["provider"] in {"", asked.calls[-1]}
            assert row["provider"] == answer.headers.get("x-switchyard-provider", row["provider"])
        else:
            assert row["outcome"] in {"failed", "refused", "caller_error"}, (asked, row)

    def _check_secrets(self, where: str, data: bytes, *more: str) -> None:
        for secret in (*self._secrets, *more):
            assert secret.encode() not in data, f"{secret} stands in {where}"

    def is_benched(self, provider: str) -> bool:
        rows = self.gateway.request("/api/benches").json()
        return any(row["model"].startswith(f"{provider}/") for row in rows)

    # /proc

    def _open_sockets(self) -> int:
        count = 0
        for descriptor in Path(f"/proc/{self._worker}/fd").iterdir():
            try:
                count += str(descriptor.readlink()).startswith("socket:")
            except OSError:
                continue  # closed while we looked
        return count

    def _settled_sockets(self) -> int:
        """How many sockets are open once the ones just used have been closed."""
        least = self._open_sockets()
        for _turn in range(50):
            time.sleep(0.01)
            least = min(least, self._open_sockets())
        return least

    def _status(self, name: str) -> int:
        """A figure of /proc/PID/status: kB, or a count."""
        for line in Path(f"/proc/{self._worker}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(name)

    def forget_peak(self) -> None:
        """Let the peak of the worker's memory begin at what it holds now."""
        Path(f"/proc/{self._worker}/clear_refs").write_text("5")

    def peak_kb(self) -> int:
        return self._status("VmHWM")


def key_of(provider: str) -> str:
    return f"sk-secret-of-{provider}-0123456789"


def config_of(
    cases: Mapping[str, Case], provider: ScriptedProvider, spare: ScriptedProvider
) -> dict[str, Any]:
    """A provider for each case, and two pools of it: one for plain callers, one for streams."""
    failover = {"max_attempts": MAX_ATTEMPTS, "deadline_s": DEADLINE_S, "backoff": {"base_ms": 1}}
    providers, pools = {}, {}
    for kind in ("plain", "stream"):
        for tongue in TONGUES:
            name = spare_of(tongue, is_stream=kind == "stream")
            providers[name] = _entry(spare.base_url(name), key_of(SPARE), tongue)
        pools[f"{SPARE}-{kind}"] = {
            "candidates": [{"provider": spare_of(CHAT, is_stream=kind == "stream"), "model": "m"}]
        }
        for case_name, case in cases.items():
            first = {"provider": case_name, "model": f"m-{kind}"}
            behind = {
                "provider": spare_of(case.tongue, is_stream=kind == "stream"), "model": "m",
            }  # fmt: skip
            pools[f"{case_name}-{kind}"] = {
                "candidates": [first] if case.is_alone else [first, behind],
                "timeouts": dict(case.timeouts),
                "failover": dict(case.failover),
            }
    for case_name, case in cases.items():
        base_url = case.base_url or provider.base_url(case_name)
        providers[case_name] = _entry(base_url, key_of(case_name), case.tongue)
    routing = {"defaults": {"failover": failover}, "model_pools": pools}
    return {"providers": providers, "routing": routing}


def _entry(base_url: str, key: str, tongue: Tongue) -> dict[str, Any]:
    return {
        "kind": "openai_compatible", "base_url": base_url, "api_key": key,
        "trust_env_proxy": False, "protocols": [tongue.protocol],
    }  # fmt: skip


def spare_of(tongue: Tongue, *, is_stream: bool) -> str:
    """Who stands behind the faulty one, and speaks as it does."""
    name = SPARE if tongue is CHAT else f"{SPARE}-{tongue.protocol}"
    return f"{name}-stream" if is_stream else name


def well(tongue: Tongue, is_stream: bool) -> Script:
    """What the spare says; of chat's streams it states the usage, where that is asked for."""
    if not is_stream:
        return (says.whole(says.dump(tongue.reply(SPARE_TEXT))), KEEP)
    told = tongue.ended([SPARE_TEXT])
    if tongue is CHAT:
        told = told.removesuffix(tongue.done) + says.USED + tongue.done
    return (says.chunked(told), KEEP)
