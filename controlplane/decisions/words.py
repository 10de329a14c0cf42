"""Filters for templates: what a decision's words and numbers are called on pages."""

from __future__ import annotations

from typing import Any, Final

from django import template

from routing.gateway.deciding.wording import lasting

register = template.Library()

INPUTS: Final = {
    "counter": "turns it is owed",
    "in_flight": "requests in flight",
    "latency_ms": "to the first token (ms)",
    "expected_cost_usd": "expected cost (US dollars)",
    "ramp": "share of its weight",
    "half_open": "on its way back from a bench",
    "pinned": "the session's pin",
}


@register.filter
def input_words(name: str) -> str:
    return INPUTS.get(name, name)


@register.filter
def spaced(name: str) -> str:
    """A word of the configuration, in prose."""
    return name.replace("_", " ")


@register.filter
def in_time(seconds: Any) -> str:
    return lasting(float(seconds))
