"""How an inference request ends: served, failed or refused, and what its key gets back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from failover.engine.attempts import Served
from failover.engine.availability import soonest_return_s
from failover.engine.benches import Benches
from failover.engine.outcome import Ending, Failed
from failover.engine.plan import Fitting, Nobody, Plan, Rejected, Why
from failover.engine.streams import INTERRUPTED_CODE, Stream
from providers.errors import ProtocolError
from providers.protocols import Protocol
from routing.gateway.admission import Admission
from routing.gateway.deciding.table import Table
from routing.gateway.errors import (
    GatewayError,
    NoCandidate,
    bad_request,
    contradicted,
    internal_error,
    nobody_may,
    providers_failed,
    render,
)
from routing.gateway.estimates import estimate
from routing.gateway.ingress import Exchange, Send
from routing.gateway.keylimits.allowances import KeyLimits
from routing.gateway.records.capture import Room, begin, merged
from routing.gateway.records.record import Outcome
from routing.gateway.records.trail import Trail
from routing.gateway.replies import (
    JSON,
    send_body,
    send_start,
    served_headers,
    served_lines,
    trail_headers,
)
from routing.gateway.telemetry.logs import about
from routing.gateway.visits import Visit

log = logging.getLogger("switchyard.gateway")


class Answering:
    """The last part of a request's way, for all requests of one gateway."""

    def __init__(
        self,
        *,
        key_limits: KeyLimits,
        admission: Admission,
        benches: Benches,
        clock: Callable[[], float],
        room: Room,
    ) -> None:
        self._room = room
        self._key_limits = key_limits
        self._admission = admission
        self._benches = benches
        self._clock = clock

    async def serve(
        self, served: Served, trail: Trail, visit: Visit, exchange: Exchange | None = None
    ) -> None:
        """Answer with what was `served`; a stream by the `exchange`, where there is one."""
        stream = served.stream
        send = visit.send
        trail.served, trail.usage, trail.status = served.candidate, served.usage, 200
        try:
            was_opened, visit.opened = visit.opened, True
            is_whole = stream is None or stream.ended
            if stream is not None and stream.ended:
                self.settle(trail, stream)
            if (
                is_whole
                or was_opened
                or exchange is None
                or not exchange.open(served_lines(served, trail), served.first)
            ):
                if not was_opened:
                    await send_start(send, 200, served_headers(served, trail))
                await send_body(send, served.first, last=is_whole)
            if stream is None:
                trail.outcome = Outcome.ANSWERED
                return
            visit.is_stream = not stream.ended and self._admission.begin_stream()
            write = partial(_write, visit, exchange) if exchange is not None else None
            while not stream.ended:
                chunk = await stream.next(write)
                visit.is_moving = True
                if stream.ended:
                    self.settle(trail, stream)
                await send(
                    {"type": "http.response.body", "body": chunk, "more_body": not stream.ended}
                )
            visit.done = True
            if stream.failure is None:
                trail.outcome = Outcome.ANSWERED
            else:
                trail.outcome, trail.code = Outcome.INTERRUPTED, INTERRUPTED_CODE
        finally:
            if stream is not None:
                trail.usage = stream.usage
                await stream.close()

    def capture(
        self, table: Table, trail: Trail, visit: Visit, body: bytes, exchange: Exchange | None
    ) -> Exchange | None:
        """
        Begin to hold what is to be kept of a request that has been decided.

        An answer that is kept goes out by `visit.send`, not at once by the exchange; that is
        returned where it still may be used.
        """
        resolution = trail.resolution
        if trail.key is None or resolution is None:
            return exchange
        asked = merged(trail.key.spec.capture, resolution.groups[0].pool.capture, table.capture)
        if not (asked.requests or asked.responses):
            return exchange
        trail.capture = begin(self._room, body if asked.requests else b"", asked.keep_days)
        if trail.capture is None or not asked.responses:
            return exchange
        visit.send = trail.capture.sending(visit.send)
        return None

    async def fail(self, failed: Failed, trail: Trail, visit: Visit) -> None:
        if failed.ending is not Ending.CALLER:
            planned, now = trail.plan, self._clock()
            assert planned is not None  # noqa: S101  # somebody has been called
            steps, attempts = planned.steps, failed.attempts
            failed.returns_in_s = soonest_return_s(steps, attempts, self._benches, now)
            status = planned.policy.exhausted_status
            raise providers_failed(failed, status, _left_out(planned, trail.misfits))
        failure = failed.failure
        if visit.opened:
            told = bad_request(failure.message, status=failure.status or 400)
            told.outcome = Outcome.CALLER_ERROR
            raise told
        trail.outcome, trail.code = Outcome.CALLER_ERROR, failure.code or ""
        trail.status = failure.status or 400
        self.settle(trail)
        headers = [(b"content-type", failure.content_type.encode("latin-1", "replace"))]
        if failure.status == 429:  # the request is too large for the limit: no wait helps
            headers.append((b"x-should-retry", b"false"))
        await send_start(visit.send, failure.status or 400, headers + trail_headers(trail))
        await send_body(visit.send, failure.body or b"", last=True)

    async def refuse(
        self,
        error: GatewayError,
        protocol: Protocol,
        trail: Trail,
        send: Send,
        visit: Visit | None,
    ) -> None:
        if visit is not None:
            send = visit.send
        if visit is not None and visit.request is not None and not visit.opened:
            body = estimate(visit.request, error)
            if body is not None:
                await self._estimated(body, error, trail, send)
                return
        trail.outcome = Outcome.INTERRUPTED if trail.served is not None else error.outcome
        trail.code = error.code or ""
        _note_rejected(error, trail)
        self.settle(trail)
        if visit is not None and visit.opened:
            told = visit.request or protocol
            await send_body(send, told.error_event(error.problem(trail.request_id)), last=True)
            return
        status, headers, body = render(error, protocol, trail.request_id)
        trail.status = status
        await send_start(send, status, headers + trail_headers(trail))
        await send_body(send, body, last=True)

    async def _estimated(self, body: bytes, error: GatewayError, trail: Trail, send: Send) -> None:
        """Answer instead of the providers, none of whom could."""
        trail.outcome, trail.status, trail.is_estimated = Outcome.ANSWERED, 200, True
        _note_rejected(error, trail)
        self.settle(trail)
        headers = [JSON, (b"x-switchyard-estimated", b"true"), *trail_headers(trail)]
        await send_start(send, 200, headers)
        await send_body(send, body, last=True)

    def settle(self, trail: Trail, ended: Served | Stream | None = None) -> None:
        """
        Give back to the key what the request held.

        If possible before the last byte goes out: the caller's next request may be at another
        worker a moment later.
        """
        if ended is not None:
            trail.usage = ended.usage
        if trail.allowance is not None:
            self._key_limits.settle(trail.allowance, trail.spent_tokens())


