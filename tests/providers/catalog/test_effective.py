"""Which facts count: operators over imports over what is shipped, fact by fact."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from providers.adapters.spec import ModelFacts, Prices, PriceTier
from providers.catalog.effective import OPERATOR, Lookup
from providers.catalog.entry import Entry, PriceList, Source, Tier
from providers.catalog.shipped import Catalog

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE = {"page": Source(cite="https://example.com", as_of=date(2026, 11, 1))}
MODEL = Entry(
    vendor="v",
    id="m",
    context_window=1000,
    max_output_tokens=100,
    input=("text", "image"),
    capabilities={"tools": True},
    prices=(PriceList(input=2.0, output=8.0, cached_input=0.2),),
    sources={"*": "page"},
)


def lookup(*shipped: Entry, imported: tuple[Entry, ...] = (), now: datetime = NOW) -> Lookup:
    return Lookup(Catalog(shipped, SOURCE), Catalog(imported, IMPORTED), now=now)


IMPORTED = {"file": Source(cite="imported from a file", as_of=date(2026, 11, 2))}


def test_a_model_of_the_catalogue_has_its_facts():
    assert lookup(MODEL).facts("v", "m", {}) == ModelFacts(
        context_window=1000,
        max_output_tokens=100,
        capabilities={"vision": True, "audio": False, "tools": True},
        prices=Prices(input=2.0, output=8.0, cached_input=0.2),
    )


def test_documents_are_unknown_where_the_modalities_do_not_name_them():
    assert "files" not in lookup(MODEL).facts("v", "m", {}).capabilities


def test_what_operators_state_wins_fact_by_fact_and_says_so():
    metadata = {"context_window": 5, "capabilities": {"tools": False}, "pricing": {
        "input_per_mtok": 7}}  # fmt: skip
    known = lookup(MODEL).known("v", "m", metadata)
    assert known.facts.context_window == 5
    assert known.facts.capabilities == {"vision": True, "audio": False, "tools": False}
    assert known.facts.prices == Prices(input=7.0, output=8.0, cached_input=0.2)
    assert known.sources["prices.input"] == known.sources["capabilities.tools"] == OPERATOR
    assert known.sources["prices.output"] == "https://example.com, 2026-11-01"
    assert lookup(MODEL).facts("v", "m", metadata) == known.facts


def test_what_was_imported_wins_over_what_is_shipped_and_hides_nothing_else():
    newer = Entry(vendor="v", id="m", context_window=9, sources={"context_window": "file"})
    known = lookup(MODEL, imported=(newer,)).known("v", "m", {})
    assert known.facts.context_window == 9
    assert known.facts.max_output_tokens == 100
    assert known.sources["context_window"] == "imported from a file, 2026-11-02"
    assert [entry.context_window for entry in known.matched] == [9, 1000]


def test_tiers_give_way_where_an_operator_states_a_price():
    tiered = Entry(
        vendor="v",
        id="m",
        prices=(
            PriceList(
                input=1.0,
                output=4.0,
                tiers=(Tier(above_input_tokens=10, input=2.0, output=6.0),),
            ),
        ),
    )
    stated = {"pricing": {"input_per_mtok": 0.5}}
    assert lookup(tiered).facts("v", "m", stated).prices == Prices(
        input=0.5, output=4.0, tiers=(PriceTier(above_input_tokens=10, output=6.0),)
    )
    both = {"pricing": {"input_per_mtok": 0.5, "output_per_mtok": 1}}
    assert lookup(tiered).facts("v", "m", both).prices == Prices(input=0.5, output=1.0)
    own = {"pricing": {"tiers": [{"above_input_tokens": 99, "input_per_mtok": 3}]}}
    assert lookup(tiered).facts("v", "m", own).prices.tiers == (
        PriceTier(above_input_tokens=99, input=3.0),
    )


def test_an_unknown_vendor_finds_only_what_the_metadata_names():
    assert lookup(MODEL).facts("", "m", {}) is None
    assert lookup(MODEL).facts("", "x", {"catalog": "v/m"}).context_window == 1000
    assert lookup(MODEL).facts("w", "x", {"catalog": "v/m"}).context_window == 1000


def test_metadata_may_have_nothing_to_do_with_the_catalogue():
    assert lookup(MODEL).facts("v", "m", {"catalog": "none"}) is None


def test_a_name_that_no_catalogue_has_leaves_what_is_stated():
    stated = {"catalog": "v/unheard-of", "context_window": 7}
    assert lookup(MODEL).facts("v", "m", stated) == ModelFacts(context_window=7)


def test_prices_are_those_of_the_day():
    dated = Entry(
        vendor="v",
        id="m",
        prices=(PriceList(input=1.0), PriceList(from_=date(2027, 1, 1), input=2.0)),
    )
    assert lookup(dated).facts("v", "m", {}).prices.input == 1.0
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert lookup(dated, now=later).facts("v", "m", {}).prices.input == 2.0


@pytest.mark.parametrize(
    ("between", "hour", "price"),
    [
        ((time(1), time(4)), 0, 1.0),
        ((time(1), time(4)), 1, 2.0),
        ((time(1), time(4)), 4, 1.0),
        ((time(22), time(2)), 23, 2.0),
        ((time(22), time(2)), 1, 2.0),
        ((time(22), time(2)), 2, 1.0),
    ],
)
def test_prices_are_those_of_the_time_of_day(between, hour, price):
    hourly = Entry(
        vendor="v", id="m", prices=(PriceList(input=1.0), PriceList(between=between, input=2.0))
    )
    at = datetime(2026, 11, 21, hour, tzinfo=UTC)
    assert lookup(hourly, now=at).facts("v", "m", {}).prices.input == price


@pytest.mark.parametrize(
    ("entry", "today", "warnings"),
    [
        (Entry(vendor="v", id="m"), date(2026, 11, 21), []),
        (
            Entry(vendor="v", id="m", retires_on=date(2026, 12, 21)),
            date(2026, 11, 20),
            [],
        ),
        (
            Entry(vendor="v", id="m", retires_on=date(2026, 12, 21)),
            date(2026, 11, 21),
            ["its vendor retires it on 2026-12-21"],
        ),
        (
            Entry(vendor="v", id="m", retires_on=date(2026, 11, 20)),
            date(2026, 11, 21),
            ["its vendor retired it on 2026-11-20"],
        ),
        (
            Entry(vendor="v", id="m", deprecated=True),
            date(2026, 11, 21),
            ["its vendor has deprecated it"],
        ),
    ],
)
def test_a_retirement_is_told_from_thirty_days_before(entry, today, warnings):
    assert lookup(entry).known("v", "m", {}).warnings(today) == warnings
