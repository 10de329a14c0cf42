"""What the soak asks, of whom, and what a right answer is."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.support.replies import Mode, contents

KEY: Final = "sy_soak-0123456789abcdef0123456789abcdef"
CHAT: Final = "/v1/chat/completions"
SAID: Final = "Soak, please."
# Upstreams by the providers' names; `faulty` and `flapping` are those that misbehave.
UPSTREAMS: Final = ("steady", "second", "faulty", "flapping")

# Before the first content: the second candidate answers, whatever this is.
HIDDEN: Final = (
    "status:500", "status:503", "status:529", "status:408", "status:429:retry-after=1",
    "status:401", "status:402", "status:403", "status:404:code=model_not_found", "status:302",
    "reset", "close", "stall", "html", "empty", "truncated", "cut", "error_object", "no_choices",
    "stale",
)  # fmt: skip
OF_CREDENTIALS: Final = ("status:401", "status:402", "status:403", "status:429")
# The same, in a stream; a plain request gets an empty body.
HIDDEN_IN_STREAMS: Final = ("empty_stream", "done_only", "role_only", "error_first")
# After content: a stream breaks with an error event, a plain answer comes from the second.
BREAKING: Final = (
    "reset_after:3", "stall_after:3", "error_after:3", "garbage_after:3", "cut_after:3",
)  # fmt: skip
# The caller's own mistake, in the provider's words.
CALLERS: Final = ("status:400", "status:422")
WELL: Final = ("ok", "ok:chunks=60", "ok:chunks=300:chunk_bytes=400", "slow:ttft_ms=60:gap_ms=15")
SIMULATED: Final = (
    "status:503", "status:429:retry_after=7", "stall", "slow:ttft_ms=50:gap_ms=5", "cut:3",
    "clean_cut:3", "empty", "error_event", "error_event:3", "flaky:0.3",
)  # fmt: skip
SIMULATED_BREAKING: Final = ("cut:3", "clean_cut:3", "error_event:3")

WHOLE, BROKEN, ERROR = "whole", "broken", "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    One kind of request and what may come of it.

    `right` are the answers that are right; every other honest error counts as a surprise.
    `body` replaces the chat request, `leaves` names the moment at which the caller hangs up, and
    `is_recorded` is None where it cannot be known whether the gateway ever saw the request.
    """

    name: str
    right: frozenset[str]
    model: str = ""
    stream: bool = False
    body: bytes | None = None
    key: str = KEY
    method: str = "POST"
    path: str = CHAT
    leaves: str = ""
    is_recorded: bool | None = True
    statuses: frozenset[int] = frozenset()


def kinds() -> list[tuple[int, Kind]]:
    """Every kind with its weight in the mix."""
    found: list[tuple[int, Kind]] = []

    def chat(weight: int, name: str, model: str, plain: set[str], stream: set[str]) -> None:
        found.append((weight, Kind(name=f"plain {name}", model=model, right=frozenset(plain))))
        found.append(
            (weight, Kind(name=f"stream {name}", model=model, stream=True, right=frozenset(stream)))
        )

    for index, mode in enumerate(WELL):
        chat(24, mode, f"well-{index}", {WHOLE}, {WHOLE})
    for index, mode in enumerate(HIDDEN + HIDDEN_IN_STREAMS):
        chat(2, mode, f"hidden-{index}", {WHOLE}, {WHOLE})
    for index, mode in enumerate(BREAKING):
        chat(2, mode, f"breaking-{index}", {WHOLE}, {BROKEN, WHOLE})
    for index, mode in enumerate(CALLERS):
        chat(2, mode, f"caller-{index}", {ERROR}, {ERROR})
    for index, fault in enumerate(SIMULATED):
        stream = {WHOLE, BROKEN} if fault in SIMULATED_BREAKING else {WHOLE}
        chat(2, f"simulated {fault}", f"simulated-{index}", {WHOLE}, stream)
    chat(8, "port that comes and goes", "flapping", {WHOLE}, {WHOLE, BROKEN})
    chat(2, "nobody well", "hopeless", {ERROR}, {ERROR})
    chat(3, "edited", "edited", {WHOLE}, {WHOLE})
    found += [(3, kind) for kind in _mistakes()]
    found += [(4, kind) for kind in _hang_ups()]
    return found


def _mistakes() -> list[Kind]:
    error = frozenset({ERROR})

    def mistake(name: str, body: bytes, *statuses: int, **more: Any) -> Kind:
        return Kind(name=name, right=error, body=body, statuses=frozenset(statuses), **more)

    sound = chat_body("well-0", stream=False)
    return [
        mistake("not JSON", b'{"model": ', 400),
        mistake("an array", b"[1, 2]", 400),
        mistake("nothing", b"", 400),
        mistake("no model", b'{"messages": []}', 400),
        mistake("blank model", b'{"model": "", "messages": []}', 400),
        mistake("messages of a wrong type", b'{"model": "well-0", "messages": 7}', 400),
        mistake("no UTF-8", b'{"model": "\xff\xfe", "messages": []}', 400),
        mistake("unknown model", chat_body("nobody-knows-it", stream=False), 404),
        mistake("unknown key", sound, 401, key="sy_wrong", is_recorded=False),
        mistake("no key", sound, 401, key="", is_recorded=False),
        mistake("GET", b"", 405, method="GET", is_recorded=False),
        mistake("no such path", sound, 404, path="/v1/nothing", is_recorded=False),
    ]


