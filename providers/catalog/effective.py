"""Which facts count for one provider model, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from providers.adapters.spec import ModelFacts, Prices, PriceTier
from providers.catalog.entry import PRICES, Entry, Facts
from providers.catalog.metadata import NOTHING, metadata_facts
from providers.catalog.shipped import Catalog

OPERATOR: Final = "stated by an operator"
NOTICE: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """
    What is known of one provider model. `values` and `sources` are by dotted name.

    `matched` are the entries that it was found in: what was imported before what is shipped.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    matched: tuple[Entry, ...] = ()

    @property
    def facts(self) -> ModelFacts:
        """What routing needs of it."""
        return as_facts(self.values)

    @property
    def names(self) -> list[str]:
        """What the catalogues call it."""
        return list(dict.fromkeys(entry.name for entry in self.matched))

    def warnings(self, today: date) -> list[str]:
        """What operators should hear of: the vendor's plans for the model."""
        retires_on = self.values.get("retires_on")
        if retires_on is not None:
            if today > retires_on:
                return [f"its vendor retired it on {retires_on.isoformat()}"]
            if retires_on - today <= NOTICE:
                return [f"its vendor retires it on {retires_on.isoformat()}"]
            return []
        return ["its vendor has deprecated it"] if self.values.get("deprecated") else []


class Lookup:
    """
    The catalogues side by side: what was imported wins over what is shipped, fact by fact.

    Both are searched for each name, so that an import of one price hides no window.
    """

    def __init__(self, shipped: Catalog, imported: Catalog, *, now: datetime) -> None:
        self._catalogs = (imported, shipped)
        self._now = now
        self._facts: dict[tuple[int, ...], ModelFacts] = {}

    def names(self) -> list[tuple[str, str]]:
        """The vendor and id of every entry, sorted."""
        return sorted({(entry.vendor, entry.id) for c in self._catalogs for entry in c})

    def entries(self, vendor: str, model: str, named: object = None) -> tuple[Entry, ...]:
        """
        The entries for a model of a vendor; `named` is the metadata's `catalog`, if it is given.
        """
        if named == NOTHING:
            return ()
        if isinstance(named, str) and named:
            vendor, _, model = named.partition("/")
        if not vendor:
            return ()
        found = (catalog.find(vendor, model) for catalog in self._catalogs)
        return tuple(entry for entry in found if entry is not None)

    def facts(self, vendor: str, model: str, metadata: Mapping[str, object]) -> ModelFacts | None:
        """What routing needs; None if nothing is known. Quick for the many that say nothing."""
        entries = self.entries(vendor, model, metadata.get("catalog"))
        if not metadata:
            if not entries:
                return None
            key = tuple(map(id, entries))
            known = self._facts.get(key)
            if known is None:
                layers = [entry.facts(self._now) for entry in entries]
                known = self._facts[key] = as_facts(overlay(layers))
            return known
        layers = [metadata_facts(metadata), *(entry.facts(self._now) for entry in entries)]
        values = overlay(layers)
        return as_facts(values) if values else None

    def known(self, vendor: str, model: str, metadata: Mapping[str, object]) -> Known:
        """Everything, with sources."""
        entries = self.entries(vendor, model, metadata.get("catalog"))
        layers = [metadata_facts(metadata), *(entry.facts(self._now) for entry in entries)]
        values = overlay(layers)
        owners: list[Entry | None] = [None, *entries]
        sources = {
            name: next(
                self._source(owner, name)
                for owner, layer in zip(owners, layers, strict=True)
                if name in layer
            )
            for name in values
        }
        return Known(values=values, sources=sources, matched=entries)

    def _source(self, owner: Entry | None, fact: str) -> str:
        if owner is None:
            return OPERATOR
        key = owner.source_of(fact)
        for catalog in self._catalogs:
            if key in catalog.sources and catalog.find(owner.vendor, owner.id) is owner:
                return str(catalog.sources[key])
        return "unknown"


def overlay(layers: Iterable[Facts]) -> Facts:
    """
    One fact from the first layer that has it.

    Tiers are changes of prices: those of a lower layer lose the prices that a higher one states.
    """
    merged: Facts = {}
    for layer in reversed(list(layers)):
        tiers = merged.get("prices.tiers", ())
        stated = {f"prices.{name}" for name in PRICES} & layer.keys()
        if tiers and stated and "prices.tiers" not in layer:
            gone = dict.fromkeys((name.removeprefix("prices.") for name in stated), None)
            kept = tuple(tier for tier in (replace(t, **gone) for t in tiers) if _says(tier))
            merged["prices.tiers"] = kept
            if not kept:
                del merged["prices.tiers"]
        merged |= layer
    return merged


def _says(tier: PriceTier) -> bool:
    return any(getattr(tier, name) is not None for name in PRICES)


def as_facts(values: Mapping[str, Any]) -> ModelFacts:
    prices = {
        name.removeprefix("prices."): value
        for name, value in values.items()
        if name.startswith("prices.")
    }
    return ModelFacts(
        context_window=values.get("context_window"),
        max_output_tokens=values.get("max_output_tokens"),
        capabilities={
            name.removeprefix("capabilities."): value
            for name, value in values.items()
            if name.startswith("capabilities.")
        },
        reasons=values.get("reasons"),
        prices=Prices(**prices) if prices else None,
    )