def _write(visit: Visit, exchange: Exchange, chunk: bytes) -> bool:
    visit.is_moving = True
    return exchange.write(chunk)


def answer_to(error: Exception, trail: Trail) -> GatewayError:
    """What the caller is told of whatever ended its request."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, ProtocolError):
        return contradicted(error)
    extra = about(trail.request_id.decode())
    log.error("a request failed inside the gateway", exc_info=error, extra=extra)
    return internal_error()


def _left_out(planned: Plan, misfits: Mapping[str, str]) -> tuple[Rejected, ...]:
    """Who was not called: left out by the plan, or found unfit when its turn came."""
    unfit = (
        Rejected(candidate=candidate, reason=f"unsupported:{misfits[candidate.name]}")
        for candidate in planned.steps
        if candidate.name in misfits
    )
    return (*planned.rejected, *unfit)


def nobody_fits(nobody: Nobody, fitting: Fitting) -> Exception:
    """What a caller is told whose request nobody may be tried with."""
    if nobody.why is Why.UNFIT and fitting.contradiction is not None:
        return fitting.contradiction
    return nobody_may(nobody)


def _note_rejected(error: GatewayError, trail: Trail) -> None:
    if isinstance(error, NoCandidate) and error.nobody is not None:
        trail.rejected, trail.inputs = error.nobody.rejected, error.nobody.inputs
