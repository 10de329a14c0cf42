"""
The attempt loop: the only place that calls a provider, and the only retry loop in the product.

    Engine.run(call) -> Served | Failed

`Served` carries the first bytes for the caller, and for a stream the rest of it. Until then
nothing has been sent, so a failure costs the caller nothing but time. Clock, sleep and dice are
passed in; the policy is data in verdicts.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Protocol

from msgspec import Struct

from failover.engine.availability import SHORT_WAIT_S, usable_credential, worth_trying
from failover.engine.benches import Benches, Key
from failover.engine.budget import RetryBudget, backoff_s
from failover.engine.loads import Loads, expected_tokens, total_tokens
from failover.engine.outcome import Attempt, Ending, Failed, ending_of
from failover.engine.plan import Candidate, Plan
from failover.engine.streams import Stream
from failover.engine.verdicts import VERDICTS, Again, Move, Scope, next_move
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
from providers.protocols import Request, Usage, check_reply
from providers.protocols.reshaping import reshape
from providers.transport import Response, Transport, unpacked

Header = tuple[bytes, bytes]

_FAULTS: dict[type[ProviderError], Fault] = {
    ConnectFailed: Fault.CONNECT,
    ConnectionReset: Fault.RESET,
    UpstreamTimedOut: Fault.TIMEOUT,
    BadFraming: Fault.BAD_REPLY,
    PoolFull: Fault.BUSY,
}
# Made once: a frozen dataclass takes 1.5 µs.
_NOBODY_LEFT = Failure(fault=Fault.OWN, message="every candidate is benched or full by now")
INJECTED_FIELD = "stream_options"
EARLY_S = 0.005  # the transport's timers may end a wait this much before its deadline


class Clock(Protocol):
    def __call__(self) -> float: ...


class Call(Struct, kw_only=True):
    """
    One request on its way to providers.

    `deadline` (the engine's clock, seconds) covers everything up to the first content. `headers`
    are the caller's that go upstream. `session` chooses among a provider's credentials.
    `attempts` is filled as calls are made, so that they are known even if the caller goes away.
    """

    request: Request
    plan: Plan
    deadline: float
    request_id: str
    headers: Sequence[Header] = ()
    session: int | None = None
    attempts: list[Attempt] = []


class Served(Struct, kw_only=True):
    """
    One candidate answers. `first` is what may go to the caller at once; `stream` is the rest,
    None for a whole reply.
    """

    candidate: Candidate
    attempts: list[Attempt]
    first: bytes
    content_type: bytes
    headers: list[Header]
    stream: Stream | None = None
    usage: Usage | None = None


class Engine:
    """Runs calls over one transport, with the benches, loads and retry budget of this process."""

    def __init__(
        self,
        *,
        transport: Transport,
        benches: Benches,
        clock: Clock,
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        rng: Random,
        loads: Loads | None = None,
    ) -> None:
        self.benches = benches
        self.loads = loads or Loads()
        self.clock = clock
        self.wall = wall
        self._transport = transport
        self._sleep = sleep
        self._rng = rng
        self._retries = RetryBudget()
        self._refuses_usage: set[str] = set()

    async def run(self, call: Call) -> Served | Failed:
        plan, policy = call.plan, call.plan.policy
        if plan.commit is not None:
            plan.commit()
        attempts = call.attempts
        waiting = list(plan.steps)
        candidate = waiting.pop(0)
        used: set[str] = set()
        retries = 0
        again: Credential | None = None
        failure = _NOBODY_LEFT
        while True:
            credential = again or self._credential(candidate, used, call)
            again = None
            if credential is None:  # since the plan was made it changed: no call, no attempt
                if not waiting:
                    break
                candidate, used, retries = waiting.pop(0), set(), 0
                continue
            used.add(credential.label)
            result = await self._attempt(call, candidate, credential, attempts)
            if isinstance(result, Served):
                return result
            failure = result
            untried = worth_trying(waiting, candidate, failure)
            move = next_move(
                failure,
                policy,
                calls=len(attempts),
                can_rotate=len(used) == 1 and self._credential(candidate, used, call) is not None,
                has_next=bool(untried),
                retries=retries,
            )
            if move is Move.NEXT:
                waiting = untried
                candidate, used, retries = waiting.pop(0), set(), 0
            elif move is Move.AGAIN:
                if not await self._wait(call, candidate, failure, retries):
                    break
                retries += 1
                again = credential
            elif move is Move.STOP:
                break
        return self._failed(attempts, failure, call)

    # Moving on

    def _credential(self, candidate: Candidate, used: set[str], call: Call) -> Credential | None:
        """The next credential to call `candidate` with; None if it may not be called now."""
        now = self.clock()
        if candidate.limits is not None and self.loads.full(
            candidate, expected_tokens(call.request), now
        ):
            return None
        return usable_credential(
            candidate,
            self.benches,
            now,
            used=used,
            last_standing=call.plan.last_standing,
            session=call.session,
        )

    async def _wait(self, call: Call, candidate: Candidate, failure: Failure, retries: int) -> bool:
        """Wait before calling the same candidate again. False if that is not worth it."""
        again = VERDICTS[failure.fault].again
        wait_s = 0.0
        if again is Again.AFTER_STATED and failure.retry_after_s is not None:
            wait_s = failure.retry_after_s
        elif again is not Again.AT_ONCE:
            wait_s = backoff_s(call.plan.policy.backoff, retries, self._rng)
        if again is Again.AFTER_STATED and wait_s > SHORT_WAIT_S:
            return False
        if self.clock() + wait_s >= call.deadline:
            return False
        throttled = failure.fault is Fault.RATE_LIMITED
        if not self._retries.take(candidate.provider, after_throttle=throttled):
            return False
        if wait_s > 0:
            await self._sleep(wait_s)
        return True

    def _failed(self, attempts: list[Attempt], failure: Failure, call: Call) -> Failed:
        first = attempts[0].failure if attempts else None
        if first is not None and first.body is not None:
            return Failed(ending=Ending.CALLER, failure=first, attempts=attempts)
        if failure.fault is Fault.OWN and self.clock() + EARLY_S >= call.deadline:
            ending = Ending.TIMED_OUT
        else:
            ending = ending_of(attempts)
        return Failed(ending=ending, failure=failure, attempts=attempts)

    # One call

    async def _attempt(
        self, call: Call, candidate: Candidate, credential: Credential, attempts: list[Attempt]
    ) -> Served | Failure:
        attempt = Attempt(candidate=candidate, credential=credential.label, started_at=self.clock())
        attempts.append(attempt)
        keys = candidate.keys(credential.label) if candidate.is_known else ()
        self.benches.begin(keys, attempt.started_at)
        lease = None
        if candidate.is_measured:
            tokens = expected_tokens(call.request)
            lease = attempt.lease = self.loads.begin(candidate, tokens, attempt.started_at)
        ask_usage = candidate.name not in self._refuses_usage
        try:
            result = await self._call(call, attempt, credential, keys, ask_usage=ask_usage)
            if isinstance(result, Failure) and ask_usage and self._blames_us(result, call):
                if candidate.is_known:  # what callers make up leaves nothing behind
                    self._refuses_usage.add(candidate.name)
                result = await self._call(call, attempt, credential, keys, ask_usage=False)
        except BaseException:
            self.benches.abandon(keys)  # cancelled: the caller went away, nobody failed
            if lease is not None:
                lease.end()
            raise
        if isinstance(result, Failure):
            attempt.failure = result
            attempt.status = result.status
            attempt.ended_at = self.clock()
            if lease is not None:
                lease.end()
            self.observe_failure(candidate, credential.label, result, call.request_id)
            return result
        result.attempts = attempts
        if lease is not None and attempt.content_at is not None:
            lease.answered(attempt.content_at - attempt.started_at, attempt.content_at)
            if result.stream is None:
                lease.end(total_tokens(result.usage))
        if result.stream is None:
            self.observe_success(candidate, keys)
            attempt.ended_at = self.clock()
        return result

    async def _call(
        self,
        call: Call,
        attempt: Attempt,
        credential: Credential,
        keys: tuple[Key, ...],
        *,
        ask_usage: bool,
    ) -> Served | Failure:
        """Send once and wait for the first content. Returns what came, classified."""
        candidate, request = attempt.candidate, call.request
        upstream = candidate.upstream
        assert upstream is not None  # noqa: S101  # the planner rejects candidates without one
        secrets = (credential.secret,) if credential.secret else ()
        times = candidate.times
        deadline = min(self.clock() + candidate.first_content_s(request), call.deadline)
        response: Response | None = None
        kept = False
        try:
            response = await upstream.send(
                self._transport,
                protocol=request.protocol,
                credential=credential,
                headers=call.headers,
                body=request.encode(candidate.model, ask_usage=ask_usage),
                stream=request.stream,
                connect_s=times.connect_s,
                deadline=deadline,
            )
            attempt.headers_at = self.clock()
            attempt.status = response.status
            if response.header(b"content-encoding") is not None:
                response = unpacked(response)
            if response.status != 200:
                return upstream.classify(
                    response.status,
                    response.headers,
                    await self._error_body(response, deadline),
                    now=self.wall(),
                )
            if request.stream and _is_event_stream(response):
                stream = Stream(
                    self, response, request, attempt, keys, call.request_id, secrets=secrets
                )
                first = await stream.open(deadline)
                if isinstance(first, Failure):
                    return first
                kept = True
                return Served(
                    candidate=candidate,
                    attempts=[],
                    first=first,
                    content_type=b"text/event-stream; charset=utf-8",
                    headers=response.headers,
                    stream=stream,
                )
            body = await response.read_all(deadline)
            content_type = response.header(b"content-type")
            checked = check_reply(request.protocol, 200, content_type, body, secrets=secrets)
            if request.stream or isinstance(checked, Failure):
                reply = reshape(request, checked, content_type, body, secrets=secrets)
                if isinstance(reply, Failure):
                    return reply
                body, content_type, checked = reply.body, reply.content_type, reply.usage
            attempt.content_at = self.clock()
            return Served(
                candidate=candidate,
                attempts=[],
                first=body,
                content_type=content_type or b"application/json",
                headers=response.headers,
                usage=checked,
            )
        except ProviderError as error:
            return self.classify_error(error, call.deadline)
        finally:
            if response is not None and not kept:
                response.close()

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
        return (
            call.request.stream
            and not call.request.wants_usage
            and failure.fault is Fault.CALLER
            and blames(failure, INJECTED_FIELD)
        )

    # What an attempt says about health

    def abandon(self, keys: Iterable[Key]) -> None:
        self.benches.abandon(keys)

    def observe_success(self, candidate: Candidate, keys: tuple[Key, ...]) -> None:
        if keys:
            self.benches.succeeded(keys, candidate.bench_policy.window_s, self.clock())
            self._retries.succeeded(candidate.provider)

    def observe_failure(
        self, candidate: Candidate, label: str, failure: Failure, request_id: str
    ) -> None:
        if not candidate.is_known:
            return
        bench = VERDICTS[failure.fault].bench
        credential, credential_model = candidate.credential_keys(label)
        key = {
            Scope.ENDPOINT: candidate.endpoint_key,
            Scope.CANDIDATE: candidate.candidate_key,
            Scope.CREDENTIAL: credential,
            Scope.CREDENTIAL_MODEL: credential_model,
        }.get(bench.scope)
        if key is not None:
            self.benches.failed(
                bench,
                key,
                failure,
                candidate.bench_policy,
                now=self.clock(),
                request_id=request_id,
            )
        self.benches.abandon(k for k in candidate.keys(label) if k != key)


def _is_event_stream(response: Response) -> bool:
    content_type = response.header(b"content-type")
    return content_type is None or content_type.lower().startswith(b"text/event-stream")
