"""What an answer cost in tokens, read in passing."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0, lt=2**53)]


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """
    Token counts as the provider stated them; None where it stated nothing.

    `input_tokens` includes the cached ones, `output_tokens` the reasoning ones.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Details(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


_NO_DETAILS = _Details()


class StatedUsage(Struct, gc=False):
    """A plain `usage` member of an OpenAI reply, for a decoder; odd ones take `openai_usage`."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Count | None = None

    def usage(self) -> Usage:
        prompt = self.prompt_tokens_details or _NO_DETAILS
        completion = self.completion_tokens_details or _NO_DETAILS
        cached = prompt.cached_tokens
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
            # DeepSeek counts cache hits beside prompt_tokens, not inside its details.
            cached_tokens=self.prompt_cache_hit_tokens if cached is None else cached,
            cache_write_tokens=prompt.cache_write_tokens,
            reasoning_tokens=completion.reasoning_tokens,
        )


def openai_usage(stated: Any) -> Usage | None:
    """The `usage` member of an OpenAI reply or chunk; None if it is not an object."""
    if not isinstance(stated, dict):
        return None
    prompt = _members(stated.get("prompt_tokens_details"))
    completion = _members(stated.get("completion_tokens_details"))
    cached = _count(prompt.get("cached_tokens"))
    if cached is None:
        cached = _count(stated.get("prompt_cache_hit_tokens"))
    return Usage(
        input_tokens=_count(stated.get("prompt_tokens")),
        output_tokens=_count(stated.get("completion_tokens")),
        cached_tokens=cached,
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
    )


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    """`value` as a whole number of tokens: some vendors spell 12 as 12.0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # The bound also turns away NaN and infinity, and keeps a mad figure out of the database.
    return int(value) if 0 <= value < 2**53 else None
