"""
The OpenAI-shaped protocols: chat completions, text completions, embeddings.

Requests are parsed in request.py, streams scanned in stream.py; whole replies and the errors that
callers get are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from providers.adapters.classify import failure_in_reply
from providers.adapters.wording import error_object, safe_text
from providers.errors import Failure, Fault
from providers.protocols.headers import forwarded_headers
from providers.protocols.request import Request, parse
from providers.protocols.stream import FAILED_FINISHES, StreamScanner
from providers.protocols.usage import StatedUsage, Usage, openai_usage

__all__ = [
    "Request",
    "StreamScanner",
    "Usage",
    "check_reply",
    "error_body",
    "error_event",
    "forwarded_headers",
    "parse",
]

# A message that holds one of these is an answer, though its content be null or empty.
_ANSWERS = (
    "content",
    "tool_calls",
    "function_call",
    "refusal",
    "reasoning_content",
    "reasoning",
    "audio",
    "images",
)


class _Vectors(Struct, gc=False):
    data: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None


_VECTORS = msgspec.json.Decoder(_Vectors)


class _Message(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    message: _Message


class _Completion(Struct, gc=False):
    """What nearly every chat answer needs looking at: 1 µs instead of 4 for the whole document."""

    choices: list[_Choice]
    usage: StatedUsage | None = None
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)


def check_reply(
    protocol: str,
    status: int,
    content_type: bytes | None,
    body: bytes,
    *,
    secrets: Sequence[str] = (),
) -> Usage | Failure:
    """What a whole 200 cost, or why it is no answer. No usage stated: all its counts are None."""
    problem: str | None = None
    document: Any = None
    if not body.strip():
        problem = "the reply is empty"
    elif content_type is not None and not _is_json(content_type):
        problem = f"the reply is {safe_text(content_type.decode('latin-1'))[:60]}, not JSON"
    else:
        try:
            quick = _QUICK.get(protocol)
            if quick is not None and (usage := quick(body)) is not None:
                return usage
            document = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            problem = "the reply is not whole JSON"
    if problem is None:
        error = error_object(document)
        if error is not None:
            return failure_in_reply(error, body, otherwise=Fault.BAD_REPLY, secrets=secrets)
        if not isinstance(document, dict):
            problem = "the reply is not a JSON object"
        elif protocol == "openai_embeddings":
            problem = None if _is_list(document.get("data")) else "the reply has no data"
        else:
            problem = _missing_answer(document, protocol)
    if problem is not None:
        return Failure(fault=Fault.BAD_REPLY, message=problem, status=status)
    return openai_usage(document.get("usage")) or Usage()


def error_body(
    message: str,
    *,
    type: str,  # noqa: A002  # the wire's own word
    code: str | None,
    param: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """An OpenAI error, which does not repeat the status. `extra` goes inside `error`."""
    error = {"message": message, "type": type, "param": param, "code": code, **(extra or {})}
    return msgspec.json.encode({"error": error})


def error_event(
    message: str,
    *,
    type: str,  # noqa: A002  # the wire's own word
    code: str | None,
    param: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """The last event of a stream that broke; no [DONE] follows, or the caller would believe it."""
    body = error_body(message, type=type, code=code, param=param, extra=extra)
    return b"data: " + body + b"\n\n"


def _vectors_usage(body: bytes) -> Usage | None:
    """
    The usage of a sound embeddings reply; None if it needs a closer look. Raises ValueError.

    The vectors are skipped, not decoded: thousands of them would hold the event loop up for half
    a second.
    """
    if not body.isascii():
        body.decode()
    reply = _VECTORS.decode(body)
    if not reply.data or reply.error is not None:
        return None
    return openai_usage(reply.usage) or Usage()


def _completion_usage(body: bytes) -> Usage | None:
    """The usage of a chat answer whose every choice holds text; None if it needs a closer look."""
    try:
        # msgspec does not look into the bytes of strings that it skips.
        completion = _COMPLETION.decode(body if body.isascii() else body.decode())
    except msgspec.ValidationError:
        return None
    if completion.error is not None or not completion.choices:
        return None
    for choice in completion.choices:
        if not choice.message.content:
            return None
    return completion.usage.usage() if completion.usage is not None else Usage()


_QUICK: Mapping[str, Callable[[bytes], Usage | None]] = {
    "openai_chat": _completion_usage,
    "openai_embeddings": _vectors_usage,
}


def _missing_answer(document: dict[str, Any], protocol: str) -> str | None:
    """What a completion lacks; None if every choice holds an answer."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        return "the reply has no choices"
    for choice in choices:
        if not isinstance(choice, dict):
            return "a choice is not an object"
        if protocol == "openai_chat":
            message = choice.get("message")
            if not isinstance(message, dict):
                return "a choice has no message"
            is_answer = any(message.get(name) for name in _ANSWERS)
            # An empty string is an answer of an honest model; null is not.
            is_said = is_answer or isinstance(message.get("content"), str)
        else:
            is_answer = bool(choice.get("text"))
            is_said = isinstance(choice.get("text"), str)
        if not is_said:
            return "a choice holds no content"
        if not is_answer and choice.get("finish_reason") in FAILED_FINISHES:
            return f"a choice ended with finish reason {choice['finish_reason']}, without content"
    return None


def _is_json(content_type: bytes) -> bool:
    kind = content_type.split(b";", 1)[0].strip().lower()
    return kind == b"application/json" or (
        kind.startswith(b"application/") and kind.endswith(b"+json")
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)
