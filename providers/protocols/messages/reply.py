"""What a whole 200 of Messages is: an answer that cost so much, or none."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.errors import Failure
from providers.protocols.messages.usage import usage_of
from providers.protocols.protocol import Blame, Judge
from providers.protocols.reading import text_of
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer


class _Block(Struct, gc=False):
    type: str
    text: str | None = None


class _Message(Struct, gc=False):
    """What nearly every answer needs looking at."""

    content: list[_Block]
    usage: dict[str, Any] | None = None
    error: Any = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)


def check(content_type: bytes | None, body: bytes, judge: Judge) -> Usage | Failure:
    """What a whole 200 cost, or why it is no answer."""
    found = decoded(content_type, body, judge, _plain_usage)
    if not isinstance(found, dict):
        return found
    problem = missing(found, judge)
    if problem is not None:
        return no_answer(problem)
    return usage_of(found.get("usage")) or Usage()


def _plain_usage(body: bytes) -> Usage | None:
    """The usage of an answer with text or a call; None if it needs a closer look."""
    try:
        # msgspec does not look into the bytes of strings that it skips.
        message = _MESSAGE.decode(body if body.isascii() else body.decode())
    except msgspec.ValidationError:
        return None
    if message.error is not None:
        return None
    if not any(block.text or block.type == "tool_use" for block in message.content):
        return None
    return usage_of(message.usage) or Usage()


def missing(document: dict[str, Any], judge: Judge) -> str | None:
    """What a message lacks; None if it holds an answer, or says why it holds none."""
    content = document.get("content")
    if not isinstance(content, list):
        return "the reply has no content"
    if not all(isinstance(block, dict) for block in content):
        return "a content block is not an object"
    if any(_is_answer(block) for block in content):
        return None
    reason = text_of(document.get("stop_reason"))
    blame = judge.blame(reason) if reason else Blame.NOBODY
    if blame is Blame.PROVIDER:
        return f"the reply ended with stop reason {reason}, without content"
    # An empty text is an answer of an honest model; no block at all is not.
    is_said = any(isinstance(block.get("text"), str) for block in content)
    if not is_said and blame is not Blame.CALLER:
        return "the reply holds no content"
    return None


def _is_answer(block: dict[str, Any]) -> bool:
    match block.get("type"):
        case "text":
            return bool(block.get("text"))
        case "thinking":
            return bool(block.get("thinking") or block.get("signature"))
    return bool(block.get("type"))