def _hang_ups() -> list[Kind]:
    def left(name: str, model: str, leaves: str, *, stream: bool = False) -> Kind:
        return Kind(
            name=f"hang-up {name}", right=frozenset(), model=model, stream=stream, leaves=leaves,
            is_recorded=True if leaves == "content" else None,
        )  # fmt: skip

    return [
        left("in the head", "well-0", "head"),
        left("in the body", "well-0", "body"),
        left("at once", "well-3", "sent"),
        left("while nothing comes", f"hidden-{HIDDEN.index('stall')}", "soon"),
        left("in a stream", "well-3", "content", stream=True),
        left("in a fast stream", "well-2", "content", stream=True),
    ]


def chat_body(model: str, *, stream: bool) -> bytes:
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": SAID}]}
    return json.dumps({**asked, "stream": True} if stream else asked).encode()


def configuration(ports: Sequence[int], edit: int = 0) -> dict[str, Any]:
    """The configuration file after the `edit`-th edit."""
    urls = [f"http://127.0.0.1:{port}/v1" for port in ports]
    soon = {"connect_s": 1, "first_token_s": 1, "idle_s": 1, "total_s": 1}
    # It fails again and again, and has to be asked again and again.
    patient = {"failures": 10**8, "cooldown_s": 1, "max_cooldown_s": 1, "auth_cooldown_s": 1}
    providers: dict[str, Any] = {
        name: {"kind": "openai_compatible", "base_url": url, "api_key": f"sk-{name}-{edit % 3}"}
        for name, url in zip(UPSTREAMS, urls, strict=True)
    }
    providers["faulty"] |= {"timeouts": soon, "bench": patient}
    # The same server: what is held against its key must not keep the other faults from coming.
    providers["unpaid"] = providers["faulty"]
    providers["flapping"] |= {"timeouts": soon, "bench": {"cooldown_s": 1, "max_cooldown_s": 2}}
    pools: dict[str, Any] = {"hopeless": _pool("faulty/m~status:500", "faulty/m~close")}
    for index, mode in enumerate(WELL):
        pools[f"well-{index}"] = _pool(f"steady/m~{mode}", "second/m~ok", weight=1 + edit % 5)
    for prefix, modes in (
        ("hidden", HIDDEN + HIDDEN_IN_STREAMS), ("breaking", BREAKING), ("caller", CALLERS),
    ):  # fmt: skip
        for index, mode in enumerate(modes):
            who = "unpaid" if mode.startswith(OF_CREDENTIALS) else "faulty"
            pools[f"{prefix}-{index}"] = _pool(f"{who}/m~{mode}", "second/m~ok")
    for index, fault in enumerate(SIMULATED):
        name = f"sim-{index}"
        providers[name] = {"kind": "simulator", "fault": fault, "timeouts": soon, "bench": patient}
        pools[f"simulated-{index}"] = _pool(f"{name}/sim", "second/m~ok")
    pools["flapping"] = _pool("flapping/m~ok", "second/m~ok")
    pools["edited"] = _pool(*(("steady/m~ok", "second/m~ok")[:: 1 if edit % 2 else -1]))
    pools[f"edit-{edit}"] = _pool("steady/m~ok")
    return {
        "providers": providers,
        "routing": {"model_pools": pools},
        "keys": [{"name": "soak", "team": "soak", "key": KEY}],
    }


def _pool(*names: str, weight: int = 0) -> dict[str, Any]:
    pairs = [name.split("/", 1) for name in names]
    candidates: list[dict[str, Any]] = [{"provider": p, "model": m} for p, m in pairs]
    if not weight:
        return {"candidates": candidates}
    candidates[0]["weight"] = weight
    return {"strategy": "weighted_round_robin", "candidates": candidates}


def is_whole(text: str, headers: Mapping[str, str]) -> bool:
    """Whether `text` is all that the one who served, by the headers, had to say."""
    return text.strip() in _said(headers)


def is_beginning(text: str, headers: Mapping[str, str]) -> bool:
    """Whether `text` is where the one who served began, and nobody else's."""
    return any(said.startswith(text.strip()) for said in _said(headers))


def _said(headers: Mapping[str, str]) -> set[str]:
    """What the one who served may say: the tests' upstream says less when it does not stream."""
    provider = headers.get("x-switchyard-provider", "")
    model = headers.get("x-switchyard-provider-model", "")
    if provider in UPSTREAMS:
        modes = (Mode("ok"), Mode(model.partition("~")[2] or "ok"))
        return {"".join(contents(provider, mode)).strip() for mode in modes}
    who = f"provider {provider} answered as model {model}."
    return {f"Hello from Switchyard's simulator: {who} You said: {SAID}"}


class Mix:
    """Kinds by weight."""

    def __init__(self, seed: int) -> None:
        pairs = kinds()
        self.kinds = [kind for _, kind in pairs]
        self._weights = [weight for weight, _ in pairs]
        self._rng = random.Random(seed)

    def draw(self) -> Kind:
        return self._rng.choices(self.kinds, self._weights)[0]
