"""Gemini's answers as event streams, read in passing. One scanner per attempt."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.gemini import errors
from providers.protocols.gemini.listing import Listing
from providers.protocols.gemini.reply import UsageMetadata, block_reason, holds, parts_in, usage_of
from providers.protocols.protocol import Blame, Judge, Problem
from providers.protocols.sse import EventScanner

_DONE: Final = b"[DONE]"
# An event with none of these is none of Google's: it kills the SDK that wants to read it.
_TOLD: Final = frozenset({"candidates", "promptFeedback", "usageMetadata"})


# A chunk that says nothing but more content; this is the JSON check too.
class _Candidate(Struct, gc=False):
    finishReason: Literal[""] | None = None  # noqa: N815


class _Delta(Struct, gc=False):
    candidates: Annotated[list[_Candidate], Meta(min_length=1, max_length=1)]
    usageMetadata: UsageMetadata | None = None  # noqa: N815
    promptFeedback: None = None  # noqa: N815
    error: None = None


_decode_delta: Final = msgspec.json.Decoder(_Delta).decode
_decode_deltas: Final = msgspec.json.Decoder(list[_Delta]).decode


class StreamScanner(EventScanner):
    """
    Scans one stream of GenerateContentResponse events.

    There is no terminator: a stream is whole once each candidate has its finish reason and the
    provider has closed it. `several`: more candidates than one may come.
    """

    __slots__ = ("_begun", "_ended", "_is_blocked", "_is_said", "_several")

    def __init__(self, judge: Judge, *, several: bool = False) -> None:
        super().__init__(judge)
        self._several = several
        self._is_blocked = False
        self._is_said = False  # a text has come, which may be empty
        self._begun: set[int] = set()
        self._ended: set[int] = set()  # of the candidates begun, those with a finish reason

    @property
    def _has_ended(self) -> bool:
        return self._is_blocked or (bool(self._ended) and self._begun <= self._ended)

    def error_event(self, problem: Problem) -> bytes:
        return errors.error_event(problem)

    def _middle(self, data: bytes) -> bytes:
        if data[:6] != b"data: ":
            return b""
        first = data.find(b"\n")
        if first == len(data) - 2 and data.endswith(b"\n"):
            return data if self._is_delta(data[6:-2]) else b""
        if first == len(data) - 3 and data.endswith(b"\r\n\r\n") and self._is_delta(data[6:-4]):
            return data[:-4] + b"\n\n"  # Google's own servers end lines with CRLF
        return b""

    def _is_bare_end(self, rest: bytes) -> bool:
        return rest.startswith(b"data:") and rest[5:].strip() == _DONE

    def _keep(self, rest: bytes, passed: list[bytes]) -> None:
        if self._is_bare_end(rest.rstrip(b"\n")):
            self._end_stated()  # and nothing of it is passed: these streams have no such end
            return
        super()._keep(rest, passed)

    def _fail_unended(self) -> None:
        if self._ended:
            self._fail("the stream ended before every candidate had a finish reason")
        else:
            super()._fail_unended()

    def _is_delta(self, payload: bytes) -> bool:
        """Whether `payload` is sound and says nothing but more content. False decides nothing."""
        if self._several:
            return False  # each of them has to finish, so that each index counts
        try:
            # msgspec does not look into the bytes of strings that it skips.
            if not payload.isascii():
                payload.decode()
            delta = _decode_delta(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        if delta.usageMetadata is not None:
            self.usage = delta.usageMetadata.usage()
        return True

    def _are_deltas(self, payloads: bytes, count: int) -> bool:
        deltas = _decode_deltas(payloads)
        if self._several or len(deltas) != count:
            return False
        stated = [d.usageMetadata for d in deltas if d.usageMetadata is not None]
        if stated:
            self.usage = stated[-1].usage()
        return True

    def _passes(self, name: bytes, payload: bytes) -> bool:
        if self.has_content and self._is_delta(payload):
            return True
        try:
            document = bodies.decode(payload)
        except (ValueError, RecursionError):
            if payload.strip() == _DONE:
                self._end_stated()
            elif name != b"ping":
                self._fail("an event of the stream is not JSON")
            return False
        return self._passes_document(document, payload)

    # What an event says

    def _passes_document(self, document: Any, payload: bytes) -> bool:
        if isinstance(document, dict) and not document.keys() & _TOLD and "error" not in document:
            return False
        failure = self._judge.error_in(document, payload, otherwise=Fault.BAD_STREAM)
        if failure is not None:
            self._fail(failure.message, failure)
            return False
        if not isinstance(document, dict):
            self._fail("an event of the stream is not a JSON object")
            return False
        usage = usage_of(document.get("usageMetadata"))
        if usage is not None:
            self.usage = usage
        if block_reason(document):
            self._is_blocked = self.has_content = True
        candidates = document.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict) and not self._takes_candidate(candidate):
                return False
        return True

    def _takes_candidate(self, candidate: dict[str, Any]) -> bool:
        """False if the candidate says that the answer failed."""
        finish = candidate.get("finishReason")
        if finish and isinstance(finish, str) and self._judge.blame(finish) is Blame.PROVIDER:
            self._fail(f"the stream ended with finish reason {finish}")
            return False
        stated = candidate.get("index")
        index = stated if type(stated) is int else 0  # Google leaves out the index 0
        self._begun.add(index)
        for part in parts_in(candidate):
            self._is_said = self._is_said or isinstance(part.get("text"), str)
            self.has_content = self.has_content or holds(part)
        if finish and isinstance(finish, str):
            # STOP without so much as an empty text is no answer, though some models give it.
            is_answer = self.has_content or self._is_said
            if is_answer or self._judge.blame(finish) is Blame.CALLER:
                self.has_content = True
                self._ended.add(index)
        return True


class ArrayScanner(StreamScanner):
    """The same for a caller who did not ask for events."""

    __slots__ = ("_listing",)

    def __init__(self, judge: Judge, *, several: bool = False) -> None:
        super().__init__(judge, several=several)
        self._listing = Listing()

    def feed(self, data: bytes) -> bytes:
        told = self._listing.add(super().feed(data))
        return told + self._listing.close() if self.finished else told

    def end(self) -> tuple[bytes, Failure | None]:
        passed, failure = super().end()
        told = self._listing.add(passed)
        return (told + self._listing.close() if failure is None else told), failure

    def error_event(self, problem: Problem) -> bytes:
        return self._listing.error_event(problem)
