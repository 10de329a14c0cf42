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


def members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def count(value: Any) -> int | None:
    """`value` as a whole number of tokens: some vendors spell 12 as 12.0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # The bound also turns away NaN and infinity, and keeps a mad figure out of the database.
    return int(value) if 0 <= value < 2**53 else None
