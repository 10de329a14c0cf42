"""What operators state of a provider model (`metadata`): what is allowed, and the facts in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from providers.adapters.spec import CAPABILITIES, PriceTier
from providers.catalog.entry import PRICES
from providers.validation import Number, number_problems

if TYPE_CHECKING:
    from providers.catalog.entry import Facts

NOTHING: Final = "none"  # as `catalog`: nothing from the catalogue
TOKENS: Final = Number(least=1, most=2**31 - 1, is_whole=True)
PRICE: Final = Number(least=0, most=1_000_000)
PRICING: Final = tuple(f"{name}_per_mtok" for name in PRICES)
KEYS: Final = (
    "catalog", "family", "context_window", "max_output_tokens", "capabilities", "reasons",
    "pricing",
)  # fmt: skip
_NUMBERS: Final = {"context_window": TOKENS, "max_output_tokens": TOKENS}
_TIER: Final = {"above_input_tokens": TOKENS, **dict.fromkeys(PRICING, PRICE)}


def metadata_problems(metadata: object) -> list[str]:
    """The problems of a provider model's metadata, each naming the key and what is allowed."""
    if not isinstance(metadata, Mapping):
        return ["must be a JSON object, for example {}"]
    problems = []
    for key, value in metadata.items():
        if key in _NUMBERS:
            problems += number_problems({key: value}, _NUMBERS)
        elif key == "capabilities":
            problems += _capability_problems(value)
        elif key == "pricing":
            problems += _pricing_problems(value)
        elif key == "reasons":
            problems += [] if isinstance(value, bool) else [_no_switch(key, value)]
        elif key == "catalog":
            problems += catalog_problems(value)
        elif key == "family":
            is_word = isinstance(value, str) and len(value) <= 100
            problems += [] if is_word else [f"family: {value!r} is not allowed; it must be a word"]
        else:
            problems.append(f"{key}: unknown key; allowed are {', '.join(KEYS)}")
    return problems


def catalog_problems(value: object) -> list[str]:
    """The problems of the name of a catalogue entry."""
    if isinstance(value, str) and len(value) <= 250:
        vendor, _, model = value.partition("/")
        if value == NOTHING or (vendor and model and not any(c.isspace() for c in value)):
            return []
    allowed = f'vendor/model, for example "openai/gpt-4o", or "{NOTHING}"'
    return [f"catalog: {value!r} is not allowed; it must be {allowed}"]


def _no_switch(key: str, value: object) -> str:
    return f"{key}: {value!r} is not allowed; it must be true or false"


def _capability_problems(block: object) -> list[str]:
    if not isinstance(block, Mapping):
        return ['capabilities: must be a JSON object, for example {"tools": true}']
    problems = []
    for key, value in block.items():
        if key not in CAPABILITIES:
            allowed = ", ".join(CAPABILITIES)
            problems.append(f"capabilities.{key}: unknown key; allowed are {allowed}")
        elif not isinstance(value, bool):
            problems.append(_no_switch(f"capabilities.{key}", value))
    return problems


def _pricing_problems(block: object) -> list[str]:
    if not isinstance(block, Mapping):
        return ['pricing: must be a JSON object, for example {"input_per_mtok": 5}']
    prices = {key: value for key, value in block.items() if key != "tiers"}
    allowed = dict.fromkeys(PRICING, PRICE)
    problems = [
        f"pricing.{problem}".replace(f"allowed are {', '.join(allowed)}",
                                     f"allowed are {', '.join((*allowed, 'tiers'))}")
        for problem in number_problems(prices, allowed)
    ]  # fmt: skip
    tiers = block.get("tiers", [])
    if not isinstance(tiers, list | tuple):
        return [*problems, "pricing.tiers: must be a list"]
    for place, tier in enumerate(tiers):
        where = f"pricing.tiers[{place}]"
        if not isinstance(tier, Mapping) or "above_input_tokens" not in tier:
            problems.append(f"{where}: must be an object with above_input_tokens and prices")
        else:
            problems += [f"{where}.{problem}" for problem in number_problems(tier, _TIER)]
    return problems


def metadata_facts(metadata: Mapping[str, object]) -> Facts:
    """The facts in valid metadata, by dotted name; what is None is not stated."""
    found: Facts = {
        key: metadata[key]
        for key in ("family", "context_window", "max_output_tokens", "reasons")
        if metadata.get(key) not in (None, "")
    }
    capabilities = metadata.get("capabilities")
    if isinstance(capabilities, Mapping):
        found |= {f"capabilities.{k}": v for k, v in capabilities.items() if v is not None}
    pricing = metadata.get("pricing")
    if isinstance(pricing, Mapping):
        found |= {f"prices.{name}": price for name, price in _prices(pricing).items()}
        if tiers := pricing.get("tiers"):
            steps = sorted(tiers, key=lambda tier: tier["above_input_tokens"])
            found["prices.tiers"] = tuple(
                PriceTier(above_input_tokens=int(tier["above_input_tokens"]), **_prices(tier))
                for tier in steps
            )
    return found


def _prices(block: Mapping[str, float | None]) -> dict[str, float]:
    return {
        name: float(price)
        for name in PRICES
        if (price := block.get(f"{name}_per_mtok")) is not None
    }
