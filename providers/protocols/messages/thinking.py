"""
How a level or a budget of reasoning is said to a model that speaks Messages.

Models since 4.6 think as much as they see fit (adaptive), guided by a level of effort; those
before got a budget of tokens. What a model takes is read off its name, where its adapter has not
said better by Target.refuses: adaptive_thinking, or thinking.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, Final

from msgspec import Struct

from providers.protocols.canonical import Effort
from providers.protocols.protocol import Target
from providers.protocols.reading import level_of

_REFUSALS: Final = frozenset({"thinking", "reasoning_effort"})
MIN_BUDGET: Final = 1024  # Anthropic's floor
ROOM: Final = 1024  # for the answer beside the budget
# LiteLLM's numbers, as of 1.108; its 128 for minimal is below the floor.
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
_EFFORTS: Final = {"minimal": "low", **{name: name for name in ("low", "medium", "high", "max")}}
# claude-opus-4-6-20260115, claude-3-7-sonnet-20250219, anthropic/claude-sonnet-4.5; a date is no
# part of it.
_VERSION: Final = re.compile(r"claude(?:-[a-z]+)*-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


class Thinks(Enum):
    NOT = auto()
    BY_BUDGET = auto()
    AS_IT_SEES_FIT = auto()


class Thought(Struct, frozen=True, kw_only=True):
    """
    `thinking` and `effort` as the request tells them, None for neither. `is_rounded`: it is less
    or other than was asked for.
    """

    thinking: dict[str, Any] | None = None
    effort: str | None = None
    is_rounded: bool = False

    @property
    def budget(self) -> int:
        stated = (self.thinking or {}).get("budget_tokens", 0)
        return int(stated)

    @property
    def is_on(self) -> bool:
        return self.thinking is not None and self.thinking["type"] != "disabled"


def version_of(model: str) -> tuple[int, int] | None:
    """(4, 6) of a Claude model that says so in its name; None for all others."""
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else None


def thinks(target: Target) -> Thinks:
    if target.reasons is False or not target.refuses.isdisjoint(_REFUSALS):
        return Thinks.NOT
    version = version_of(target.model)
    if version is not None and version < (3, 7):
        return Thinks.NOT
    # A Claude without a number is a new one; models of others know the older way.
    is_claude = "claude" in target.model.lower()
    is_new = is_claude if version is None else version >= (4, 6)
    if is_new and "adaptive_thinking" not in target.refuses:
        return Thinks.AS_IT_SEES_FIT
    return Thinks.BY_BUDGET


def thought_of(effort: Effort, target: Target) -> Thought:
    level, way = level_of(effort), thinks(target)
    if way is Thinks.NOT:
        return Thought(is_rounded=level not in ("", "none") or effort.is_adaptive)
    if level == "none":
        return Thought(thinking={"type": "disabled"})
    if way is Thinks.AS_IT_SEES_FIT:
        return _adaptive(effort, level, target)
    if effort.budget is not None and effort.budget > 0:
        budget = max(effort.budget, MIN_BUDGET)
        is_rounded = budget != effort.budget
    elif level in _BUDGETS:
        budget, is_rounded = _BUDGETS[level], False
    else:
        return Thought(is_rounded=bool(level) or effort.is_adaptive)
    most = target.max_output_tokens
    if most is not None and budget + ROOM > most:
        budget, is_rounded = most - ROOM, True
        if budget < MIN_BUDGET:
            return Thought(is_rounded=True)
    thinking = {"type": "enabled", "budget_tokens": budget}
    return Thought(thinking=thinking, is_rounded=is_rounded)


def _adaptive(effort: Effort, level: str, target: Target) -> Thought:
    thinking = {"type": "adaptive"}
    if not level:
        return Thought(thinking=thinking)
    if level == "xhigh" and version_of(target.model) != (4, 6):  # which has max, and no xhigh
        return Thought(thinking=thinking, effort=level, is_rounded=effort.budget is not None)
    told = "high" if level == "xhigh" else _EFFORTS.get(level)
    is_rounded = told != level or effort.budget is not None
    return Thought(thinking=thinking, effort=told, is_rounded=is_rounded)
