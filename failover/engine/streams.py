"""
A stream after its first content: bytes for the caller, and the truth about how it ends.

A stream is whole once every choice has its finish reason and the provider has ended it. Anything
else is broken: it ends with an error event, never silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from failover.engine.benches import Key
from failover.engine.loads import total_tokens
from failover.engine.outcome import Attempt
from providers.errors import Failure, Fault, ProviderError, UpstreamTimedOut
from providers.protocols import Problem, Request, Usage
from providers.transport import Response

HELD_LIMIT = 1 << 20
WHOLE_LIMIT = 8 << 20
CLOSING_S = 1.0
INTERRUPTED_CODE = "stream_interrupted"


class Observer(Protocol):
    """What a stream needs of the engine."""

    def clock(self) -> float: ...
    def classify_error(self, error: ProviderError, deadline: float) -> Failure: ...
    def observe_success(self, attempt: Attempt, keys: tuple[Key, ...]) -> None: ...
    def observe_failure(self, attempt: Attempt, failure: Failure, request_id: str) -> None: ...
    def abandon(self, attempt: Attempt, keys: Iterable[Key]) -> None: ...


class Stream:
    """
    One provider's event stream. `open` holds everything until content; then `next` until `ended`.

    `failure` says why a stream broke after its first content; the caller has been told by then.
    """

    __slots__ = (
        "_attempt",
        "_ends_at",
        "_idle_s",
        "_keys",
        "_last",
        "_observer",
        "_request_id",
        "_response",
        "_scanner",
        "_write",
        "ended",
        "failure",
    )

    def __init__(
        self,
        observer: Observer,
        response: Response,
        request: Request,
        attempt: Attempt,
        keys: tuple[Key, ...],
        request_id: str,
    ) -> None:
        upstream = attempt.candidate.upstream
        assert upstream is not None  # noqa: S101  # it has just been called
        times = attempt.candidate.times
        self._observer = observer
        self._response = response
        self._attempt = attempt
        self._keys = keys
        self._request_id = request_id
        self._scanner = request.scanner(upstream.judge)
        self._idle_s = times.idle_s
        self._ends_at = attempt.started_at + times.stream_total_s
        self._write: Callable[[bytes], bool] | None = None
        self._last: tuple[bytes, Failure | None] | None = None  # where `_arrive` has stopped
        self.ended = False
        self.failure: Failure | None = None

    @property
    def usage(self) -> Usage | None:
        return self._scanner.usage

    @property
    def state_id(self) -> str:
        return getattr(self._scanner, "state_id", "")

    async def hold(self, held: bytes, deadline: float) -> bytes | Failure:
        """
        Read on from the first content, which is `held`, to the end of the stream: all of it.

        Nothing has been sent yet, so that a break is only a failure. At `deadline`, or past 8 MiB,
        the caller gets what there is, and the rest as it comes. Raises ProviderError.
        """
        pieces, size = [held], len(held)
        while not self.ended and size <= WHOLE_LIMIT:
            now = self._observer.clock()
            if now >= deadline:
                break
            idle_at = min(now + self._idle_s, self._ends_at)
            try:
                raw = await self._response.read(min(idle_at, deadline))
            except UpstreamTimedOut:
                if deadline > idle_at:
                    raise
                break
            piece, failure = self._take(raw)
            if failure is not None:
                return _unsent(failure)
            pieces.append(piece)
            size += len(piece)
            self._note_end()
        return b"".join(pieces)

    async def open(self, deadline: float) -> bytes | Failure:
        """
        Read until the first content is in hand; that and all before it. Raises ProviderError.

        Past 1 MiB without content the caller gets what there is.
        """
        scanner, response = self._scanner, self._response
        held = b""
        while True:
            now = self._observer.clock()
            if now >= deadline:  # a flood of comments never lets a read wait that long
                raise UpstreamTimedOut("no content before the deadline")
            raw = await response.read(min(deadline, now + self._idle_s))
            piece, failure = self._take(raw)
            if failure is not None:  # nothing has been sent: the next may answer
                return _unsent(failure)
            held += piece
            if scanner.has_content or len(held) > HELD_LIMIT:
                self._attempt.content_at = self._observer.clock()
                self._note_end()
                return held

    async def next(self, write: Callable[[bytes], bool] | None = None) -> bytes:
        """
        The next bytes for the caller; once `ended` is set, they are the last.

        With `write` what comes goes there at once, without a turn of the loop, as long as that
        returns True; what is returned then is the rest, which may have to wait.
        """
        try:
            if write is not None and self._response.flows:
                self._write, self._last = write, None
                await self._response.flow(self._arrive, self._idle_s, self._ends_at)
                passed, failure = self._last or self._take(b"")
            else:
                deadline = min(self._observer.clock() + self._idle_s, self._ends_at)
                passed, failure = self._take(await self._response.read(deadline))
        except ProviderError as error:
            return self._broke(self._observer.classify_error(error, float("inf")))
        if failure is not None:
            return passed + self._broke(failure)
        if self._scanner.is_over:
            self._note_end()
        return passed

    def _arrive(self, raw: bytes) -> bool:
        """Pass on a piece that has just come. False where it is not for here what comes next."""
        scanner = self._scanner
        passed = scanner.feed(raw)
        if scanner.is_over or scanner.failure is not None:
            self._last = passed, scanner.failure
            return False
        if passed and self._write is not None and not self._write(passed):
            self._last = b"", None  # the caller has to be waited for
            return False
        return True

    async def close(self) -> None:
        """
        Give the connection back, or cut it where the stream did not end.

        After the terminator only the framing's end is due; it is awaited so that the connection
        can be used again.
        """
        if self.ended and self.failure is None:
            self._end_lease()
            deadline = self._observer.clock() + CLOSING_S
            try:
                while await self._response.read(deadline):
                    if self._observer.clock() >= deadline:
                        break
            except ProviderError:
                pass  # the answer is complete; only the connection is lost
        self.cut()

    def cut(self) -> None:
        """
        Cut the connection, unless all of the reply is here.

        A stream that has not ended says nothing about health: it was not wanted any more.
        """
        self._end_lease()
        if not self.ended:
            self.ended = True
            self._observer.abandon(self._attempt, self._keys)
        self._response.close()

    def _end_lease(self) -> None:
        if self._attempt.lease is not None:
            self._attempt.lease.end(total_tokens(self.usage))

    def _take(self, raw: bytes) -> tuple[bytes, Failure | None]:
        """What of `raw` goes to the caller, and why the stream is no answer; b"" is its end."""
        scanner = self._scanner
        return (scanner.feed(raw), scanner.failure) if raw else scanner.end()

    def _note_end(self) -> None:
        if self._scanner.finished:
            self.ended = True
            self._attempt.ended_at = self._observer.clock()
            self._observer.observe_success(self._attempt, self._keys)

    def _broke(self, failure: Failure) -> bytes:
        """The end of a broken stream, in the caller's protocol."""
        attempt = self._attempt
        self.ended = True
        self.failure = attempt.failure = Failure(
            fault=Fault.INTERRUPTED,
            message=failure.message,
            status=failure.status,
            code=failure.code,
        )
        attempt.ended_at = self._observer.clock()
        self._observer.observe_failure(attempt, self.failure, self._request_id)
        provider = attempt.candidate.provider
        return self._scanner.error_event(
            Problem(
                status=502,
                message=f"the stream from {provider} broke off: {failure.message}",
                type="server_error",
                code=INTERRUPTED_CODE,
                request_id=self._request_id,
            )
        )


def _unsent(failure: Failure) -> Failure:
    """A break that the caller has seen nothing of is a bad stream, whatever came before it."""
    if failure.fault is not Fault.INTERRUPTED:
        return failure
    return Failure(
        fault=Fault.BAD_STREAM, message=failure.message, status=failure.status, code=failure.code
    )
