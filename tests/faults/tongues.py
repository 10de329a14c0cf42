"""
What the byte-scripted provider says in each wire protocol, and how its callers read it.

Chat's own words are in says.py; a Tongue has the same of every protocol, so that one table of
faults serves all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults import says
from tests.faults.says import dump
from tests.support import gemini_stream, messages_stream, responses_stream, validator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SPARE_TEXT = "Hello from the spare one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a sound answer said. `finish` is None for a stream that ended in `error`."""

    text: str
    finish: str | None
    error: Mapping[str, Any] | None = None
    heartbeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """
    One protocol. `said` opens a stream and says some words; `ended` is that, and its end. `done` is
    the terminator, `error` an error event, `text` an event of text alone. `empty` are whole answers
    that hold none.
    """

    protocol: str
    path: Callable[[str, bool], str]
    body: Callable[[str, str, bool], dict[str, Any]]
    reply: Callable[[str], dict[str, Any]]
    said: Callable[[list[str]], bytes]
    ended: Callable[[list[str]], bytes]
    text: Callable[[str], bytes]
    done: bytes
    error: bytes
    empty: Mapping[str, Any]
    hear_stream: Callable[[bytes], Heard]
    hear_whole: Callable[[bytes], Heard]
    hear_error: Callable[[dict[str, Any]], Mapping[str, Any]]
    stop: str

    @property
    def role(self) -> bytes:
        return self.said([])

    @property
    def begun(self) -> bytes:
        return self.said(["Hello", " from"])

    @property
    def good(self) -> bytes:
        return dump(self.reply(says.TEXT))

    @property
    def stream(self) -> bytes:
        return self.ended(["Hello", " from", " the faulty one"])


def named(value: dict[str, Any]) -> bytes:
    """An event whose name is its type."""
    return b"event: " + value["type"].encode() + b"\ndata: " + dump(value) + b"\n\n"


# Chat


def _hear_chat(body: bytes) -> Heard:
    told = validator.read_stream(body)
    return Heard(text=told.text, finish=told.finish, error=told.error, heartbeats=told.heartbeats)


def _hear_chat_whole(body: bytes) -> Heard:
    choice = json.loads(body)["choices"][0]
    return Heard(text=choice["message"]["content"], finish=choice["finish_reason"])


def _chat_body(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    asked = {"stream": True} if stream else {}
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **asked}


def _chat_said(words: list[str]) -> bytes:
    return says.ROLE + b"".join(map(says.says, words))


CHAT = Tongue(
    protocol="openai_chat",
    path=lambda model, stream: "/v1/chat/completions",
    body=_chat_body,
    reply=lambda text: says.reply({"content": text}),
    said=_chat_said,
    ended=lambda words: _chat_said(words) + says.FINISH + says.DONE,
    text=says.says,
    done=says.DONE,
    error=says.event({"error": says.ERROR}),
    empty={
        "no-choices": {"id": "x", "object": "chat.completion"},
        "empty-choices": says.reply() | {"choices": []},
        "null-content": says.reply({"content": None}),
        "finish-error": says.reply({"content": ""}, choice={"finish_reason": "error"}),
        "finish-network-error": says.reply(
            {"content": ""}, choice={"finish_reason": "network_error"}
        ),
    },
    hear_stream=_hear_chat,
    hear_whole=_hear_chat_whole,
    hear_error=validator.read_error,
    stop="stop",
)

# Messages

_MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
    "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1},
}  # fmt: skip
_OVERLOADED = {
    "type": "error",
    "error": {"type": "api_error", "message": "The server had an error"},
}


def _message(text: str, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2}
    content = [{"type": "text", "text": text}]
    return {**_MESSAGE, "content": content, "stop_reason": "end_turn", "usage": usage, **more}


def _messages_text(text: str) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return named({"type": "content_block_delta", "index": 0, "delta": delta})


def _hear_messages(body: bytes) -> Heard:
    told = messages_stream.read_messages(body)
    return Heard(
        text=told.text, finish=told.stop_reason, error=told.error, heartbeats=told.heartbeats
    )


def _hear_message(body: bytes) -> Heard:
    message = messages_stream.read_message(body)
    text = "".join(block["text"] for block in message["content"])
    return Heard(text=text, finish=message["stop_reason"])


def _messages_body(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    asked = {"stream": True} if stream else {}
    messages = [{"role": "user", "content": prompt}]
    return {"model": model, "max_tokens": 64, "messages": messages, **asked}


def _messages_said(words: list[str]) -> bytes:
    block = {"type": "text", "text": ""}
    begun = named({"type": "message_start", "message": _MESSAGE}) + named(
        {"type": "content_block_start", "index": 0, "content_block": block}
    )
    return begun + b"".join(map(_messages_text, words))


def _messages_ended(words: list[str]) -> bytes:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return (
        _messages_said(words)
        + named({"type": "content_block_stop", "index": 0})
        + named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2}})
        + named({"type": "message_stop"})
    )


