"""What the environment says of failover, and the JSON that rules may come in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from controlplane.config.references import rule_problems
from controlplane.config.yaml import Mistake
from failover.validation import RULE_NAME_LENGTH
from providers.validation import model_name_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENABLED: Final = "FAILOVER_ENABLED"
RULES: Final = "FAILOVER_RULES_JSON"
DISABLED_MODELS: Final = "FAILOVER_DISABLED_MODELS_JSON"
LEGACY_MODE: Final = "FEATURE_FALLBACK_MODE"
VARIABLES: Final = (ENABLED, RULES, DISABLED_MODELS, LEGACY_MODE)

_WORDS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

Rules = dict[str, tuple[str, ...]]


@dataclass(slots=True)
class EnvironmentValues:
    """None: the variable is unset or empty, so it says nothing."""

    failover_enabled: bool | None = None
    rules: Rules = field(default_factory=dict)
    disabled_models: tuple[str, ...] | None = None
    deprecations: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


def read_environment(environ: Mapping[str, str]) -> EnvironmentValues:
    """The failover variables, with everything that is wrong with them."""
    found = EnvironmentValues()
    _read_switch(environ, found)
    if raw := environ.get(RULES, "").strip():
        found.rules, mistakes = rules_from_json(raw, lambda _key: (RULES, 0))
        found.mistakes += mistakes
    if raw := environ.get(DISABLED_MODELS, "").strip():
        names, problem = _names_from_json(raw)
        if problem:
            found.mistakes.append(Mistake(file=DISABLED_MODELS, line=0, path="", text=problem))
        found.disabled_models = names
    return found


def _read_switch(environ: Mapping[str, str], found: EnvironmentValues) -> None:
    legacy = environ.get(LEGACY_MODE, "").strip()
    if legacy:
        if legacy.lower() not in {"off", "manual", "auto"}:
            found.mistakes.append(
                Mistake(
                    file=LEGACY_MODE,
                    line=0,
                    path="",
                    text=f"unknown ({kind_of(legacy)}), allowed: off, manual, auto;"
                    f" better: {ENABLED}",
                )
            )
        elif legacy.lower() == "off":
            found.failover_enabled = False
            found.deprecations.append(f"{LEGACY_MODE}=off is deprecated: set {ENABLED}=false")
        else:
            found.deprecations.append(
                f"{LEGACY_MODE}={legacy} is deprecated and has no effect: remove it"
            )
    switch = environ.get(ENABLED, "").strip()
    if not switch:
        return
    value = _WORDS.get(switch.lower())
    if value is None:
        found.mistakes.append(
            Mistake(
                file=ENABLED,
                line=0,
                path="",
                text=f"wrong type ({kind_of(switch)}), allowed: true or false",
            )
        )
    else:
        found.failover_enabled = value


def rules_from_json(
    raw: str, place: Callable[[str | None], tuple[str, int]]
) -> tuple[Rules, list[Mistake]]:
    """
    Rules as a JSON object of lists of names, trimmed.

    `place` gives the file and line (0: none) to report for a rule, or for the whole (None).
    """
    rules: Rules = {}
    mistakes: list[Mistake] = []

    def wrong(key: str | None, path: str, words: str, line: int | None = None) -> None:
        file, known = place(key)
        mistakes.append(
            Mistake(file=file, line=known if line is None else line, path=path, text=words)
        )

    try:
        value = _load(raw)
    except json.JSONDecodeError as error:
        _file, known = place(None)
        wrong(None, "", f"this is not JSON: {error.msg}", error.lineno if known else 0)
        return rules, mistakes
    except (ValueError, RecursionError) as error:
        wrong(None, "", f"this is not JSON: {error}")
        return rules, mistakes
    if not isinstance(value, _Pairs):
        wrong(None, "", f"wrong type ({kind_of(value)}), allowed: an object of lists of names")
        return rules, mistakes
    for key, targets in value.pairs:
        primary = key.strip()
        if primary in rules:
            wrong(key, primary, "a second rule for this model, allowed: one")
        elif problem := _name_problem(primary):
            wrong(key, key, problem)
        elif not isinstance(targets, list) or not targets:
            given = "an empty list" if targets == [] else kind_of(targets)
            wrong(key, primary, f"wrong type ({given}), allowed: a list of names")
        else:
            entries = [entry.strip() if isinstance(entry, str) else entry for entry in targets]
            problems = [
                (index, problem)
                for index, entry in enumerate(entries)
                if (problem := _name_problem(entry))
            ]
            names = [entry if isinstance(entry, str) else "" for entry in entries]
            problems += rule_problems(primary, names)
            for index, problem in problems:
                wrong(key, f"{primary}[{index}]", problem)
            if not problems:
                rules[primary] = tuple(names)
    return rules, mistakes


def rule_lines(raw: str) -> Callable[[str | None], int]:
    """The line in which a key of the JSON text `raw` stands, as far as it is spelt plainly."""

    def line(key: str | None) -> int:
        found = key is not None and re.search(re.escape(json.dumps(key)) + r"\s*:", raw)
        return raw.count("\n", 0, found.start()) + 1 if found else 1

    return line


def _names_from_json(raw: str) -> tuple[tuple[str, ...], str]:
    """The names, and what is wrong ("" nothing)."""
    allowed = "allowed: an array of names, or an object of booleans"
    try:
        value = _load(raw)
    except (ValueError, RecursionError) as error:
        return (), f"this is not JSON: {error}"
    if isinstance(value, _Pairs):
        for name, flag in value.pairs:
            if not isinstance(flag, bool):
                return (), f'wrong type ({kind_of(flag)} for "{_short(name)}"), {allowed}'
        value = [name for name, flag in value.pairs if flag]
    if not isinstance(value, list):
        return (), f"wrong type ({kind_of(value)}), {allowed}"
    names = [entry.strip() if isinstance(entry, str) else entry for entry in value]
    for entry in names:
        if problem := _name_problem(entry):
            return (), problem
    return tuple(dict.fromkeys(names)), ""


def _name_problem(name: Any) -> str:
    if not isinstance(name, str):
        return f"wrong type ({kind_of(name)}), allowed: a name"
    if not name:
        return "blank, allowed: a name"
    if len(name) > RULE_NAME_LENGTH or model_name_problems(name):
        allowed = f'up to {RULE_NAME_LENGTH} characters without "," and spaces'
        return f'no name ("{_short(name)}"), allowed: {allowed}'
    return ""


class _Pairs:
    """A JSON object with its members in order, duplicates and all."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _load(raw: str) -> Any:
    return json.loads(raw, object_pairs_hook=_Pairs, parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def kind_of(value: Any) -> str:
    """What an operator calls a value of this type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"number {value}"
    if isinstance(value, str):
        return f'text "{_short(value)}"'
    return "a list" if isinstance(value, list) else "a mapping"


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + "..."
