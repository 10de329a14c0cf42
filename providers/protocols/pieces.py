"""Between whole answers and streams, in the canonical form."""

from __future__ import annotations

from collections.abc import Iterable

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
    calls: dict[int, int] = {}  # index of a call → its place
    thought = ""
    for event in events:
        if thought and not isinstance(event, (ReasoningDelta, ReasoningEnd)):
            parts.append(Reasoning(text=thought))
            thought = ""
        match event:
            case Begin():
                begin = event
            case TextDelta():
                last = parts[-1] if parts else None
                if isinstance(last, Text):
                    parts[-1] = Text(text=last.text + event.text)
                else:
                    parts.append(Text(text=event.text))
            case RefusalDelta():
                last = parts[-1] if parts else None
                if isinstance(last, Refusal):
                    parts[-1] = Refusal(text=last.text + event.text)
                else:
                    parts.append(Refusal(text=event.text))
            case ReasoningDelta():
                thought += event.text
            case ReasoningEnd():
                parts.append(event.part)
                thought = ""
            case CallBegin():
                calls[event.index] = len(parts)
                parts.append(event.call)
            case CallDelta():
                place = calls[event.index]
                parts[place] = _longer(parts[place], event.arguments)
            case CallEnd():
                if event.signature:
                    place = calls[event.index]
                    parts[place] = _longer(parts[place], "", event.signature)
            case Block():
                parts.append(event.part)
            case Done():
                done = event
    if done is None:
        return None
    return Answer(
        id=begin.id,
        model=begin.model,
        created_at=begin.created_at,
        parts=tuple(_whole(part) for part in parts),
        finish=done.finish,
        usage=done.usage,
        stop=done.stop,
    )


def _longer(call: Part, arguments: str, signature: str = "") -> ToolCall:
    assert isinstance(call, ToolCall)  # noqa: S101  # its index says so
    return ToolCall(
        id=call.id,
        name=call.name,
        arguments=call.arguments + arguments,
        is_custom=call.is_custom,
        signature=signature or call.signature,
        item_id=call.item_id,
    )


def _whole(part: Part) -> Part:
    """A call that got no arguments has an empty object of them."""
    if isinstance(part, ToolCall) and not part.arguments and not part.is_custom:
        return _longer(part, "{}")
    return part
