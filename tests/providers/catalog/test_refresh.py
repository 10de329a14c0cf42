"""Prices from the genai-prices package: exact ids only, and no price that is past."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from types import SimpleNamespace as Stand

import pytest

from providers.catalog.entry import PriceList, Tier
from providers.catalog.refresh import made_of

pytestmark = pytest.mark.pure

TODAY = date(2026, 11, 21)


def either(*clauses: Stand) -> Stand:
    return Stand(or_=list(clauses))


def equals(name: str) -> Stand:
    return Stand(equals=name)


def begins(name: str) -> Stand:
    return Stand(starts_with=name)


def price(**kinds: object) -> Stand:
    return Stand(**{f"{name}_mtok": value for name, value in kinds.items()})


def model(name: str, match: Stand | None = None, **more: object) -> Stand:
    usual = {"context_window": None, "deprecated": None, "prices": price(input=Decimal(1))}
    return Stand(id=name, match=match or equals(name), **{**usual, **more})


class Vendor(Stand):
    """A vendor of the package, which finds what its models' clauses allow."""

    def find_model(self, name: str, *, all_providers: object) -> Stand | None:
        del all_providers
        return next((m for m in self.models if self._matches(m.match, name)), None)

    def _matches(self, clause: Stand, name: str) -> bool:
        return (
            any(self._matches(inner, name) for inner in getattr(clause, "or_", ()))
            or getattr(clause, "equals", None) == name
            or name.startswith(getattr(clause, "starts_with", "\0"))
        )


def made(*models: Stand, vendor: str = "openai"):
    return made_of([Vendor(id=vendor, models=list(models))], "the package 1.0", TODAY)


def prices_of(*conditions: tuple[Stand | None, Stand]) -> tuple[PriceList, ...]:
    listed = [Stand(constraint=constraint, prices=prices) for constraint, prices in conditions]
    return made(model("m", prices=listed)).models[0].prices


def test_a_model_has_its_window_and_prices_with_their_source():
    content = made(
        model(
            "m",
            context_window=1000,
            prices=price(input=Decimal("0.1"), output=Decimal(2), cache_read=Decimal("0.01")),
        )
    )
    (entry,) = content.models
    assert (entry.vendor, entry.id, entry.context_window) == ("openai", "m", 1000)
    assert entry.prices == (PriceList(input=0.1, output=2.0, cached_input=0.01),)
    assert entry.sources == dict.fromkeys(("context_window", "prices"), "the package 1.0")
    assert str(content.sources["the package 1.0"]) == "the package 1.0, 2026-11-21"


def test_vendors_that_no_provider_can_be_are_left_out():
    assert made(model("m"), vendor="cursor").models == []
    assert made(model("m"), vendor="x-ai").models[0].vendor == "xai"


def test_of_patterns_only_whole_ids_and_beginnings_become_aliases():
    clause = either(equals("m"), equals("also"), begins("m-1"), begins("m-"), begins("m-2025"))
    (entry,) = made(model("m", clause)).models
    assert entry.aliases == ("also", "m-1")


def test_a_beginning_that_another_model_owns_is_no_alias():
    first, second = model("m", begins("m")), model("m-mini", begins("m-mini"))
    assert [(e.id, e.aliases) for e in made(first, second).models] == [("m", ()), ("m-mini", ())]


def test_past_prices_are_left_out_and_coming_ones_kept():
    def since(year: int) -> Stand:
        return Stand(start_date=date(year, 1, 1))

    assert prices_of(
        (None, price(input=Decimal(1))),
        (since(2025), price(input=Decimal(2))),
        (since(2026), price(input=Decimal(3))),
        (since(2027), price(input=Decimal(4))),
    ) == (
        PriceList(from_=date(2026, 1, 1), input=3.0),
        PriceList(from_=date(2027, 1, 1), input=4.0),
    )


def test_prices_of_hours_stay_beside_those_of_the_day():
    hours = Stand(start_time=time(1), end_time=time(4))
    assert prices_of((None, price(input=Decimal(1))), (hours, price(input=Decimal(2)))) == (
        PriceList(input=1.0),
        PriceList(between=(time(1), time(4)), input=2.0),
    )


def test_tiers_gather_what_changes_at_one_size():
    def tiered(base: int, *steps: tuple[int, int]) -> Stand:
        tiers = [Stand(start=start, price=Decimal(step)) for start, step in steps]
        return Stand(base=Decimal(base), tiers=tiers)

    assert prices_of((None, price(input=tiered(1, (200, 2)), output=tiered(4, (200, 6))))) == (
        PriceList(
            input=1.0,
            output=4.0,
            tiers=(Tier(above_input_tokens=200, input=2.0, output=6.0),),
        ),
    )


def test_a_model_that_is_paid_by_something_else_than_tokens_has_no_prices():
    assert made(model("whisper", prices=Stand(audio_hours=Decimal(1)))).models == []
