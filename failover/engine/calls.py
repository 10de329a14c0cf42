"""
One call to one candidate: what is sent, what came of it, and what that says about health.

`Served` carries the first bytes for the caller, and for a stream the rest of it. Whether and whom
to call next is the loop's to decide (attempts.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Protocol

from msgspec import Struct

from failover.engine.bench_rules import MAY_BE_THE_CALLERS
from failover.engine.benches import Benches, Key
from failover.engine.budget import RetryBudget
from failover.engine.loads import Loads, expected_tokens, total_tokens
from failover.engine.outcome import Attempt
from failover.engine.plan import Candidate, Fitting, Plan
from failover.engine.streams import Stream
from failover.engine.verdicts import VERDICTS, Scope
from providers.adapters.simulator.faults import SimulatedFault
from providers.adapters.simulator.pretending import Pretence
from providers.adapters.upstream import Credential, blames
from providers.errors import (
    BadFraming,
    ConnectFailed,
    ConnectionReset,
    Failure,
    Fault,
    PoolFull,
    ProviderError,
    UpstreamTimedOut,
)
from providers.protocols import Problem, Request, Usage
from providers.protocols.slices import LONG
from providers.protocols.translating import Translated
from providers.transport import Response, Transport, unpacked

Header = tuple[bytes, bytes]
Sleep = Callable[[float], Awaitable[None]]
Apart = Callable[[Callable[[], Any]], Awaitable[Any]]

_FAULTS: dict[type[ProviderError], Fault] = {
    ConnectFailed: Fault.CONNECT,
    ConnectionReset: Fault.RESET,
    UpstreamTimedOut: Fault.TIMEOUT,
    BadFraming: Fault.BAD_REPLY,
    PoolFull: Fault.BUSY,
}
# What a caller of any protocol is told, where a provider of another has said it.
_CODES = {
    Fault.CONTEXT_LENGTH: "context_length_exceeded",
    Fault.CONTENT_FILTER: "content_filter",
}
EARLY_S = 0.005  # the transport's timers may end a wait this much before its deadline


class Clock(Protocol):
    def __call__(self) -> float: ...


class Call(Struct, kw_only=True):
    """
    One request on its way to providers.

    `deadline` (the engine's clock, seconds) covers everything up to the first content. `headers`
    are the caller's that go upstream; `hops` those of them that go in any protocol. `session`
    chooses among a provider's credentials.
    `attempts` is filled as calls are made, so that they are known even if the caller goes away.
    `faults` are what providers are to pretend, by their names. `holds_whole`: a stream is held
    until it is whole, so that a break in its middle fails over unseen. `fitting` knows whom the
    request can be told in another protocol. `credential` is the label of the only one to call with,
    "" for any. `caller` is the name of the key that asks; `is_unusual`: a provider may fail at the
    request by its size, and nobody is to blame. `apart` does beside the event loop what takes long.
    """

    request: Request
    fitting: Fitting
    plan: Plan
    deadline: float
    request_id: str
    headers: Sequence[Header] = ()
    session: int | None = None
    attempts: list[Attempt] = []
    faults: Mapping[str, SimulatedFault] | None = None
    hops: Sequence[Header] = ()
    holds_whole: bool = False
    credential: str = ""
    apart: Apart | None = None
    caller: str = ""
    is_unusual: bool = False


class Served(Struct, kw_only=True):
    """
    One candidate answers. `first` is what may go to the caller at once; `stream` is the rest,
    None for a whole reply. `dropped` are the members that its provider could not take, `warnings`
    what it was told that the caller has not said. `state_id` is what later requests may name the
    answer by, at `credential` alone.
    """

    candidate: Candidate
    attempts: list[Attempt]
    first: bytes
    content_type: bytes
    headers: list[Header]
    stream: Stream | None = None
    usage: Usage | None = None
    dropped: tuple[str, ...] = ()
    state_id: str = ""
    credential: str = ""
    warnings: tuple[str, ...] = ()


class Calls:
    """Makes calls over one transport, and tells benches, loads and retry budget how they went."""

    def __init__(
        self,
        *,
        transport: Transport,
        benches: Benches,
        loads: Loads,
        retries: RetryBudget,
        clock: Clock,
        wall: Callable[[], float],
        sleep: Sleep,
        rng: Random,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self._transport = transport
        self._benches = benches
        self._loads = loads
        self._retries = retries
        self._sleep = sleep
        self._rng = rng
        self._refuses_injected: set[str] = set()

    async def attempt(
        self,
        call: Call,
        candidate: Candidate,
        credential: Credential,
        *,
        is_hedge: bool = False,
    ) -> Served | Failure:
        """Call `candidate` and wait for the first content, a failure, or to be cancelled."""
        attempt = Attempt(
            candidate=candidate,
            credential=credential.label,
            started_at=self.clock(),
            caller=call.caller,
        )
        if call.is_unusual:
            attempt.is_unusual = True
        call.attempts.append(attempt)
        if is_hedge:
            attempt.is_hedge = True
        if call.faults is not None and (fault := call.faults.get(candidate.provider)) is not None:
            attempt.simulated = fault.rolled(self._rng.random)
        # What is only pretended says nothing about anybody's health or load.
        is_real = attempt.simulated is None
        keys = candidate.keys(credential.label) if candidate.is_known and is_real else ()
        self._benches.begin(keys, attempt.started_at)
        lease = None
        if candidate.is_measured and is_real:
            tokens = expected_tokens(call.request)
            lease = attempt.lease = self._loads.begin(candidate, tokens, attempt.started_at)
        inject = candidate.name not in self._refuses_injected
        try:
            result = await self._call(call, attempt, credential, keys, inject=inject)
            if isinstance(result, Failure) and inject and self._blames_us(result, call):
                if candidate.is_known:  # what callers make up leaves nothing behind
                    self._refuses_injected.add(candidate.name)
                result = await self._call(call, attempt, credential, keys, inject=False)
        except BaseException:
            self.abandon(attempt, keys)  # cancelled: nobody failed
            if lease is not None:
                lease.end()
            raise
        if isinstance(result, Failure):
            attempt.failure = result
            attempt.status = result.status
            attempt.ended_at = self.clock()
            if lease is not None:
                lease.end()
            self.observe_failure(attempt, result, call.request_id)
            return result
        result.attempts, result.dropped = call.attempts, attempt.dropped
        result.credential = credential.label
        if lease is not None and attempt.content_at is not None:
            lease.answered(attempt.content_at - attempt.started_at, attempt.content_at)
            if result.stream is None:
                lease.end(total_tokens(result.usage))
        if result.stream is None:
            self.observe_success(attempt, keys)
            attempt.ended_at = self.clock()
        return result

    async def _call(
        self,
        call: Call,
        attempt: Attempt,
        credential: Credential,
        keys: tuple[Key, ...],
        *,
        inject: bool,
    ) -> Served | Failure:
        """Send once and wait for the first content. Returns what came, classified."""
        candidate, request, headers = attempt.candidate, call.request, call.headers
        upstream = candidate.upstream
        assert upstream is not None  # noqa: S101  # the planner rejects candidates without one
        warnings: tuple[str, ...] = ()
        apart = call.apart if request.is_long else None
        if request.protocol.name not in candidate.spoken:
            request, headers = call.fitting.told(candidate), call.hops
            written = request.written() if apart is None else await apart(request.written)
            attempt.dropped, warnings = written.dropped, written.warnings
        times = candidate.times
        send = upstream.send
        if attempt.simulated is not None:
            send = Pretence(
                upstream, request, attempt.simulated, sleep=self._sleep, clock=self.clock
            ).send
        deadline = min(self.clock() + candidate.first_content_s(request), call.deadline)
        response: Response | None = None
        kept = False
        try:
            response = await send(
                self._transport,
                protocol=request.protocol.name,
                credential=credential,
                headers=headers,
                body=request.encode(candidate.model, inject=inject)
                if apart is None
                else await apart(partial(request.encode, candidate.model, inject=inject)),
                stream=request.stream,
                connect_s=times.connect_s,
                deadline=deadline,
                path=request.upstream_path(candidate.model),
            )
            attempt.headers_at = self.clock()
            attempt.status = response.status
            if response.header(b"content-encoding") is not None:
                response = unpacked(response)
            if response.status != 200 and not _is_answer(response.status):
                failure = upstream.classify(
                    response.status,
                    response.headers,
                    await self._error_body(response, deadline),
                    now=self.wall(),
                )
                return failure if request is call.request else _told_anew(failure, call)
            if request.stream and _is_event_stream(response):
                stream = Stream(self, response, request, attempt, keys, call.request_id)
                first = await stream.open(deadline)
                if call.holds_whole and isinstance(first, bytes):
                    first = await stream.hold(first, call.deadline)
                if isinstance(first, Failure):
                    return first
                kept = True
                return Served(
                    candidate=candidate,
                    attempts=[],
                    first=first,
                    content_type=request.stream_type,
                    headers=response.headers,
                    stream=stream,
                    state_id=stream.state_id,
                    warnings=warnings,
                )
            body = await response.read_all(deadline)
            kind = response.header(b"content-type")
            if len(body) > LONG and call.apart is not None:
                reply = await call.apart(partial(request.read, kind, body, upstream.judge))
            else:
                reply = request.read(kind, body, upstream.judge)
            if isinstance(reply, Failure):
                return reply
            attempt.content_at = self.clock()
            return Served(
                candidate=candidate,
                attempts=[],
                first=reply.body,
                content_type=reply.content_type,
                headers=response.headers,
                usage=reply.usage,
                state_id=reply.state_id,
                warnings=warnings,
            )
        except ProviderError as error:
            return self.classify_error(error, call.deadline)
        finally:
            if response is not None and not kept:
                response.close()
            if apart is not None and isinstance(request, Translated):
                request.forget()

    async def _error_body(self, response: Response, deadline: float) -> bytes:
        # A status is verdict enough: an error body that breaks off changes nothing.
        with suppress(ProviderError):
            return await response.read_all(min(deadline, self.clock() + 10))
        return b""

    def classify_error(self, error: ProviderError, deadline: float) -> Failure:
        """A broken connection as a Failure; the request's own deadline is nobody's fault."""
        if isinstance(error, UpstreamTimedOut) and self.clock() + EARLY_S >= deadline:
            return Failure(fault=Fault.OWN, message="the request's deadline passed")
        return Failure(fault=_FAULTS[type(error)], message=str(error))

    def _blames_us(self, failure: Failure, call: Call) -> bool:
        injected = call.request.injects
        return bool(injected) and failure.fault is Fault.CALLER and blames(failure, injected)

    # What an attempt says about health

    def abandon(self, attempt: Attempt, keys: Iterable[Key]) -> None:
        self._benches.abandon(keys, began=attempt.started_at)

    def observe_success(self, attempt: Attempt, keys: tuple[Key, ...]) -> None:
        if keys:
            candidate = attempt.candidate
            self._benches.succeeded(
                keys,
                candidate.bench_policy.window_s,
                self.clock(),
                began=attempt.started_at,
                caller=attempt.caller,
            )
            self._retries.succeeded(candidate.provider)

    def observe_failure(self, attempt: Attempt, failure: Failure, request_id: str) -> None:
        candidate, label = attempt.candidate, attempt.credential
        if not candidate.is_known or attempt.simulated is not None:
            return
        bench = VERDICTS[failure.fault].bench
        credential, credential_model = candidate.credential_keys(label)
        key = {
            Scope.ENDPOINT: candidate.endpoint_key,
            Scope.CANDIDATE: candidate.candidate_key,
            Scope.CREDENTIAL: credential,
            Scope.CREDENTIAL_MODEL: credential_model,
        }.get(bench.scope)
        if attempt.is_unusual and failure.fault in MAY_BE_THE_CALLERS:
            key = None
        if key is not None:
            self._benches.failed(
                bench,
                key,
                failure,
                candidate.bench_policy,
                now=self.clock(),
                began=attempt.started_at,
                request_id=request_id,
                caller=attempt.caller,
            )
        self.abandon(attempt, (k for k in candidate.keys(label) if k != key))


def _told_anew(failure: Failure, call: Call) -> Failure:
    """A provider's word to the caller in the caller's own protocol."""
    if failure.body is None:
        return failure
    problem = Problem(
        status=failure.status or 400,
        message=failure.message,
        type="invalid_request_error",
        code=_CODES.get(failure.fault),
        request_id=call.request_id,
    )
    status, body = call.request.protocol.error(problem)
    return replace(failure, status=status, body=body, content_type="application/json")


def _is_answer(status: int) -> bool:
    """Whether an answer may come with this status; 204 and 205 promise that there is none."""
    return 200 <= status < 300 and status not in (204, 205)


def _is_event_stream(response: Response) -> bool:
    content_type = response.header(b"content-type")
    return content_type is None or content_type.lower().startswith(b"text/event-stream")
