"""
prices.json from the genai-prices package, for maintainers: it is no dependency of the project.

The package matches ids by patterns, some of them broad. Here only exact ids are kept: the
model's own, those that its pattern names whole, and the beginnings that it names, each only if
the package itself finds that very model by it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from providers.catalog.entry import Entry, PriceList, Source, Tier
from providers.catalog.shipped import MADE, CatalogFile

PACKAGE: Final = "genai-prices"
# The package's vendors that a provider can be, by our names.
TAKEN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "openai": "openai",
        "anthropic": "anthropic",
        "google": "google",
        "mistral": "mistral",
        "deepseek": "deepseek",
        "x-ai": "xai",
        "groq": "groq",
        "cerebras": "cerebras",
        "together": "together",
        "fireworks": "fireworks",
        "openrouter": "openrouter",
        "moonshotai": "moonshotai",
        "zai": "zai",
        "perplexity": "perplexity",
        "minimax": "minimax",
    }
)
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "input": "input_mtok",
        "output": "output_mtok",
        "cached_input": "cache_read_mtok",
        "cache_write": "cache_write_mtok",
    }
)
_WHOLE_ID: Final = re.compile(r"[a-z0-9][^\s,]*[a-z0-9]")


def refresh(today: date, path: Path = MADE) -> CatalogFile:
    """
    Write the file anew and give what it holds. Raises ImportError without the package.

    `today` is the date of the facts, and decides which prices are past.
    """
    snapshot = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    version = importlib.metadata.version(PACKAGE)
    content = made_of(snapshot.providers, f"{PACKAGE} {version}", today).checked(path.name)
    path.write_bytes(_lines(content))
    return content


def made_of(vendors: Sequence[Any], key: str, today: date) -> CatalogFile:
    """What the package's `vendors` say, sorted. `key` is the source of it all."""
    entries = [
        entry
        for vendor in vendors
        if vendor.id in TAKEN
        for entry in _entries(vendor, vendors, key, today)
    ]
    entries.sort(key=lambda entry: (entry.vendor, entry.id))
    return CatalogFile(sources={key: Source(cite=key, as_of=today)}, models=entries)


def _entries(vendor: Any, vendors: Any, key: str, today: date) -> Iterator[Entry]:
    for model in vendor.models:
        entry = Entry(
            vendor=TAKEN[vendor.id],
            id=model.id,
            aliases=_aliases(vendor, model, vendors),
            context_window=model.context_window or None,
            prices=_prices(model, today),
            deprecated=model.deprecated or None,
        )
        stated = [
            name for name in ("context_window", "prices", "deprecated") if getattr(entry, name)
        ]
        if stated:
            yield msgspec.structs.replace(entry, sources=dict.fromkeys(stated, key))


def _aliases(vendor: Any, model: Any, vendors: Any) -> tuple[str, ...]:
    named = {name for name in _literals(model.match) if _WHOLE_ID.fullmatch(name)}
    return tuple(
        sorted(
            name
            for name in named - {model.id.lower()}
            if (found := vendor.find_model(name, all_providers=vendors)) and found.id == model.id
        )
    )


def _literals(clause: Any) -> Iterator[str]:
    """The ids that a clause names whole, and the beginnings that it names."""
    for inner in getattr(clause, "or_", None) or ():
        yield from _literals(inner)
    for kind in ("equals", "starts_with"):
        literal = getattr(clause, kind, None)
        # A beginning that breaks off inside a date is no id.
        if literal and not (kind == "starts_with" and re.search(r"-20\d{2,5}$", literal)):
            yield literal.lower()


def _prices(model: Any, today: date) -> tuple[PriceList, ...]:
    """The lists that hold today or later, those without a text token price left out."""
    given = model.prices if isinstance(model.prices, list) else [_Always(model.prices)]
    lists = [listed for condition in given if (listed := _list(condition)) is not None]
    begun = [
        place
        for place, listed in enumerate(lists)
        if listed.between is None and (listed.from_ is None or listed.from_ <= today)
    ]
    return tuple(lists[begun[-1] if begun else 0 :])


class _Always:
    constraint = None

    def __init__(self, prices: Any) -> None:
        self.prices = prices


def _list(condition: Any) -> PriceList | None:
    prices = {name: getattr(condition.prices, key, None) for name, key in _NAMES.items()}
    if all(price is None for price in prices.values()):
        return None
    constraint = condition.constraint
    start, end = getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)
    return PriceList(
        from_=getattr(constraint, "start_date", None),
        between=(start.replace(tzinfo=None), end.replace(tzinfo=None)) if start and end else None,
        tiers=tuple(_tiers(prices)),
        **{name: _number(price) for name, price in prices.items()},
    )


def _tiers(prices: Mapping[str, Any]) -> Iterator[Tier]:
    sizes = {step.start for price in prices.values() for step in getattr(price, "tiers", ())}
    for size in sorted(sizes):
        changed = {
            name: float(step.price)
            for name, price in prices.items()
            for step in getattr(price, "tiers", ())
            if step.start == size
        }
        yield Tier(above_input_tokens=size, **changed)


def _number(price: Any) -> float | None:
    base = getattr(price, "base", price)
    return None if base is None else float(base)


def _lines(content: CatalogFile) -> bytes:
    """JSON with one model a line, so that a difference can be reviewed."""
    head = msgspec.json.encode(content.sources, order="deterministic")
    models: Iterable[bytes] = (
        msgspec.json.encode(entry, order="deterministic") for entry in content.models
    )
    return b'{"sources":%b,"models":[\n%b\n]}\n' % (head, b",\n".join(models))
