"""Small builders for values of the data plane, and parts that stand in for the world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any

from failover.engine.benches import BenchEntry, Benches
from failover.engine.plan import NO_ADAPTER, Candidate, Plan, Times
from failover.engine.policy import BenchPolicy, FailoverPolicy
from providers.adapters.classify import classify
from providers.adapters.judging import Judging
from providers.adapters.spec import CredentialSpec, ProviderSpec
from providers.adapters.upstream import Credential
from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS
from routing.gateway.deciding.snapshot import CandidateSpec, Content, PoolSpec, Snapshot, checksum
from routing.gateway.deciding.table import Table, compile_table
from routing.gateway.records.record import (
    COLUMNS,
    AttemptRecord,
    DecisionRecord,
    Detail,
    FeaturesRecord,
    Outcome,
    RequestRecord,
)

WALL = 1_800_000_000.0


class FakeClock:
    """Monotonic seconds that move only when told, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class FakeResponse:
    """What a scripted upstream answers: pieces of a body, or an exception among them."""

    flows = False

    def __init__(
        self,
        status: int = 200,
        pieces: Sequence[bytes | Exception] = (),
        headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    ) -> None:
        self.status = status
        self.headers = list(headers)
        self.closed = False
        self._pieces = list(pieces)

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def read(self, deadline: float) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def read_all(self, deadline: float) -> bytes:
        body = b""
        while piece := await self.read(deadline):
            body += piece
        return body

    def close(self) -> None:
        self.closed = True


Answer = FakeResponse | Exception


class FakeUpstream:
    """A provider that plays a script; the last answer repeats. `calls` holds credential labels."""

    def __init__(
        self, name: str, script: Sequence[Answer | Callable[[], Answer]], labels: Sequence[str]
    ) -> None:
        self.name = name
        self.credentials = tuple(
            Credential(label=label, key_id=f"{name}:{label}", secret=f"secret-{label}")
            for label in labels
        )
        self.needs_credential = False
        self.judge = Judging(tuple(c.secret for c in self.credentials))
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self.script = list(script)

    adapter = NO_ADAPTER

    protocols = frozenset(PROTOCOLS)

    def spoken(self, protocol: str) -> str:
        return protocol

    def classify(self, status: int, headers: Any, body: bytes, *, now: float) -> Failure:
        return classify(status, headers, body, now=now)

    async def send(self, transport: Any, *, credential: Any, body: bytes, **rest: Any) -> Any:
        self.calls.append(credential.label if credential else "")
        self.bodies.append(body)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


def candidate(
    name: str = "one/m",
    *,
    upstream: Any = None,
    bench: BenchPolicy | None = None,
    times: Times | None = None,
    **changes: Any,
) -> Candidate:
    provider, _, model = name.partition("/")
    return Candidate(
        name=name,
        provider=provider,
        model=model,
        upstream=upstream,
        times=times or Times(),
        bench_policy=bench or BenchPolicy(),
        **changes,
    )


def planned(*steps: Candidate, policy: FailoverPolicy | None = None, **changes: Any) -> Plan:
    return Plan(
        steps=steps,
        rejected=(),
        preferred=steps[0],
        policy=policy or FailoverPolicy(),
        strategy="priority_failover",
        **changes,
    )


def failure(fault: Fault, status: int | None = None, **changes: Any) -> Failure:
    return Failure(fault=fault, message=f"{fault.value} happened", status=status, **changes)


def benches(clock: FakeClock | None = None, seed: int = 1) -> Benches:
    return Benches(rng=Random(seed), wall=(clock or FakeClock()).wall)


def bench_entry(subject: str = "one/m", **changes: Any) -> BenchEntry:
    fields: dict[str, Any] = {
        "subject": subject,
        "credential": None,
        "since": WALL,
        "until": WALL + 60,
        "reason": "status",
    }
    return BenchEntry(**{**fields, **changes})


_RECORDS = count(1)


def request_record(**changes: Any) -> RequestRecord:
    """
    A plain request that the first candidate answered; its id is one of its own.

    `changes` may also name fields of its detail, of its features and of its decision.
    """
    number = next(_RECORDS)
    fields: dict[str, Any] = {
        "id": f"{int(WALL * 1000) + number:012x}7{number & 0xFFF:03x}a{number:015x}",
        "request_id": f"req_{number}",
        "duration_ms": 12.5,
        "outcome": Outcome.ANSWERED,
        "key": "team-a",
        "canonical_model": "gpt",
        "provider": "one",
        "model": "m",
        "status": 200,
    }
    parts = {name: changes.pop(name) for name in list(changes) if name not in COLUMNS}
    attempts = parts.pop("attempts", (attempt_record(),))
    features = FeaturesRecord(**_taken(parts, FeaturesRecord.__struct_fields__))
    decision = DecisionRecord(**_taken(parts, DecisionRecord.__struct_fields__))
    detail = Detail(attempts=attempts, features=features, decision=decision, **parts)
    return RequestRecord(**{**fields, "calls": len(attempts), "detail": detail, **changes})


def _taken(parts: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: parts.pop(name) for name in names if name in parts}


def attempt_record(**changes: Any) -> AttemptRecord:
    fields: dict[str, Any] = {
        "provider": "one",
        "model": "m",
        "credential": "main",
        "started_ms": 0.25,
        "headers_ms": 9.5,
        "content_ms": 10.0,
        "ended_ms": 12.0,
        "status": 200,
    }
    return AttemptRecord(**{**fields, **changes})


def provider(name: str, **changes: Any) -> ProviderSpec:
    fields: dict[str, Any] = {
        "name": name,
        "kind": "openai_compatible",
        "base_url": "http://127.0.0.1:9/v1",
        "credentials": (CredentialSpec(label="main", secret=f"key-of-{name}"),),
    }
    return ProviderSpec(**{**fields, **changes})


def pool(name: str, *candidates: str | CandidateSpec, **changes: Any) -> PoolSpec:
    """A pool; "provider/model" stands for a candidate with nothing else set."""
    specs = tuple(
        c
        if isinstance(c, CandidateSpec)
        else CandidateSpec(provider=c.split("/", 1)[0], model=c.split("/", 1)[1])
        for c in candidates
    )
    return PoolSpec(name=name, candidates=specs, **changes)


def content(*pools: PoolSpec, **changes: Any) -> Content:
    """Pools, and a provider for each name that they mention."""
    if "providers" not in changes:
        names = sorted({c.provider for p in pools for c in p.candidates})
        changes["providers"] = tuple(provider(name) for name in names)
    return Content(pools=pools, **changes)


def snapshot(of: Content, generation: int = 1) -> Snapshot:
    return Snapshot(generation=generation, created_at=WALL, checksum=checksum(of), content=of)


def table(*pools: PoolSpec, **changes: Any) -> Table:
    return compile_table(
        snapshot(content(*pools, **changes)), decrypt=lambda token: token, environ={}
    )
