"""Whole messages to and from the canonical form."""

from __future__ import annotations

import time
from typing import Any, Final

from providers.errors import Failure
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
from providers.protocols.messages import reply
from providers.protocols.messages.calls import arguments_of, input_of, outward_id
from providers.protocols.messages.usage import usage_of, usage_told
from providers.protocols.protocol import Judge
from providers.protocols.reading import new_call_id, text_of
from providers.protocols.sealing import is_sealed, seal, unseal
from providers.protocols.usage import Usage, members
from providers.protocols.whole import no_answer

ORIGIN: Final = "anthropic_messages"
FINISH_OF: Final = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_STRING,
    "max_tokens": Finish.LENGTH,
    "compaction": Finish.LENGTH,
    "model_context_window_exceeded": Finish.CONTEXT,
    "tool_use": Finish.TOOL_CALLS,
    "pause_turn": Finish.PAUSED,
    "refusal": Finish.REFUSED,
}
WORD_OF: Final = {
    Finish.STOP: "end_turn",
    Finish.STOP_STRING: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.CONTEXT: "model_context_window_exceeded",
    Finish.TOOL_CALLS: "tool_use",
    Finish.FILTERED: "refusal",
    Finish.REFUSED: "refusal",
    Finish.PAUSED: "pause_turn",
}


def answer_of(document: dict[str, Any], judge: Judge) -> Answer | Failure:
    """What a decoded 200 says, or why it is no answer."""
    problem = reply.missing(document, judge)
    if problem is not None:
        return no_answer(problem)
    parts = [part_of(block, number) for number, block in enumerate(document["content"])]
    reason = text_of(document.get("stop_reason"))
    if reason == "refusal" and (why := explanation_of(document)):
        parts.append(Refusal(text=why))
    said = tuple(part for part in parts if not (isinstance(part, Text) and not part.text))
    return Answer(
        id=text_of(document.get("id")),
        model=text_of(document.get("model")),
        parts=said,
        finish=finish_of(reason, has_calls=any(isinstance(part, ToolCall) for part in said)),
        usage=usage_of(document.get("usage")) or Usage(),
        stop=text_of(document.get("stop_sequence")),
    )


def part_of(block: dict[str, Any], number: int) -> Part:
    """A content block of an answer; `number` is its place, for a call without an id."""
    match block.get("type"):
        case "text":
            return Text(text=text_of(block.get("text")))
        case "thinking" | "redacted_thinking":
            return thought_of(block)
        case "tool_use":
            return ToolCall(
                id=text_of(block.get("id")) or new_call_id(number),
                name=text_of(block.get("name")),
                arguments=arguments_of(block.get("input")),
            )
    return Raw(origin=ORIGIN, value=block)


def thought_of(block: dict[str, Any]) -> Reasoning:
    """A thinking block: Anthropic's own with all that it is, or one of ours that comes home."""
    text, signature = text_of(block.get("thinking")), text_of(block.get("signature"))
    opaque = signature or text_of(block.get("data"))
    if is_sealed(opaque):
        # Of nobody if it was changed: whoever writes it leaves it out, and says so.
        return unseal(opaque, text) or Reasoning(text=text)
    encrypted = text_of(block.get("data"))
    return Reasoning(text=text, signature=signature, encrypted=encrypted, origin=ORIGIN, raw=block)


def explanation_of(message: dict[str, Any]) -> str:
    """Why a model refused, in its provider's words."""
    return text_of(members(message.get("stop_details")).get("explanation"))


def finish_of(reason: str, *, has_calls: bool) -> Finish:
    """The end of a turn with calls is a call of tools, and the other way round."""
    finish = FINISH_OF.get(reason, Finish.STOP)
    if has_calls and finish is Finish.STOP:
        return Finish.TOOL_CALLS
    return Finish.STOP if finish is Finish.TOOL_CALLS and not has_calls else finish


# To a caller


def reply_of(answer: Answer) -> bytes:
    content: list[dict[str, Any]] = []
    for part in answer.parts:
        content += blocks_of(part)
    refusals = "".join(part.text for part in answer.parts if isinstance(part, Refusal))
    return bodies.encode(
        {
            **shell_of(answer.id, answer.model),
            "content": content,
            **ending_of(answer.finish, answer.stop, refusals),
            "usage": usage_told(answer.usage),
        }
    )


def shell_of(answer_id: str, model: str) -> dict[str, Any]:
    given = answer_id or f"{time.time_ns():x}"
    return {
        "id": given if given.startswith("msg_") else f"msg_{given}",
        "type": "message",
        "role": "assistant",
        "model": model,
    }


def ending_of(finish: Finish, stop: str, refusal: str) -> dict[str, Any]:
    """The members that say why an answer ended; a refusal's text is told beside its block."""
    reason = "refusal" if refusal else WORD_OF[finish]
    told: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reason == "stop_sequence":
        told["stop_sequence"] = stop
    if reason == "refusal":
        told["stop_details"] = {
            "type": "refusal", "category": None, "explanation": refusal or None,
        }  # fmt: skip
    return told


def blocks_of(part: Part) -> list[dict[str, Any]]:
    """A part as whole blocks."""
    match part:
        case Text() | Refusal():
            return [{"type": "text", "text": part.text}] if part.text else []
        case Reasoning():
            return [thought_told(part)]
        case ToolCall():
            given = input_of(part)
            if given is None:
                raise RecursionError  # Translated has looked: it is an object, of a mad depth
            call = {"type": "tool_use", "id": outward_id(part.id), "name": part.name}
            return [*signed(part.id, part.signature), {**call, "input": given}]
        case Raw(origin=origin) if origin == ORIGIN:
            return [part.value]
        case Media():
            return [{"type": "text", "text": media_told(part)}]
    return []


def thought_told(thought: Reasoning) -> dict[str, Any]:
    """
    Thinking with a signature, without which Anthropic's clients drop it: its own, or a sealed one.
    """
    if thought.origin == ORIGIN and thought.raw is not None:
        return thought.raw
    if thought.origin == ORIGIN and thought.encrypted:
        return {"type": "redacted_thinking", "data": thought.encrypted}
    return {"type": "thinking", "thinking": thought.text, "signature": signature_of(thought)}


def signature_of(thought: Reasoning) -> str:
    is_own = thought.origin == ORIGIN and thought.signature
    return thought.signature if is_own else seal(thought)


def signed(call_id: str, signature: str) -> list[dict[str, Any]]:
    """Gemini's signature of a call, which has no place in the call, as a thought before it."""
    if not signature:
        return []
    thought = Reasoning(origin="gemini_generate", signature=signature, call_id=outward_id(call_id))
    return [thought_told(thought)]


def media_told(media: Media) -> str:
    """What a model made and Messages cannot carry in an answer."""
    if media.url and not media.url.startswith("data:"):
        return f"![{media.kind}]({media.url})"
    return f"[{media.kind} of type {media.media_type or 'unknown'}, which Messages cannot carry]"
