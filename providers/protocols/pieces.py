"""Between whole answers and streams, in the canonical form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from providers.protocols.canonical import (
    Answer,
    Begin,
    Block,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Event,
    Part,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
)


def events_of(answer: Answer) -> list[Event]:
    """A whole answer as the stream that says the same."""
    events: list[Event] = [
        Begin(id=answer.id, model=answer.model, created_at=answer.created_at, usage=answer.usage)
    ]
    calls = 0
    for part in answer.parts:
        match part:
            case Text():
                events.append(TextDelta(text=part.text))
            case Refusal():
                events.append(RefusalDelta(text=part.text))
            case Reasoning():
                if part.text:
                    events.append(ReasoningDelta(text=part.text))
                events.append(ReasoningEnd(part=part))
            case ToolCall():
                events.append(CallBegin(index=calls, call=part))
                events.append(CallEnd(index=calls, signature=part.signature))
                calls += 1
            case _:
                events.append(Block(part=part))
    events.append(Done(finish=answer.finish, usage=answer.usage, stop=answer.stop))
    return events


def answer_of(events: Iterable[Event]) -> Answer | None:
    """The answer that a stream adds up to; None if it has not ended."""
    begin, done = Begin(id="", model=""), None
    parts: list[Part] = []
    calls: dict[int, _Call] = {}
    said: list[str] = []  # pieces of a text, a refusal or a thought that goes on
    kind: type[Text | Refusal | Reasoning] = Text
    for event in events:
        if said and _PIECES.get(type(event)) is not kind:
            parts.append(kind(text="".join(said)))
            said = []
        match event:
            case Begin():
                begin = event
            case TextDelta() | RefusalDelta() | ReasoningDelta():
                said.append(event.text)
                kind = _PIECES[type(event)]
            case ReasoningEnd():
                parts.append(event.part)
                said = []
            case CallBegin():
                calls[event.index] = _Call(len(parts), event.call)
                parts.append(event.call)
            case CallDelta():
                calls[event.index].pieces.append(event.arguments)
            case CallEnd():
                calls[event.index].signature = event.signature
            case Block():
                parts.append(event.part)
            case Done():
                done = event
    if done is None:
        return None
    for call in calls.values():
        parts[call.place] = call.whole()
    return Answer(
        id=begin.id,
        model=begin.model,
        created_at=begin.created_at,
        parts=tuple(parts),
        finish=done.finish,
        usage=done.usage,
        stop=done.stop,
    )


_PIECES: Final[dict[type, type[Text | Refusal | Reasoning]]] = {
    TextDelta: Text,
    RefusalDelta: Refusal,
    ReasoningDelta: Reasoning,
    ReasoningEnd: Reasoning,  # which has all of it
}


class _Call:
    """A call that is being told, at its `place` among the parts."""

    def __init__(self, place: int, begun: ToolCall) -> None:
        self.place = place
        self.begun = begun
        self.pieces = [begun.arguments]
        self.signature = ""

    def whole(self) -> ToolCall:
        """One that got no arguments has an empty object of them."""
        call, arguments = self.begun, "".join(self.pieces)
        return ToolCall(
            id=call.id,
            name=call.name,
            arguments=arguments if arguments or call.is_custom else "{}",
            is_custom=call.is_custom,
            signature=self.signature or call.signature,
            item_id=call.item_id,
        )
