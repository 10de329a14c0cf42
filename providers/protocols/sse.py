"""
Event streams as they come over the wire: cut anywhere, with any line ends, whole events out.

An EventScanner knows lines, events and their bounds. What an event says is its subclass's to know:
one for each protocol, and one more where it is to be told in another protocol's words.
"""

from __future__ import annotations

from typing import Final

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.canonical import Event
from providers.protocols.protocol import Judge, Problem
from providers.protocols.usage import Usage
from providers.secrets.redaction import safe_text

EVENT_LIMIT: Final = 8 << 20
_BOM: Final = b"\xef\xbb\xbf"
_SHORT: Final = 64
_TAIL: Final = 3  # events at the end of a stream that say more than content


class EventScanner:
    """
    Reads one stream in passing; see providers.protocols.protocol.Scanner.

    A subclass says by `_passes` what each event does to the answer, by `_has_ended` whether all
    has been said, and sets `is_done` once the provider's own end of the stream has come.
    """

    # What is written where all has been said and the provider's end of it is missing.
    terminator: bytes = b""
    _head: bytes = b"data: "  # of an event of the middle

    __slots__ = (
        "_judge",
        "_parts",
        "_size",
        "_unwanted",
        "failure",
        "has_content",
        "is_done",
        "is_over",
        "usage",
    )

    def __init__(self, judge: Judge) -> None:
        self.has_content = False
        self.usage: Usage | None = None
        self.failure: Failure | None = None
        self.is_done = False
        self.is_over = False  # done or failed: what follows is ignored
        self._judge = judge
        # What has to go if the next data begins with it: a byte order mark, later the LF of a CRLF.
        self._unwanted = _BOM
        self._parts: list[bytes] = []  # of the event that has not ended yet
        self._size = 0

    # A protocol's own

    @property
    def _has_ended(self) -> bool:
        """Whether the answer is whole, its finish reasons included."""
        raise NotImplementedError

    def _passes(self, name: bytes, payload: bytes) -> bool:
        """Take in one event. False if it is not for the caller. `name` is b"" for none."""
        raise NotImplementedError

    def error_event(self, problem: Problem) -> bytes:
        """The last event of a stream that broke after what has been passed."""
        raise NotImplementedError

    def _middle(self, data: bytes) -> bytes:
        """What is passed of one sound event that only adds to content; b"" if `data` is none."""
        del data
        return b""

    def _are_deltas(self, payloads: bytes, count: int) -> bool:
        """
        Whether a list of payloads is that of `count` events that only add to content. False
        decides nothing. Raises ValueError.
        """
        del payloads, count
        return False

    def _is_bare_end(self, rest: bytes) -> bool:
        """Whether `rest`, without its blank line, is the end of the stream all the same."""
        del rest
        return False

    def _written(self, event: bytes, name: bytes, payload: bytes) -> bytes:
        """The event as the caller gets it, without its blank line."""
        del event, name
        return b"data: " + payload

    def _fail_unended(self) -> None:
        """Say why the stream is no whole answer, which `_has_ended` denies."""
        if self.has_content:
            self._fail("the stream ended without a finish reason")
        else:
            self._fail_empty()

    # What comes, and what goes on

    @property
    def finished(self) -> bool:
        return self.is_done and self._has_ended

    def feed(self, data: bytes) -> bytes:
        """The whole events that may go to the caller."""
        if self.is_over:
            return b""
        if (
            self.has_content and not self._parts and not self._unwanted
            and (passed_on := self._middle(data))
        ):  # fmt: skip
            return (
                passed_on  # the one event of the middle of a stream: half the time of the way below
            )
        if self._unwanted or b"\r" in data:
            data = self._with_plain_lines(data)
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if b"\n" not in data and self._size > _SHORT:
                # A large event that dribbles in is put together at its next line end, not often.
                if self._size > EVENT_LIMIT:
                    self._fail_size()
                return b""
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        events = data.split(b"\n\n")
        rest = events.pop()
        passed = []
        at, tried = 0, 0
        while at < len(events):
            if self.has_content and at >= tried and len(events) - at > 1:
                tried = max(len(events) - _TAIL, at + _TAIL)
                if run := self._run_of(events[at:tried]):
                    passed.append(run)
                    at = tried
                    continue
            event = events[at]
            at += 1
            if len(event) > EVENT_LIMIT:
                self._fail_size()
                break
            # Nearly every event is one `data:` line, and goes on as it is.
            if event[:6] == b"data: " and b"\n" not in event:
                name, payload = b"", event[6:]
            else:
                name, payload = fields_of(event)
            if payload and self._passes(name, payload):
                passed.append(self._written(event, name, payload))
            if self.is_over:
                break
        else:
            if rest:
                self._keep(rest, passed)
        if not passed:
            return b""
        passed.append(b"")
        return b"\n\n".join(passed)

    def _run_of(self, events: list[bytes]) -> bytes:
        """
        `events` as they are passed on, if all are of the middle, else b"": where several have come
        together, that is found out for a fifth of what it takes one by one.
        """
        head, run = self._head, b"\n\n".join(events)
        payloads = run[len(head) :].replace(b"\n\n" + head, b",")
        if not run.startswith(head) or b"\n" in payloads or len(run) > EVENT_LIMIT:
            return b""
        try:
            # msgspec does not look into the bytes of strings that it skips.
            if not payloads.isascii():
                payloads.decode()
            return run if self._are_deltas(b"[%b]" % payloads, len(events)) else b""
        except (ValueError, RecursionError):
            return b""  # whoever asked looks closer

    def end(self) -> tuple[bytes, Failure | None]:
        """
        The provider has closed. Where all has been said, a missing terminator is written for it.

        An event whose blank line is missing counts if it is whole: nothing can follow it any more.
        """
        passed = b""
        if self._parts and not self.is_over and bodies.is_sound(fields_of(self._rest)[1]):
            passed = self.feed(b"\n\n")
        if self.failure is None and self._has_ended:
            if not self.is_done:
                self.is_done = self.is_over = True
                passed += self.terminator
        elif self.failure is None:
            self._fail_unended()
        return passed, self.failure

    def _end_stated(self) -> bool:
        """The provider's end has come. False where it is too early: the caller would believe it."""
        self.is_done = self.is_over = True
        if not self._has_ended:
            self._fail_unended()
        return self.failure is None

    # Lines and events

    @property
    def _rest(self) -> bytes:
        return b"".join(self._parts)

    def _with_plain_lines(self, data: bytes) -> bytes:
        """`data` without a byte order mark, its line ends all LF; both may be cut anywhere."""
        if self._unwanted == _BOM:
            data = b"".join(self._parts) + data
            self._parts.clear()
            self._size = 0
            if len(data) < len(_BOM) and _BOM.startswith(data):
                return data  # kept as the start of an event, and looked at again
        if data:
            data = data.removeprefix(self._unwanted)
            self._unwanted = b""
        if b"\r" in data:
            if data.endswith(b"\r"):
                self._unwanted = b"\n"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _keep(self, rest: bytes, passed: list[bytes]) -> None:
        stripped = rest.rstrip(b"\n")
        if self._is_bare_end(stripped):  # some servers leave out the last blank line
            if self._end_stated():
                passed.append(self._written(stripped, *fields_of(stripped)))
            return
        self._parts.append(rest)
        self._size = len(rest)
        if self._size > EVENT_LIMIT:
            self._fail_size()

    # Failing

    def _fail_size(self) -> None:
        self._parts.clear()
        self._fail(f"an event of the stream is larger than {EVENT_LIMIT >> 20} MiB")

    def _fail_empty(self) -> None:
        """A stream without content; it may have been a plain JSON error all along."""
        rest = self._rest
        failure = None
        if rest[:1] in (b"{", b"["):
            try:
                document = bodies.decode(rest)
            except (ValueError, RecursionError):
                document = None  # not JSON either: just an empty stream
            failure = self._judge.error_in(document, rest, otherwise=Fault.BAD_STREAM)
        message = failure.message if failure else "the stream ended without any content"
        self._fail(message, failure)

    def _fail(self, message: str, stated: Failure | None = None) -> None:
        """Once content has been seen, any failure is an interruption: nobody else can go on."""
        self.is_over = True
        if self.has_content:
            self.failure = Failure(
                fault=Fault.INTERRUPTED,
                message=safe_text(message),
                status=stated.status if stated else None,
                code=stated.code if stated else None,
            )
        else:
            self.failure = stated or Failure(fault=Fault.BAD_STREAM, message=safe_text(message))


class KeepingScanner(EventScanner):
    """
    What a Decoder is besides its protocol's scanner, which stands behind it among its bases: it
    passes nothing on, and keeps what has come as canonical events.
    """

    _events: list[Event]

    __slots__ = ()

    def _tell_done(self) -> None:
        """Keep the Done event, once: the stream has ended well."""
        raise NotImplementedError

    def _are_deltas(self, payloads: bytes, count: int) -> bool:
        del payloads, count
        return False  # each is kept by itself

    def take(self) -> list[Event]:
        events = self._events.copy()
        self._events.clear()
        return events

    def feed(self, data: bytes) -> bytes:
        super().feed(data)
        if self.is_over and self.finished:
            self._tell_done()
        return b""

    def end(self) -> tuple[bytes, Failure | None]:
        _, failure = super().end()
        if failure is None:
            self._tell_done()
        return b"", failure


def fields_of(event: bytes) -> tuple[bytes, bytes]:
    """The name and the data of an event; both may be b""."""
    name = b""
    data = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    # Within JSON a line end is white space, so that one line says the same.
    return name, b" ".join(data)
