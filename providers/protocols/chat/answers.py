"""Whole chat completions to and from the canonical form."""

from __future__ import annotations

import time
from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies, openai
from providers.protocols.canonical import (
    Answer,
    Finish,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from providers.protocols.chat import reply
from providers.protocols.chat.shape import CHAT
from providers.protocols.protocol import Judge
from providers.protocols.reading import dicts_of, media_of_url, new_call_id, text_of
from providers.protocols.usage import Usage

FINISH_OF: Final = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.FILTERED,
    "refusal": Finish.REFUSED,
}
WORD_OF: Final = {
    Finish.STOP: "stop",
    Finish.STOP_STRING: "stop",
    Finish.LENGTH: "length",
    Finish.CONTEXT: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.FILTERED: "content_filter",
    Finish.REFUSED: "content_filter",
    Finish.PAUSED: "stop",
}


def answer_of(document: dict[str, Any], judge: Judge) -> Answer | Failure:
    """What a decoded 200 says, or why it is no answer."""
    problem = reply.missing(document, CHAT, judge)
    if problem is not None:
        return Failure(fault=Fault.BAD_REPLY, message=problem, status=200)
    choice = document["choices"][0]
    message = choice["message"]
    parts = tuple(parts_of(message))
    created = document.get("created")
    return Answer(
        id=text_of(document.get("id")),
        model=text_of(document.get("model")),
        created_at=int(created) if isinstance(created, (int, float)) else 0,
        parts=parts,
        finish=finish_of(choice.get("finish_reason"), parts),
        usage=openai.usage_of(document.get("usage")) or Usage(),
    )


def parts_of(message: dict[str, Any]) -> list[Part]:
    parts: list[Part] = []
    thought = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    if thought:
        parts.append(Reasoning(text=thought, origin="openai_chat"))
    content = message.get("content")
    if isinstance(content, str) and content:
        parts.append(Text(text=content))
    elif isinstance(content, list):
        texts = (text_of(part.get("text")) for part in content if isinstance(part, dict))
        parts += [Text(text=text) for text in texts if text]
    if refusal := text_of(message.get("refusal")):
        parts.append(Refusal(text=refusal))
    parts += images_of(message.get("images"))
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            parts.append(call_of(call, new_call_id(number)))
    old = message.get("function_call")
    if isinstance(old, dict):
        parts.append(call_of({"function": old}, new_call_id(len(parts))))
    return parts


def images_of(images: Any) -> list[Media]:
    """Those that a model has made; what is no base64 stays an address."""
    found = []
    for image in dicts_of(images):
        place = image.get("image_url")
        url = text_of(place.get("url")) if isinstance(place, dict) else ""
        if url and (not url.startswith("data:") or ";base64," in url):
            found.append(media_of_url(url, "image", "images"))
        elif url:
            found.append(Media(kind="image", url=url))
    return found


def call_of(call: dict[str, Any], otherwise: str) -> ToolCall:
    """A call as a provider or a caller tells it; its id is `otherwise` if it has none."""
    call_id = text_of(call.get("id")) or otherwise
    custom = call.get("custom")
    if isinstance(custom, dict):
        text = text_of(custom.get("input"))
        return ToolCall(
            id=call_id, name=text_of(custom.get("name")), arguments=text, is_custom=True
        )
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    if isinstance(arguments, dict):  # some servers tell an object, not its text
        arguments = bodies.encode(arguments).decode()
    text = text_of(arguments) or "{}"
    return ToolCall(id=call_id, name=text_of(function.get("name")), arguments=text)


def finish_of(stated: Any, parts: tuple[Part, ...]) -> Finish:
    """`stop` with calls is a call of tools, and the other way round."""
    finish = FINISH_OF.get(stated, Finish.STOP) if isinstance(stated, str) else Finish.STOP
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    if has_calls and finish is Finish.STOP:
        return Finish.TOOL_CALLS
    return Finish.STOP if finish is Finish.TOOL_CALLS and not has_calls else finish


# To a caller


def reply_of(answer: Answer) -> bytes:
    document = {
        "id": outward_id(answer.id),
        "object": CHAT.whole,
        "created": answer.created_at or int(time.time()),
        "model": answer.model,
        "choices": [
            {
                "index": 0,
                "message": _message(answer.parts),
                "logprobs": None,
                "finish_reason": WORD_OF[answer.finish],
            }
        ],
        "usage": usage_told(answer.usage),
    }
    return bodies.encode(document)


def _message(parts: tuple[Part, ...]) -> dict[str, Any]:
    texts = [part.text for part in parts if isinstance(part, Text)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    calls = [call_told(part) for part in parts if isinstance(part, ToolCall)]
    images = [image_told(part) for part in parts if isinstance(part, Media)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) or None,
    }
    details = [detail_told(thought) for thought in thoughts]
    details += [
        signature_told(part) for part in parts if isinstance(part, ToolCall) and part.signature
    ]
    if text := "".join(thought.text for thought in thoughts):
        message["reasoning_content"] = text
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    if images:
        message["images"] = images
    return message


def call_told(call: ToolCall) -> dict[str, Any]:
    if call.is_custom:
        custom = {"name": call.name, "input": call.arguments}
        return {"id": call.id, "type": "custom", "custom": custom}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def image_told(image: Media) -> dict[str, Any]:
    url = image.url or f"data:{image.media_type or 'image/png'};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def detail_told(thought: Reasoning) -> dict[str, Any]:
    """Reasoning with what its maker needs to read it again; callers send it back as it is."""
    told: dict[str, Any] = {"type": "reasoning.text", "text": thought.text}
    if thought.encrypted:
        told |= {"type": "reasoning.encrypted", "data": thought.encrypted}
    if thought.signature:
        told["signature"] = thought.signature
    if thought.id:
        told["id"] = thought.id
    if thought.call_id:
        told["call_id"] = thought.call_id
    if thought.raw is not None:
        told["raw"] = thought.raw
    return {**told, "format": thought.origin}


def signature_told(call: ToolCall) -> dict[str, Any]:
    """Gemini's signature of a call, for which a call has no place here."""
    return detail_told(
        Reasoning(signature=call.signature, call_id=call.id, origin="gemini_generate")
    )


def usage_told(usage: Usage) -> dict[str, Any]:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    prompt = {"cached_tokens": usage.cached_tokens or 0}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }


def outward_id(answer_id: str) -> str:
    return answer_id if answer_id.startswith("chatcmpl-") else f"chatcmpl-{answer_id}"
