"""What a request cost, from prices and the tokens that its provider stated."""

from __future__ import annotations

from typing import Final

from providers.adapters.spec import Prices
from providers.protocols.usage import Usage

MILLION: Final = 1_000_000


def cost_usd(
    prices: Prices | None, usage: Usage | None, *, has_output: bool = True
) -> float | None:
    """
    US dollars, or None where a price or a count that matters is unknown; never 0 for that.

    Input tokens include the cached and the written ones (`Usage`), which have prices of their
    own. Embeddings state no output: `has_output` says whether any is to be expected.
    """
    if prices is None or usage is None or usage.input_tokens is None:
        return None
    if usage.output_tokens is None and has_output:
        return None
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    plain = usage.input_tokens - cached - written
    if plain < 0:
        return None  # counts that contradict each other
    total = 0.0
    for name, tokens in (
        ("input", plain),
        ("cached_input", cached),
        ("cache_write", written),
        ("output", usage.output_tokens or 0),
    ):
        if not tokens:
            continue
        price = getattr(prices, name)
        for tier in prices.tiers:
            if usage.input_tokens > tier.above_input_tokens:
                changed = getattr(tier, name)
                price = price if changed is None else changed
        if price is None:
            return None
        total += tokens * price
    return total / MILLION
