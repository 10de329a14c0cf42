"""
How Messages state usage: input apart from what was cached, and in a stream more than once.

Source: `Usage` and `MessageDeltaUsage` of the anthropic SDK 2.11.0, read 2026-11-27.
"""

from __future__ import annotations

from typing import Any

from providers.protocols.usage import Usage, count, members


class Counts:
    """
    The counts of one answer. Those of a later event are totals and override; what it leaves out
    stays.
    """

    __slots__ = ("_output", "_plain", "_read", "_reasoning", "_written", "is_stated")

    def __init__(self) -> None:
        self.is_stated = False
        self._plain: int | None = None
        self._written: int | None = None
        self._read: int | None = None
        self._output: int | None = None
        self._reasoning: int | None = None

    def take(self, stated: Any) -> None:
        """A `usage` member; whatever is no object states nothing."""
        if not isinstance(stated, dict):
            return
        self.is_stated = True
        self._plain = _newer(self._plain, stated.get("input_tokens"))
        self._written = _newer(self._written, stated.get("cache_creation_input_tokens"))
        self._read = _newer(self._read, stated.get("cache_read_input_tokens"))
        self._output = _newer(self._output, stated.get("output_tokens"))
        details = members(stated.get("output_tokens_details"))
        self._reasoning = _newer(self._reasoning, details.get("thinking_tokens"))

    def usage(self) -> Usage:
        inputs = [n for n in (self._plain, self._written, self._read) if n is not None]
        return Usage(
            input_tokens=sum(inputs) if inputs else None,
            output_tokens=self._output,
            cached_tokens=self._read,
            cache_write_tokens=self._written,
            reasoning_tokens=self._reasoning,
        )


def usage_of(stated: Any) -> Usage | None:
    """The `usage` member of a whole message; None if it is not an object."""
    counts = Counts()
    counts.take(stated)
    return counts.usage() if counts.is_stated else None


def usage_told(usage: Usage) -> dict[str, Any]:
    """All counts that an SDK reads without asking whether they are there."""
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    told: dict[str, Any] = {
        "input_tokens": max((usage.input_tokens or 0) - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def _newer(held: int | None, stated: Any) -> int | None:
    found = count(stated)
    return held if found is None else found
