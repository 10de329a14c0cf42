"""Whole responses as the canonical form has them, and the words of this protocol for an end."""

from __future__ import annotations

from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.canonical import (
    Answer,
    Finish,
    Media,
    Part,
    Raw,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from providers.protocols.protocol import Judge
from providers.protocols.reading import dicts_of, new_call_id, text_of
from providers.protocols.responses import reply
from providers.protocols.responses.items import NAME, call_of, reasoning_of
from providers.protocols.responses.usage import usage_of
from providers.protocols.usage import Usage
from providers.protocols.whole import no_answer

_INCOMPLETE: Final = {
    "max_output_tokens": Finish.LENGTH,
    "content_filter": Finish.FILTERED,
}


def answer_of(document: dict[str, Any], judge: Judge) -> Answer | Failure:
    """What a decoded 200 says, or why it is no answer."""
    payload = b"" if document.get("status") != "failed" else bodies.encode(document)
    failure = reply.failure_of(document, judge, payload, otherwise=Fault.BAD_REPLY)
    if failure is not None:
        return failure
    problem = reply.missing(document, judge)
    if problem is not None:
        return no_answer(problem)
    parts: list[Part] = []
    for item in document["output"] or ():
        parts += parts_of(item, len(parts))
    return Answer(
        id=text_of(document.get("id")),
        model=text_of(document.get("model")),
        created_at=created_at(document),
        parts=tuple(parts),
        finish=finish_of(document, parts),
        usage=usage_of(document.get("usage")) or Usage(),
    )


def parts_of(item: dict[str, Any], number: int) -> list[Part]:
    """What an item of an output says; `number` makes an id where a call has none."""
    kind = item.get("type")
    if kind == "message":
        return spoken_of(item)
    if kind in ("function_call", "custom_tool_call"):
        return [call_of(item, new_call_id(number))]
    if kind == "reasoning":
        thought = reasoning_of(item)
        return [thought] if is_kept(thought) else []
    if kind == "image_generation_call" and text_of(item.get("result")):
        form = text_of(item.get("output_format")) or "png"
        return [Media(kind="image", media_type=f"image/{form}", data=item["result"])]
    return [Raw(origin=NAME, value=item)] if isinstance(kind, str) else []


def spoken_of(item: dict[str, Any]) -> list[Part]:
    found: list[Part] = []
    for part in dicts_of(item.get("content")):
        if refusal := text_of(part.get("refusal")):
            found.append(Refusal(text=refusal))
        elif text := text_of(part.get("text")):
            found.append(Text(text=text))
    return found


def is_kept(thought: Reasoning) -> bool:
    """Whether there is anything in it to show or to send back."""
    return bool(thought.text or thought.encrypted)


def finish_of(response: dict[str, Any], parts: list[Part]) -> Finish:
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return _INCOMPLETE.get(text_of(reason), Finish.LENGTH)
    if any(isinstance(part, ToolCall) for part in parts):
        return Finish.TOOL_CALLS
    is_refused = any(isinstance(part, Refusal) for part in parts)
    return Finish.REFUSED if is_refused else Finish.STOP


def created_at(response: dict[str, Any]) -> int:
    created = response.get("created_at")
    if isinstance(created, bool) or not isinstance(created, (int, float)):
        return 0
    return int(created) if 0 <= created < 2**53 else 0
