"""Entries from files of other people's shapes: models.dev's and LiteLLM's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

import msgspec

from providers.catalog.entry import MODALITIES, Entry

VENDORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gemini": "google",
        "x-ai": "xai",
        "together_ai": "together",
        "togetherai": "together",
        "fireworks_ai": "fireworks",
        "fireworks-ai": "fireworks",
        "moonshot": "moonshotai",
        "z-ai": "zai",
    }
)
_ROUNDING: Final = 10  # digits that a price a token keeps as a price a million


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one model of a file came to: `entry`, or what is wrong with it, or why it is left."""

    name: str
    entry: Entry | None = None
    problems: tuple[str, ...] = ()
    skipped: str = ""


class _Fields:
    """The fields of one model, taken with their types; what does not fit is noted by name."""

    def __init__(self, block: Mapping[str, Any], prefix: str = "") -> None:
        self._block = block
        self._prefix = prefix
        self.problems: list[str] = []

    def has(self, name: str) -> bool:
        return self._block.get(name) is not None

    def block(self, name: str) -> _Fields:
        value = self._block.get(name)
        if value is not None and not isinstance(value, Mapping):
            self._refuse(name, value, "an object")
        inner = _Fields(value if isinstance(value, Mapping) else {}, f"{self._prefix}{name}.")
        inner.problems = self.problems
        return inner

    def switch(self, name: str) -> bool | None:
        value = self._block.get(name)
        if value is None or isinstance(value, bool):
            return value
        self._refuse(name, value, "true or false")
        return None

    def word(self, name: str) -> str:
        value = self._block.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self._refuse(name, value, "text")
        return ""

    def words(self, name: str) -> tuple[str, ...]:
        value = self._block.get(name)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(word for word in value if word in MODALITIES)
        self._refuse(name, value, "a list of words")
        return ()

    def day(self, name: str) -> date | None:
        value = self._block.get(name)
        if value in (None, ""):
            return None
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            self._refuse(name, value, "a date such as 2026-12-31")
        return None

    def tokens(self, name: str) -> int | None:
        """0 is how both files say that there is none."""
        value = self._block.get(name)
        if value is None or (value == 0 and not isinstance(value, bool)):
            return None
        if self._is_number(value) and value == int(value) and 0 < value < 2**31:
            return int(value)
        self._refuse(name, value, "a whole number of tokens, at least 1")
        return None

    def price(self, name: str, *, tokens: float = 1) -> float | None:
        """US dollars a million tokens, from those of `tokens` million."""
        value = self._block.get(name)
        if value is None:
            return None
        if self._is_number(value) and 0 <= value / tokens <= 1_000_000:
            return round(float(value) / tokens, _ROUNDING)
        self._refuse(name, value, "a price of at least 0")
        return None

    @staticmethod
    def _is_number(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)

    def _refuse(self, name: str, value: Any, allowed: str) -> None:
        self.problems.append(
            f"{self._prefix}{name}: {value!r} is not allowed; it must be {allowed}"
        )


def read_models_dev(content: object, source: str) -> Iterator[Read]:
    """
    The models of models.dev's api.json: vendors with their `models`.

    Raises ValueError if it is of another shape.
    """
    vendors = content.items() if isinstance(content, Mapping) else ()
    if not vendors or not all(_has_models(vendor) for _, vendor in vendors):
        raise ValueError("this is not models.dev's shape: an object of vendors with models")
    for vendor, block in vendors:
        for model, fields in block["models"].items():
            yield _read(_vendor(vendor), model, fields, source, _models_dev)


def read_litellm(content: object, source: str) -> Iterator[Read]:
    """
    The models of LiteLLM's model_prices_and_context_window.json, one object a model.

    Raises ValueError if it is of another shape.
    """
    if not isinstance(content, Mapping) or not any(
        isinstance(block, Mapping) and "litellm_provider" in block for block in content.values()
    ):
        raise ValueError("this is not LiteLLM's shape: an object of models with litellm_provider")
    for key, block in content.items():
        if key == "sample_spec":
            continue
        provider = block.get("litellm_provider") if isinstance(block, Mapping) else None
        if not isinstance(provider, str) or not provider:
            yield Read(name=key, problems=("litellm_provider: a word is needed",))
            continue
        mode = block.get("mode", "chat")
        if mode not in ("chat", "completion", "responses", "embedding"):
            yield Read(name=key, skipped=f"mode {mode}")
            continue
        yield _read(_vendor(provider), key.removeprefix(f"{provider}/"), block, source, _litellm)


