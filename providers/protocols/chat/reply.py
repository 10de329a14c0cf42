"""What a whole 200 of chat or text completions is: an answer that cost so much, or none."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.errors import Failure
from providers.protocols import openai
from providers.protocols.chat.shape import Shape
from providers.protocols.protocol import Blame, Judge
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer

# A message that holds one of these is an answer, though its content be null or empty.
_ANSWERS: Final = (
    "content",
    "tool_calls",
    "function_call",
    "refusal",
    "reasoning_content",
    "reasoning",
    "audio",
    "images",
)


class _Message(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    message: _Message


class _Completion(Struct, gc=False):
    """What nearly every chat answer needs looking at: 1 µs instead of 4 for the whole document."""

    choices: list[_Choice]
    usage: openai.StatedUsage | None = None
    error: Any = None


_COMPLETION: Final = msgspec.json.Decoder(_Completion)


def check(shape: Shape, content_type: bytes | None, body: bytes, judge: Judge) -> Usage | Failure:
    """What a whole 200 cost, or why it is no answer."""
    document = decoded(content_type, body, judge, plain_usage if shape.is_chat else None)
    if isinstance(document, (Usage, Failure)):
        return document
    problem = missing(document, shape, judge)
    if problem is not None:
        return no_answer(problem)
    return openai.usage_of(document.get("usage")) or Usage()


def plain_usage(body: bytes) -> Usage | None:
    """
    The usage of a chat answer whose every choice holds text; None if it needs a closer look.

    Raises ValueError.
    """
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


def missing(document: dict[str, Any], shape: Shape, judge: Judge) -> str | None:
    """What a completion lacks; None if every choice holds an answer, or says why it holds none."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        return "the reply has no choices"
    for choice in choices:
        if not isinstance(choice, dict):
            return "a choice is not an object"
        if shape.is_chat:
            message = choice.get("message")
            if not isinstance(message, dict):
                return "a choice has no message"
            is_answer = any(message.get(name) for name in _ANSWERS)
            # An empty string is an answer of an honest model; null is not.
            is_said = is_answer or isinstance(message.get("content"), str)
        else:
            is_answer = bool(choice.get("text"))
            is_said = isinstance(choice.get("text"), str)
        finish = choice.get("finish_reason")
        blame = judge.blame(finish) if isinstance(finish, str) else Blame.NOBODY
        if not is_answer and blame is Blame.PROVIDER:
            return f"a choice ended with finish reason {finish}, without content"
        if not is_said and blame is not Blame.CALLER:
            return "a choice holds no content"
    return None
