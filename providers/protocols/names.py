"""
Names of a request's members that a provider may read otherwise than we do.

JSON's names differ in case; some servers' do not (Go's encoding/json takes `Model`, and
letters that Unicode folds to its own), so that a second spelling would say to them what nobody here
has looked at. And some providers fail over by themselves, to models that a request lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Raw

from providers.errors import ProtocolError
from providers.protocols import bodies

# Members by which a request names other models: OpenRouter's and Vercel's `models`, LiteLLM's
# fallbacks, Vercel's options (`providerOptions.gateway.models`), OpenRouter's stored settings.
# (their documentation, read 2026-11-28)
ALTERNATIVES: Final = (
    "models",
    "fallbacks",
    "fallback_models",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "providerOptions",
    "preset",
)
_OPTIONS: Final = "providerOptions"
_REMEMBERED, _SHORT = 1000, 64
_PRESET: Final = "@preset/"  # how a model's name says the same


class Decided:
    """The members of a protocol that something here is decided by."""

    def __init__(self, *names: str) -> None:
        lists = [name for name in ALTERNATIVES if name != _OPTIONS]  # JavaScript reads those
        self._exact = {name.casefold(): name for name in (*names, *lists)}
        self._harmless = set(self._exact.values())  # of what was seen, within bounds

    def check(self, fields: Iterable[str]) -> None:
        """Raises ProtocolError for a name that only its case tells from one of these."""
        if self._harmless.issuperset(fields):
            return  # as nearly always: 0.1 µs
        for name in fields:
            meant = self._exact.get(name.casefold())
            if meant is not None and name != meant:
                raise ProtocolError(
                    f"'{name}' differs from '{meant}' in case alone, and some providers would "
                    f"take it for that; it must be '{meant}'.",
                    param=name,
                )
            if len(self._harmless) < _REMEMBERED and len(name) < _SHORT:
                self._harmless.add(name)


def alternatives_of(fields: Mapping[str, Raw]) -> tuple[tuple[str, str], ...]:
    """The models that a provider may answer with instead, each behind the member that names it."""
    return tuple(
        (name, model)
        for name in ALTERNATIVES
        if (raw := fields.get(name)) is not None
        for model in _named(name, bodies.decode(raw))
    )


def _named(name: str, value: Any) -> Iterator[str]:
    if name == _OPTIONS:
        for options in value.values() if isinstance(value, dict) else ():
            if isinstance(options, dict):
                yield from _models(options.get("models"))
    elif name == "preset":
        yield from (_PRESET + each for each in _models(value))
    else:
        yield from _models(value)


def _models(value: Any) -> Iterator[str]:
    """Every model in a list of names, of objects with a `model`, or of lists by the name before."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _models(each)
    elif isinstance(value, dict):
        for each in [value["model"]] if "model" in value else value.values():
            yield from _models(each)
