"""What failover settings may be, for the models and for the configuration file alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from failover.engine.policy import EXHAUSTED_STATUSES, FIRST_CONTENT, GATES, WHOLE_ANSWER
from providers.validation import (
    MOST_TIMES,
    SECONDS,
    Number,
    model_name_problems,
    number_problems,
)

MOST_FALLBACKS: Final = 100  # of one rule
RULE_NAME_LENGTH: Final = 300  # a provider's name, a slash and a model's
BACKOFF = {
    "base_ms": Number(least=0),
    "factor": Number(least=1, most=MOST_TIMES),
    "max_ms": Number(least=0),
}
FAILOVER_NUMBERS = {
    "max_attempts": Number(least=1, most=MOST_TIMES, is_whole=True),
    "same_candidate_retries": Number(least=0, most=MOST_TIMES, is_whole=True),
    "deadline_s": SECONDS,
    "hold_s": Number(least=0),
    "hedge_after_ms": Number(above=0),
}
FAILOVER_SWITCHES = (
    "enabled", "retry_on_model_errors", "retry_on_timeouts", "retry_on_content_filter",
)  # fmt: skip
FAILOVER_WORDS: dict[str, tuple[object, ...]] = {
    "gate": GATES,
    "exhausted_status": EXHAUSTED_STATUSES,
}
GATE_WORDS = (  # how a form says it
    (FIRST_CONTENT, "from their first content on"),
    (WHOLE_ANSWER, "when the answer is whole"),
)
RETRY_FIRST_NUMBERS = {
    "times": Number(least=0, most=MOST_TIMES, is_whole=True),
    "max_wait_s": Number(least=0),
}
FAILOVER_KEYS = (
    *FAILOVER_SWITCHES, *FAILOVER_NUMBERS, *FAILOVER_WORDS, "retry_on_statuses", "retry_first",
    "backoff",
)  # fmt: skip


def failover_problems(block: object) -> list[str]:
    """The problems of a (partial) failover block."""
    if not isinstance(block, Mapping):
        return ['must be a JSON object, for example {"max_attempts": 2}']
    problems = []
    for key, value in block.items():
        if key in FAILOVER_SWITCHES:
            if not isinstance(value, bool):
                problems.append(f"{key}: {value!r} is not allowed; it must be true or false")
        elif key in FAILOVER_NUMBERS:
            problems += number_problems({key: value}, FAILOVER_NUMBERS)
        elif key in FAILOVER_WORDS:
            if isinstance(value, bool) or value not in FAILOVER_WORDS[key]:
                allowed = " or ".join(map(str, FAILOVER_WORDS[key]))
                problems.append(f"{key}: {value!r} is not allowed; it must be {allowed}")
        elif key == "retry_on_statuses":
            problems += [f"{key}: {problem}" for problem in statuses_problems(value)]
        elif key == "retry_first":
            problems += retry_first_problems(value)
        elif key == "backoff":
            problems += [
                f"backoff.{problem}" if isinstance(value, Mapping) else f"backoff: {problem}"
                for problem in backoff_problems(value)
            ]
        else:
            problems.append(f"{key}: unknown key; allowed are {', '.join(FAILOVER_KEYS)}")
    return problems


def backoff_problems(block: object) -> list[str]:
    problems = number_problems(block, BACKOFF)
    if problems or not isinstance(block, Mapping):
        return problems
    first, longest = block.get("base_ms"), block.get("max_ms")
    if first is not None and longest is not None and longest < first:
        problems.append(f"max_ms: {longest!r} is less than base_ms ({first!r})")
    return problems


def retry_first_problems(block: object) -> list[str]:
    if not isinstance(block, Mapping):
        return ['retry_first: must be a JSON object, for example {"times": 1}']
    problems = [f"statuses: {p}" for p in statuses_problems(block.get("statuses", []))]
    for key, value in block.items():
        if key in RETRY_FIRST_NUMBERS:
            problems += number_problems({key: value}, RETRY_FIRST_NUMBERS)
        elif key != "statuses":
            allowed = ", ".join(("statuses", *RETRY_FIRST_NUMBERS))
            problems.append(f"{key}: unknown key; allowed are {allowed}")
    return [f"retry_first.{problem}" for problem in problems]


def statuses_problems(statuses: object) -> list[str]:
    if not isinstance(statuses, Sequence) or isinstance(statuses, str):
        return ["must be a list of HTTP statuses, for example [429, 500]"]
    allowed = Number(least=100, most=599, is_whole=True)
    wrong = [
        f"{status!r} is not an HTTP status; it must be {allowed.allowed}"
        for status in statuses
        if not allowed.accepts(status)
    ]
    return wrong or (["a status is listed twice"] if len(set(statuses)) < len(statuses) else [])


def targets_problems(primary: str, targets: object) -> list[str]:
    """The problems of a failover rule's targets, which must be trimmed already."""
    if not isinstance(targets, Sequence) or isinstance(targets, str):
        return ["must be a list of model names"]
    if not targets:
        return ["at least one fallback is needed"]
    if len(targets) > MOST_FALLBACKS:
        return [f"{len(targets)} are too many; at most {MOST_FALLBACKS} are allowed"]
    problems, seen = [], set()
    for place, target in enumerate(targets, start=1):
        if not isinstance(target, str) or not target.strip():
            problems.append(f"entry {place} is blank")
        elif target == primary:
            problems.append(f"entry {place}: {target!r} is the model itself")
        elif target in seen:
            problems.append(f"entry {place}: {target!r} is listed twice")
        elif len(target) > RULE_NAME_LENGTH:
            problems.append(f"entry {place}: at most {RULE_NAME_LENGTH} characters are allowed")
        elif wrong := model_name_problems(target):
            problems += [f"entry {place}: {problem}" for problem in wrong]
        else:
            seen.add(target)
    return problems
