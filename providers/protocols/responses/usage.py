"""How the Responses API states usage."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from providers.protocols import openai
from providers.protocols.usage import Count, Usage, count, members


class _Details(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


_NO_DETAILS = _Details()


class ResponseUsage(Struct, gc=False):
    """A plain `usage` member, for a decoder; odd ones take `usage_of`."""

    input_tokens: Count
    output_tokens: Count
    total_tokens: Count | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        read = self.input_tokens_details or _NO_DETAILS
        written = self.output_tokens_details or _NO_DETAILS
        output, reasoning = self.output_tokens, written.reasoning_tokens
        if reasoning:
            stated = openai.output_of(self.input_tokens, output, reasoning, self.total_tokens)
            output = output if stated is None else stated
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=output,
            cached_tokens=read.cached_tokens,
            cache_write_tokens=read.cache_write_tokens,
            reasoning_tokens=reasoning,
        )


def usage_of(stated: Any) -> Usage | None:
    """The `usage` member of a response; None if it is not an object."""
    if not isinstance(stated, dict):
        return None
    if "input_tokens" not in stated and "prompt_tokens" in stated:
        return openai.usage_of(stated)  # servers that took chat's counts along
    read = members(stated.get("input_tokens_details"))
    written = members(stated.get("output_tokens_details"))
    input_tokens, output_tokens = (
        count(stated.get("input_tokens")),
        count(stated.get("output_tokens")),
    )
    reasoning = count(written.get("reasoning_tokens"))
    if reasoning:
        total = count(stated.get("total_tokens"))
        output_tokens = openai.output_of(input_tokens, output_tokens, reasoning, total)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=count(read.get("cached_tokens")),
        cache_write_tokens=count(read.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
    )


def usage_told(usage: Usage) -> dict[str, Any]:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": read + written,
    }