FORMATS: Final[Mapping[str, Callable[[object, str], Iterator[Read]]]] = MappingProxyType(
    {"models.dev": read_models_dev, "litellm": read_litellm}
)


def _has_models(vendor: object) -> bool:
    return isinstance(vendor, Mapping) and isinstance(vendor.get("models"), Mapping)


def _vendor(name: str) -> str:
    return VENDORS.get(name, name)


def _read(
    vendor: str,
    model: str,
    block: object,
    source: str,
    convert: Callable[[_Fields], dict[str, Any]],
) -> Read:
    name = f"{vendor}/{model}"
    if not isinstance(block, Mapping):
        return Read(name=name, problems=("must be an object",))
    fields = _Fields(block)
    # False is a fact; nothing at all is none.
    found = {key: value for key, value in convert(fields).items() if value or value is False}
    if fields.problems:
        return Read(name=name, problems=tuple(fields.problems))
    if not found:
        return Read(name=name, skipped="it says nothing that the catalogue holds")
    sources = dict.fromkeys(found, source)
    try:
        entry = msgspec.convert({"vendor": vendor, "id": model, **found, "sources": sources}, Entry)
    except msgspec.ValidationError as error:
        return Read(name=name, problems=(str(error),))
    return Read(name=name, entry=entry)


def _models_dev(fields: _Fields) -> dict[str, Any]:
    limit, cost = fields.block("limit"), fields.block("cost")
    long = cost.block("context_over_200k")
    prices = _without_none(
        input=cost.price("input"),
        output=cost.price("output"),
        cached_input=cost.price("cache_read"),
        cache_write=cost.price("cache_write"),
    )
    above = _without_none(
        input=long.price("input"),
        output=long.price("output"),
        cached_input=long.price("cache_read"),
        cache_write=long.price("cache_write"),
    )
    return {
        "family": fields.word("family"),
        "context_window": limit.tokens("context"),
        "max_output_tokens": limit.tokens("output"),
        "input": fields.block("modalities").words("input"),
        "capabilities": _without_none(
            tools=fields.switch("tool_call"),
            json_schema=fields.switch("structured_output"),
            reasoning=fields.switch("reasoning"),
        ),
        "prices": _price_list(prices, 200_000, above),
        "deprecated": True if fields.word("status") == "deprecated" else None,
    }


def _litellm(fields: _Fields) -> dict[str, Any]:
    a_token = 1e-6  # prices are stated a token
    prices = _without_none(
        input=fields.price("input_cost_per_token", tokens=a_token),
        output=fields.price("output_cost_per_token", tokens=a_token),
        cached_input=fields.price("cache_read_input_token_cost", tokens=a_token),
        cache_write=fields.price("cache_creation_input_token_cost", tokens=a_token),
    )
    tiers = [
        (size, _without_none(
            input=fields.price(f"input_cost_per_token_above_{size}k_tokens", tokens=a_token),
            output=fields.price(f"output_cost_per_token_above_{size}k_tokens", tokens=a_token),
            cached_input=fields.price(
                f"cache_read_input_token_cost_above_{size}k_tokens", tokens=a_token
            ),
            cache_write=fields.price(
                f"cache_creation_input_token_cost_above_{size}k_tokens", tokens=a_token
            ),
        ))
        for size in (128, 200, 256, 272)
    ]  # fmt: skip
    mode = fields.word("mode")
    return {
        "context_window": fields.tokens("max_input_tokens"),
        "max_output_tokens": fields.tokens("max_output_tokens") if mode != "embedding" else None,
        "capabilities": _without_none(
            tools=fields.switch("supports_function_calling"),
            parallel_tools=fields.switch("supports_parallel_function_calling"),
            vision=fields.switch("supports_vision"),
            audio=fields.switch("supports_audio_input"),
            files=fields.switch("supports_pdf_input"),
            json_schema=fields.switch("supports_response_schema"),
            reasoning=fields.switch("supports_reasoning"),
            streaming=fields.switch("supports_native_streaming"),
            embeddings=mode == "embedding" if mode else None,
        ),
        "prices": _price_list(prices, *(part for size, above in tiers if above
                                        for part in (size * 1000, above))),
        "retires_on": fields.day("deprecation_date"),
    }  # fmt: skip


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _price_list(prices: dict[str, Any], *tiers: Any) -> list[dict[str, Any]]:
    """One price list; `tiers` are sizes and their prices in turn."""
    steps = [
        {"above_input_tokens": size, **above}
        for size, above in zip(tiers[::2], tiers[1::2], strict=True)
        if above
    ]
    return [{**prices, "tiers": steps} if steps else prices] if prices or steps else []
