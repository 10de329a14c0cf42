"""How much a Gemini model is to think, in the words of its generation."""

from __future__ import annotations

import re
from typing import Any, Final

from providers.protocols.canonical import Effort
from providers.protocols.reading import level_of

_VERSION: Final = re.compile(r"gemini-(\d+)")
_LEVELS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS: Final = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
# The least that each 2.5 model takes; pro cannot be kept from thinking.
_LEAST: Final = {"pro": 128, "lite": 512, "": 1}
_HIDDEN: Final = ("", "none", "omitted")
_DYNAMIC: Final = -1


def generation(model: str) -> int:
    """3 for gemini-3-pro, 2 for gemini-2.5-flash; 0 for a name that does not say."""
    found = _VERSION.search(model)
    return int(found[1][:4]) if found is not None else 0


def thinks(model: str) -> bool:
    """Whether a model has a thinkingConfig at all; a name that nobody knows may have one."""
    name = model.rpartition("/")[2]
    return not name.startswith(("gemma", "gemini-1", "gemini-2.0"))


def told(effort: Effort, model: str) -> tuple[dict[str, Any], bool]:
    """`thinkingConfig`, and whether it says exactly what was asked for."""
    level, budget = effort.level, effort.budget
    if level and level not in _LEVELS:
        return {}, False
    config: dict[str, Any] = {}
    is_exact = True
    if generation(model) >= 3:  # the first with levels
        if not level and budget is not None and budget >= 0:
            level, is_exact = level_of(effort), False
        if level:
            word = _word(level, model)
            is_exact = is_exact and word == level.upper()
            config["thinkingLevel"] = word
    elif budget is not None and not level:
        config["thinkingBudget"] = max(budget, _least(model)) if budget >= 0 else _DYNAMIC
        is_exact = config["thinkingBudget"] == budget
    elif level:
        config["thinkingBudget"] = _budget_of(level, model)
        is_exact = level != "none" or config["thinkingBudget"] == 0
    elif effort.is_adaptive:
        config["thinkingBudget"] = _DYNAMIC
    if effort.summary not in _HIDDEN and level != "none":
        config["includeThoughts"] = True
    return config, is_exact


def _word(level: str, model: str) -> str:
    if level in ("none", "minimal"):
        return "LOW" if "pro" in model else "MINIMAL"
    return "XHIGH" if level == "max" else level.upper()


def _budget_of(level: str, model: str) -> int:
    if level in ("none", "minimal"):
        return _least(model) if level == "minimal" or "pro" in model else 0
    return _BUDGETS[level]


def _least(model: str) -> int:
    return next(least for word, least in _LEAST.items() if word in model)
