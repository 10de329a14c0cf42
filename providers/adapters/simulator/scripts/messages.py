"""Anthropic's Messages, and their count of tokens."""

from __future__ import annotations

from typing import Any, Final

from providers.adapters.simulator.scripts.script import (
    Ask,
    Called,
    Events,
    Script,
    error_words,
    last_of,
    named,
    objects,
    ordered,
    texts_in,
    tokens,
    told,
    words,
)
from providers.protocols import bodies

# docs.anthropic.com/en/api/errors, 2026-11-27.
_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Anthropic(Script):
    def error(self, status: int, message: str, retry_after_s: float | None = None) -> bytes:
        del retry_after_s  # a header says it
        type_ = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        if status == 404:
            message = f"model: {message}"
        said = {"type": type_, "message": message}
        return bodies.encode({"type": "error", "error": said, "request_id": "req_simulated"})

    def error_event(self, name: str, sent: int) -> bytes:
        del sent
        said = {"type": "api_error", "message": error_words(name)}
        return named({"type": "error", "error": said})


class MessagesScript(_Anthropic):
    def reply(self, ask: Ask) -> dict[str, Any]:
        text, call = _answer(ask)
        block: dict[str, Any] = {"type": "text", "text": text}
        if call is not None:
            block = _tool_use(ask, call, bodies.decode(call.arguments.encode()))
        return _message(ask, [block], _stop(call), len(text.split()))

    def events(self, ask: Ask) -> Events:
        text, call = _answer(ask)
        begun = {"type": "message_start", "message": _message(ask, [], None, 1)}
        opening = [begun]
        if call is None:
            opening.append(_start({"type": "text", "text": ""}))
            contents = [_delta({"type": "text_delta", "text": word}) for word in words(text)]
        else:
            contents = [_start(_tool_use(ask, call, {}))]
            contents += [
                _delta({"type": "input_json_delta", "partial_json": piece}) for piece in call.pieces
            ]
        opening.append({"type": "ping"})
        ended = {"stop_reason": _stop(call), "stop_sequence": None}
        usage = {"output_tokens": len(text.split())}
        closing: list[dict[str, Any]] = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": usage},
            {"type": "message_stop"},
        ]
        return Events(
            [named(event) for event in opening],
            [named(event) for event in contents],
            [named(event) for event in closing],
        )


class MessagesCountScript(_Anthropic):
    streams = False

    def reply(self, ask: Ask) -> dict[str, Any]:
        return {"input_tokens": _input_tokens(ask)}


def _answer(ask: Ask) -> tuple[str, Called | None]:
    last = last_of(ask.request.get("messages"))
    last = last if isinstance(last, dict) else {}
    content = last.get("content")
    results = [part for part in objects(content) if part.get("type") == "tool_result"]
    said = texts_in(content) or texts_in(results[-1].get("content") if results else None)
    call = None
    if last.get("role") == "user" and not results:
        names = [tool.get("name") for tool in objects(ask.request.get("tools"))]
        call = ordered(said, {name: False for name in names if isinstance(name, str)})
    return told(ask, ask.model, said), call


def _start(block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def _delta(delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def _tool_use(ask: Ask, call: Called, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": ask.id("toolu_"), "name": call.name, "input": given}


def _stop(call: Called | None) -> str:
    return "end_turn" if call is None else "tool_use"


def _message(
    ask: Ask, content: list[dict[str, Any]], stop: str | None, output: int
) -> dict[str, Any]:
    return {
        "id": ask.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": ask.request.get("model"),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": _input_tokens(ask),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
        },
    }


def _input_tokens(ask: Ask) -> int:
    told = ("system", "messages", "tools")
    return tokens({name: ask.request[name] for name in told if name in ask.request})
