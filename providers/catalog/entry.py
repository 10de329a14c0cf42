"""One model of the catalogue, and what of it counts at a moment."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from providers.adapters.spec import CAPABILITIES, PriceTier

Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Price = Annotated[float, Meta(ge=0, le=1_000_000)]
Facts = dict[str, Any]

PRICES: Final = ("input", "output", "cached_input", "cache_write")
MODALITIES: Final = ("text", "image", "audio", "video", "pdf")


class Tier(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """As spec.PriceTier, checked."""

    above_input_tokens: Tokens
    input: Price | None = None
    output: Price | None = None
    cached_input: Price | None = None
    cache_write: Price | None = None


class PriceList(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"from_": "from"},
):
    """
    US dollars a million tokens, from a day on, or between two times of day (UTC).

    Of a model's lists the last one that holds at a moment counts.
    """

    from_: date | None = None
    between: tuple[time, time] | None = None
    input: Price | None = None
    output: Price | None = None
    cached_input: Price | None = None
    cache_write: Price | None = None
    tiers: tuple[Tier, ...] = ()

    def holds(self, now: datetime) -> bool:
        """Whether this is the list at `now`, which is in UTC."""
        if self.from_ is not None and now.date() < self.from_:
            return False
        if self.between is None:
            return True
        start, end = self.between
        moment = now.time()
        return start <= moment < end if start <= end else moment >= start or moment < end


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a fact can be looked up: an address, or a package with its version."""

    cite: Annotated[str, Meta(min_length=1)]
    as_of: date

    def __str__(self) -> str:
        return f"{self.cite}, {self.as_of.isoformat()}"


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """
    One model of one vendor, by the vendor's own id. What is missing is unknown.

    `aliases` are other exact ids of the same model. `input` are the modalities that it takes;
    vision and audio follow from them. `retires_on` is the day the vendor switches it off.
    `sources` names the source of each fact: by "capabilities.tools", "capabilities" and the
    fields' names, and by "*" for all others.
    """

    vendor: Annotated[str, Meta(min_length=1, max_length=50)]
    id: Annotated[str, Meta(min_length=1, max_length=200)]
    aliases: tuple[str, ...] = ()
    family: str = ""
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input: tuple[str, ...] = ()
    capabilities: dict[str, bool] = {}
    reasons: bool | None = None
    prices: tuple[PriceList, ...] = ()
    deprecated: bool | None = None
    retires_on: date | None = None
    sources: dict[str, str] = {}

    @property
    def name(self) -> str:
        return f"{self.vendor}/{self.id}"

    def problems(self) -> list[str]:
        """What the types do not say: words that are not known."""
        return [
            f"input: {word!r} is not known; known are {', '.join(MODALITIES)}"
            for word in self.input
            if word not in MODALITIES
        ] + [
            f"capabilities: {word!r} is not known; known are {', '.join(CAPABILITIES)}"
            for word in self.capabilities
            if word not in CAPABILITIES
        ]

    def facts(self, now: datetime) -> Facts:
        """
        What is known at `now`, by dotted name, such as "capabilities.tools" or "prices.input".

        Documents are no modality of their own at some vendors, so a list without "pdf" leaves
        them unknown; images and audio are told of by all.
        """
        found: Facts = {
            name: value
            for name in ("family", "context_window", "max_output_tokens", "reasons", "deprecated")
            if (value := getattr(self, name)) not in (None, "")
        }
        if self.retires_on is not None:
            found["retires_on"] = self.retires_on
        if self.input:
            found["input"] = self.input
            found["capabilities.vision"] = "image" in self.input
            found["capabilities.audio"] = "audio" in self.input
            if "pdf" in self.input:
                found["capabilities.files"] = True
        for name, value in self.capabilities.items():
            found[f"capabilities.{name}"] = value
        listed = next((p for p in reversed(self.prices) if p.holds(now)), None)
        if listed is not None:
            found |= price_facts(listed)
        return found

    def source_of(self, fact: str) -> str:
        """The key of the source of a fact by its dotted name; "" if none is given."""
        field, _, member = fact.partition(".")
        names = [fact, field, "*"]
        if field == "capabilities" and member not in self.capabilities:
            names.insert(1, "input")  # what follows from the modalities
        return next((self.sources[name] for name in names if name in self.sources), "")


def price_facts(listed: PriceList) -> Facts:
    found: Facts = {
        f"prices.{name}": value for name in PRICES if (value := getattr(listed, name)) is not None
    }
    if listed.tiers:
        found["prices.tiers"] = tuple(
            PriceTier(
                above_input_tokens=tier.above_input_tokens,
                **{name: getattr(tier, name) for name in PRICES},
            )
            for tier in sorted(listed.tiers, key=lambda tier: tier.above_input_tokens)
        )
    return found
