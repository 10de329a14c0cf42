"""A provider's stream of GenerateContentResponse events as canonical events."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.protocols.canonical import (
    Begin,
    Block,
    CallBegin,
    CallEnd,
    Done,
    Event,
    Finish,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Text,
    TextDelta,
    ToolCall,
)
from providers.protocols.gemini.answers import created_at, finish_of
from providers.protocols.gemini.parts import ORIGIN, parts_of
from providers.protocols.gemini.reply import UsageMetadata, block_reason, parts_in
from providers.protocols.gemini.stream import StreamScanner
from providers.protocols.protocol import Judge
from providers.protocols.reading import new_call_id, text_of
from providers.protocols.sse import KeepingScanner
from providers.protocols.usage import Usage


class _Part(Struct, gc=False, forbid_unknown_fields=True):
    text: str


class _Content(Struct, gc=False):
    parts: list[_Part]


class _Candidate(Struct, gc=False):
    content: _Content
    finishReason: str | None = None  # noqa: N815
    index: int = 0


class _Chunk(Struct, gc=False):
    candidates: list[_Candidate]
    usageMetadata: UsageMetadata | None = None  # noqa: N815
    promptFeedback: Any = None  # noqa: N815
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode


class GeminiDecoder(KeepingScanner, StreamScanner):
    """A scanner that keeps what it has seen; the first candidate alone counts."""

    __slots__ = (
        "_blocked",
        "_calls",
        "_events",
        "_finish",
        "_has_begun",
        "_is_told",
        "_thought",
    )

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self._events: list[Event] = []
        self._has_begun = False
        self._calls = 0
        self._thought: list[str] = []  # pieces of reasoning that goes on
        self._finish: Any = None
        self._blocked = False
        self._is_told = False

    def _is_delta(self, payload: bytes) -> bool:
        """The ordinary event of the middle, plain text, is decoded once and kept."""
        try:
            if not payload.isascii():
                payload.decode()
            chunk = _decode(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        if len(chunk.candidates) != 1 or self._thought:
            return False
        if chunk.error is not None or chunk.promptFeedback is not None:
            return False
        candidate = chunk.candidates[0]
        if candidate.finishReason or candidate.index:
            return False
        if chunk.usageMetadata is not None:
            self.usage = chunk.usageMetadata.usage()
        self._events += [TextDelta(text=p.text) for p in candidate.content.parts if p.text]
        return True

    def _passes_document(self, document: Any, payload: bytes) -> bool:
        passes = super()._passes_document(document, payload)
        if self.failure is not None or not passes:
            return passes
        if not self._has_begun:
            self._has_begun = True
            self._events.append(
                Begin(
                    id=text_of(document.get("responseId")),
                    model=text_of(document.get("modelVersion")),
                    created_at=created_at(document.get("createTime")),
                )
            )
        self._blocked = self._blocked or bool(block_reason(document))
        candidates = document.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict) and not candidate.get("index"):
                self._tell(candidate)
        return True

    def _tell(self, candidate: dict[str, Any]) -> None:
        for part in parts_in(candidate):
            for said in parts_of(part, partial(new_call_id, self._calls)):
                if not isinstance(said, Reasoning):
                    self._end_thought()
                match said:
                    case Text():
                        self._events.append(TextDelta(text=said.text))
                    case Reasoning():
                        self._tell_thought(said)
                    case ToolCall():
                        self._tell_call(said)
                    case _:
                        self._events.append(Block(part=said))
        if candidate.get("finishReason"):
            self._finish = candidate["finishReason"]

    def _tell_thought(self, thought: Reasoning) -> None:
        """Pieces of a thought go on until one has the signature, or something else comes."""
        if thought.text:
            self._thought.append(thought.text)
            self._events.append(ReasoningDelta(text=thought.text))
        if thought.signature:
            self._end_thought(thought.signature)

    def _end_thought(self, signature: str = "") -> None:
        if not self._thought and not signature:
            return
        text = "".join(self._thought)
        self._thought.clear()
        self._events.append(
            ReasoningEnd(part=Reasoning(text=text, signature=signature, origin=ORIGIN))
        )

    def _tell_call(self, call: ToolCall) -> None:
        self._events.append(CallBegin(index=self._calls, call=call))
        self._events.append(CallEnd(index=self._calls, signature=call.signature))
        self._calls += 1

    def _tell_done(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        self._end_thought()
        finish = finish_of(self._finish, self._judge, has_calls=bool(self._calls))
        if self._blocked and not self._ended:
            finish = Finish.FILTERED
        self._events.append(Done(finish=finish, usage=self.usage or Usage()))