MESSAGES = Tongue(
    protocol="anthropic_messages",
    path=lambda model, stream: "/v1/messages",
    body=_messages_body,
    reply=_message,
    said=_messages_said,
    ended=_messages_ended,
    text=_messages_text,
    done=named({"type": "message_stop"}),
    error=named(_OVERLOADED),
    empty={
        "no-content": {k: v for k, v in _message("").items() if k != "content"},
        "empty-content": _message("", content=[]),
        "null-content": _message("", content=None),
        "no-message": {"hello": "world"},
    },
    hear_stream=_hear_messages,
    hear_whole=_hear_message,
    hear_error=messages_stream.read_messages_error,
    stop="end_turn",
)

# Responses


def _item(text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    content = [part] if status == "completed" else []
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _response(text: str | None, **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 3, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 5,
    }  # fmt: skip
    is_whole = text is not None
    return {
        "id": "resp_1", "object": "response", "created_at": 1700000000, "model": "m",
        "status": "completed" if is_whole else "in_progress", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
        "tool_choice": "auto", "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0,
        "output": [_item(text)] if text is not None else [], "usage": usage if is_whole else None,
        **more,
    }  # fmt: skip


def _responses_said(words: list[str]) -> bytes:
    return b"".join(_numbered(_responses_events(words)))


def _responses_ended(words: list[str]) -> bytes:
    text = "".join(words)
    part = _item(text)["content"][0]
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    ends = [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": _item(text)},
        {"type": "response.completed", "response": _response(text)},
    ]
    return b"".join(_numbered([*_responses_events(words), *ends]))


def _responses_events(words: list[str]) -> list[dict[str, Any]]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item = _item("", "in_progress")
    return [
        {"type": "response.created", "response": _response(None)},
        {"type": "response.in_progress", "response": _response(None)},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": empty},
        *(
            {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
            for word in words
        ),
    ]


def _numbered(events: list[dict[str, Any]]) -> list[bytes]:
    return [named({**event, "sequence_number": n}) for n, event in enumerate(events)]


def _hear_responses(body: bytes) -> Heard:
    told = responses_stream.read_stream(body)
    finish = None if told.error is not None else told.response["status"]
    return Heard(text=told.text, finish=finish, error=told.error, heartbeats=told.heartbeats)


def _hear_response(body: bytes) -> Heard:
    response = json.loads(body)
    parts = [part for item in response["output"] for part in item["content"]]
    return Heard(text="".join(part["text"] for part in parts), finish=response["status"])


def _responses_body(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    return {"model": model, "input": prompt, **({"stream": True} if stream else {})}


RESPONSES = Tongue(
    protocol="openai_responses",
    path=lambda model, stream: "/v1/responses",
    body=_responses_body,
    reply=_response,
    said=_responses_said,
    ended=_responses_ended,
    text=lambda text: _numbered(_responses_events([text]))[-1],
    done=b"",
    error=named(
        {
            "type": "error", "code": "server_error", "message": "The server had an error",
            "param": None, "sequence_number": 6,
        }
    ),
    empty={
        "no-output": {k: v for k, v in _response("").items() if k != "output"},
        "empty-output": _response("", output=[]),
        "failed": _response(
            None, status="failed", error={"code": "server_error", "message": "It failed"}
        ),
        "no-response": {"hello": "world"},
    },
    hear_stream=_hear_responses,
    hear_whole=_hear_response,
    hear_error=validator.read_error,
    stop="completed",
)  # fmt: skip

# Gemini


def _candidates(text: str | None, finish: str | None = None) -> dict[str, Any]:
    parts = [] if text is None else [{"text": text}]
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    return {
        "candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1",
    }  # fmt: skip


def _gemini_text(text: str) -> bytes:
    return says.event(_candidates(text))


def _gemini_said(words: list[str]) -> bytes:
    return b"".join(map(_gemini_text, words)) or says.event(_candidates(None))


def _hear_gemini(body: bytes) -> Heard:
    told = gemini_stream.read_stream(body)
    return Heard(text=told.text, finish=told.finish, error=told.error, heartbeats=told.heartbeats)


def _hear_gemini_whole(body: bytes) -> Heard:
    told = gemini_stream.read_whole(body)
    return Heard(text=told.text, finish=told.finish)


def _gemini_path(model: str, stream: bool) -> str:
    return f"/v1beta/models/{model}:" + (
        "streamGenerateContent?alt=sse" if stream else "generateContent"
    )


def _gemini_body(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    del model, stream  # the path says both
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}


GEMINI = Tongue(
    protocol="gemini_generate",
    path=_gemini_path,
    body=_gemini_body,
    reply=lambda text: _candidates(text, "STOP"),
    said=_gemini_said,
    ended=lambda words: (
        _gemini_said(words[:-1]) + says.event(_candidates(words[-1] if words else None, "STOP"))
    ),
    text=_gemini_text,
    done=b"",
    error=says.event(
        {"error": {"code": 500, "message": "The server had an error", "status": "INTERNAL"}}
    ),
    empty={
        "no-candidates": {"usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}},
        "empty-candidates": _candidates("") | {"candidates": []},
        "no-parts": _candidates(None, "STOP"),
        "malformed-call": _candidates(None, "MALFORMED_FUNCTION_CALL"),
    },
    hear_stream=_hear_gemini,
    hear_whole=_hear_gemini_whole,
    hear_error=gemini_stream.read_error,
    stop="STOP",
)

TONGUES = (CHAT, RESPONSES, MESSAGES, GEMINI)
