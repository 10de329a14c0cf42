"""What a whole 200 of Gemini is: an answer that cost so much, or none."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.protocols.protocol import Blame, Judge
from providers.protocols.usage import Count, Usage, count, members

# What stands beside the one member that makes a part what it is.
_BESIDE: Final = frozenset({"text", "thought", "thoughtSignature", "partMetadata"})


class UsageMetadata(Struct, gc=False):
    """A plain `usageMetadata`, for a decoder; odd ones take `usage_of`."""

    promptTokenCount: Count | None = None  # noqa: N815
    toolUsePromptTokenCount: Count | None = None  # noqa: N815
    candidatesTokenCount: Count | None = None  # noqa: N815
    thoughtsTokenCount: Count | None = None  # noqa: N815
    cachedContentTokenCount: Count | None = None  # noqa: N815

    def usage(self) -> Usage:
        return _usage(
            self.promptTokenCount,
            self.toolUsePromptTokenCount,
            self.candidatesTokenCount,
            self.thoughtsTokenCount,
            self.cachedContentTokenCount,
        )


def usage_of(stated: Any) -> Usage | None:
    """The `usageMetadata` of a reply or chunk; None if it is not an object."""
    if not isinstance(stated, dict):
        return None
    return _usage(*(count(stated.get(name)) for name in UsageMetadata.__struct_fields__))


def _usage(
    prompt: int | None,
    tools: int | None,
    candidates: int | None,
    thoughts: int | None,
    cached: int | None,
) -> Usage:
    """Google counts what tools brought in, and thoughts, beside the rest; here they are in it."""
    return Usage(
        input_tokens=_sum(prompt, tools),
        output_tokens=_sum(candidates, thoughts),
        cached_tokens=cached,
        reasoning_tokens=thoughts,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return (one or 0) + (other or 0) if one is not None or other is not None else None


def usage_told(usage: Usage) -> dict[str, int]:
    """`usageMetadata` for a caller."""
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    thoughts = min(usage.reasoning_tokens or 0, written)
    told = {"promptTokenCount": read, "candidatesTokenCount": written - thoughts}
    if usage.cached_tokens:
        told["cachedContentTokenCount"] = usage.cached_tokens
    if thoughts:
        told["thoughtsTokenCount"] = thoughts
    return {**told, "totalTokenCount": read + written}


class _Part(Struct, gc=False):
    text: str = ""


class _Content(Struct, gc=False):
    parts: list[_Part]


class _Candidate(Struct, gc=False):
    content: _Content


class _Reply(Struct, gc=False):
    """What nearly every answer needs looking at."""

    candidates: list[_Candidate]
    usageMetadata: UsageMetadata | None = None  # noqa: N815
    error: Any = None


_REPLY: Final = msgspec.json.Decoder(_Reply)


def plain_usage(body: bytes) -> Usage | None:
    """
    The usage of an answer whose every candidate holds text; None if it needs a closer look.

    Raises ValueError.
    """
    try:
        # msgspec does not look into the bytes of strings that it skips.
        reply = _REPLY.decode(body if body.isascii() else body.decode())
    except msgspec.ValidationError:
        return None
    if reply.error is not None or not reply.candidates:
        return None
    for candidate in reply.candidates:
        if not any(part.text for part in candidate.content.parts):
            return None
    return reply.usageMetadata.usage() if reply.usageMetadata is not None else Usage()


def missing(document: dict[str, Any], judge: Judge) -> str | None:
    """What a reply lacks; None if every candidate holds an answer, or says why it holds none."""
    candidates = document.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        # A prompt that was blocked is answered by saying so.
        return None if block_reason(document) else "the reply has no candidates"
    for candidate in candidates:
        if not isinstance(candidate, dict):
            return "a candidate is not an object"
        parts = parts_in(candidate)
        finish = candidate.get("finishReason")
        blame = judge.blame(finish) if isinstance(finish, str) else Blame.NOBODY
        is_answer = any(holds(part) for part in parts)
        if not is_answer and blame is Blame.PROVIDER:
            return f"a candidate ended with finish reason {finish}, without content"
        # An empty text is an answer of an honest model; no part at all is not.
        is_said = is_answer or any(isinstance(part.get("text"), str) for part in parts)
        if not is_said and blame is not Blame.CALLER:
            return "a candidate holds no content"
    return None


def block_reason(document: dict[str, Any]) -> str:
    """Why the prompt was not answered at all; "" if it was."""
    reason = members(document.get("promptFeedback")).get("blockReason")
    return reason if isinstance(reason, str) else ""


def parts_in(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a candidate's content that are objects."""
    parts = members(candidate.get("content")).get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def holds(part: dict[str, Any]) -> bool:
    """Whether a part adds to the answer: text that is not empty, a call, a picture."""
    text = part.get("text")
    if isinstance(text, str) and text:
        return True
    return any(part[name] for name in part if name not in _BESIDE)
