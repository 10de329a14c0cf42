"""What a request cost: known, or unknown; never 0 for unknown."""

from __future__ import annotations

import pytest

from providers.adapters.cost import cost_usd
from providers.adapters.spec import Prices, PriceTier
from providers.protocols import Usage

pytestmark = pytest.mark.pure

PRICES = Prices(input=2.0, output=10.0, cached_input=0.5, cache_write=3.0)


def test_input_and_output_each_have_their_price() -> None:
    assert cost_usd(PRICES, Usage(input_tokens=1_000_000, output_tokens=100_000)) == 3.0


def test_cached_and_written_tokens_are_part_of_the_input_and_have_prices_of_their_own() -> None:
    usage = Usage(
        input_tokens=1_000_000, output_tokens=0, cached_tokens=600_000, cache_write_tokens=100_000
    )
    assert cost_usd(PRICES, usage) == pytest.approx(0.3 * 2 + 0.6 * 0.5 + 0.1 * 3)


@pytest.mark.parametrize(
    ("missing", "usage"),
    [
        ("input", Usage(input_tokens=5, output_tokens=5)),
        ("output", Usage(input_tokens=5, output_tokens=5)),
        ("cached_input", Usage(input_tokens=5, output_tokens=5, cached_tokens=1)),
        ("cache_write", Usage(input_tokens=5, output_tokens=5, cache_write_tokens=1)),
    ],
)
def test_a_cost_with_an_unknown_price_in_it_is_unknown(missing: str, usage: Usage) -> None:
    known = {"input": 1.0, "output": 1.0, "cached_input": 1.0, "cache_write": 1.0}
    assert cost_usd(Prices(**known), usage) is not None
    assert cost_usd(Prices(**{**known, missing: None}), usage) is None


def test_a_price_that_nothing_is_counted_for_need_not_be_known() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0, cached_tokens=0)
    assert cost_usd(Prices(input=4.0), usage) == 4.0


def test_what_is_free_costs_nothing_and_what_is_unknown_has_no_cost() -> None:
    usage = Usage(input_tokens=5, output_tokens=5)
    assert cost_usd(Prices(input=0.0, output=0.0), usage) == 0.0
    assert cost_usd(None, usage) is None
    assert cost_usd(PRICES, None) is None
    assert cost_usd(PRICES, Usage(output_tokens=5)) is None
    assert cost_usd(PRICES, Usage(input_tokens=5)) is None


def test_embeddings_cost_their_input() -> None:
    assert cost_usd(Prices(input=0.1), Usage(input_tokens=10_000_000), has_output=False) == 1.0


def test_counts_that_contradict_each_other_give_no_cost() -> None:
    assert cost_usd(PRICES, Usage(input_tokens=5, output_tokens=1, cached_tokens=6)) is None


def test_above_a_size_the_whole_request_has_the_tiers_price() -> None:
    prices = Prices(
        input=1.0,
        output=4.0,
        cached_input=0.1,
        tiers=(
            PriceTier(above_input_tokens=200_000, input=2.0, output=6.0),
            PriceTier(above_input_tokens=500_000, input=3.0),
        ),
    )

    def cost(size: int, **more: int) -> float | None:
        return cost_usd(prices, Usage(input_tokens=size, output_tokens=1_000_000, **more))

    assert cost(200_000) == pytest.approx(0.2 * 1 + 4)
    assert cost(200_001) == pytest.approx(0.200001 * 2 + 6)
    assert cost(1_000_000) == pytest.approx(3 + 6)  # what the last tier leaves out stays
    assert cost(300_000, cached_tokens=100_000) == pytest.approx(0.2 * 2 + 0.1 * 0.1 + 6)
