"""What routing settings may be, for the models and for the configuration file alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from providers.validation import COUNT, number_problems

if TYPE_CHECKING:
    from datetime import datetime

# What routing.defaults says for every pool and a pool may say for itself: its key in the file, and
# its field in models, API and snapshot.
POOL_SETTINGS = {
    "strategy": "strategy",
    "session_affinity": "session_affinity",
    "session_affinity_ttl": "session_affinity_ttl_s",
    "stay_after_failover": "stay_after_failover",
    "native_first": "native_first",
    "params": "params",
}
CAPTURE_SWITCHES = ("requests", "responses")
KEEP_DAYS = {"keep_days": COUNT}
MIN_YEAR, MAX_YEAR = 1970, 9000  # whatever the time zone, the moment can be counted with


def capture_problems(block: object) -> list[str]:
    """The problems of a (partial) capture block."""
    if not isinstance(block, Mapping):
        return ['must be a JSON object, for example {"requests": true}']
    problems = []
    for key, value in block.items():
        if key in CAPTURE_SWITCHES:
            if not isinstance(value, bool):
                problems.append(f"{key}: {value!r} is not allowed; it must be true or false")
        elif key in KEEP_DAYS:
            problems += number_problems({key: value}, KEEP_DAYS)
        else:
            allowed = ", ".join((*CAPTURE_SWITCHES, *KEEP_DAYS))
            problems.append(f"{key}: unknown key; allowed are {allowed}")
    return problems


def alias_cycles(names: Iterable[str], target_of: Mapping[str, str]) -> Iterator[list[str]]:
    """
    The circles that `names` lead into, each once, such as [b, c, b].

    A circle begins where the first name that leads there comes in: with that name itself, if it
    is a part of it.
    """
    settled: set[str] = set()
    for name in names:
        way: dict[str, None] = {}  # ordered, and quick to ask
        following = name
        while following in target_of and following not in settled and following not in way:
            way[following] = None
            following = target_of[following]
        if following in way:
            passed = list(way)
            yield [*passed[passed.index(following) :], following]
        settled.update(way)


def alias_cycle(name: str, target_of: Mapping[str, str]) -> list[str]:
    """The way from `name` back to itself, such as [a, b, a]; empty if there is none."""
    found = next(alias_cycles([name], target_of), [])
    return found if found[:1] == [name] else []


def user_path_problems(path: str) -> list[str]:
    """The problems of a key's path, which tells reports who the caller is."""
    if not path or (path.startswith("/") and path.isprintable()):
        return []
    return [f"{path!r} is no user path; it begins with / as in /team/a"]


def moment_problems(moment: datetime | None) -> list[str]:
    if moment is None or MIN_YEAR <= moment.year <= MAX_YEAR:
        return []
    return [f"{moment.year} is not allowed; it must be a year from {MIN_YEAR} to {MAX_YEAR}"]
