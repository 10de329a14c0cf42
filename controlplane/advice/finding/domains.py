"""Providers that always fail together, though nobody has said so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

from controlplane.advice.finding.values import Ground, Proposal, Span, Step
from failover.cautions import TOGETHER
from providers.saying.counting import counted

EPISODES: Final = 3
APART: Final = timedelta(minutes=30)  # one episode from the next
ALIKE: Final = 0.8  # of the bad minutes of either, those that both had
MOST_PROVIDERS: Final = 400  # with bad minutes; pairs are looked at


def domains(
    bad: Mapping[str, AbstractSet[datetime]],
    domain_of: Callable[[str], Mapping[str, str]],
    is_known: Callable[[str, str], bool],
    window: Span,
) -> Iterator[Proposal]:
    """
    One failure domain for those whose bad minutes are (nearly) the same, in several episodes.

    `bad` are the minutes in which most of what a provider was asked failed, `is_known` tells
    whether two are known to fail together already.
    """
    often = sorted(name for name, minutes in bad.items() if len(episodes(minutes)) >= EPISODES)
    pairs = {
        (a, b): bad[a] & bad[b]
        for a, b in combinations(often[:MOST_PROVIDERS], 2)
        if not is_known(a, b)
    }
    alike = {
        pair: both
        for pair, both in pairs.items()
        if len(episodes(both)) >= EPISODES and len(both) >= ALIKE * len(bad[pair[0]] | bad[pair[1]])
    }
    for group in _groups(alike):
        yield _domain(group, alike, bad, domain_of, window)


def episodes(minutes: Iterable[datetime]) -> list[datetime]:
    """The begins of stretches of minutes, each well apart from the one before."""
    begins: list[datetime] = []
    last: datetime | None = None
    for minute in sorted(minutes):
        if last is None or minute - last > APART:
            begins.append(minute)
        last = minute
    return begins


def _groups(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Those that any pair connects."""
    group_of: dict[str, set[str]] = {}
    for a, b in pairs:
        merged = group_of.get(a, {a}) | group_of.get(b, {b})
        for name in merged:
            group_of[name] = merged
    return [list(group) for group in sorted({tuple(sorted(g)) for g in group_of.values()})]


def _domain(
    group: Iterable[str],
    alike: Mapping[tuple[str, str], AbstractSet[datetime]],
    bad: Mapping[str, AbstractSet[datetime]],
    domain_of: Callable[[str], Mapping[str, str]],
    window: Span,
) -> Proposal:
    names = list(group)
    said = defaultdict(list)
    for name in names:
        if value := domain_of(name).get(TOGETHER):
            said[value].append(name)
    value = min(said, default="+".join(names))
    return Proposal(
        kind="failure_domain",
        target=", ".join(names),
        about="\n".join(names),
        text=f"Say that {' and '.join(names)} fail together: failure domain {TOGETHER} {value}.",
        steps=tuple(
            Step(
                object="provider", name=name, field="failure_domain", old=dict(domain_of(name)),
                new={**domain_of(name), TOGETHER: value},
            )
            for name in names
            if domain_of(name).get(TOGETHER) != value
        ),
        grounds=tuple(
            _ground(a, b, both, bad, window)
            for (a, b), both in sorted(alike.items())
            if a in names and b in names
        ),
        confidence=round(
            min(
                len(both) / len(bad[a] | bad[b])
                for (a, b), both in alike.items()
                if a in names and b in names
            ),
            2,
        ),
        price_change=0.0,
    )  # fmt: skip


def _ground(
    a: str,
    b: str,
    both: AbstractSet[datetime],
    bad: Mapping[str, AbstractSet[datetime]],
    window: Span,
) -> Ground:
    hours = {minute.replace(minute=0, second=0) for minute in both}
    return Ground(
        text=f"{a} and {b} failed in the same {counted(len(both), 'minute')}, in"
        f" {counted(len(hours), 'different hour')};"
        f" {a} in {len(bad[a])} in all, {b} in {len(bad[b])}.",
        figures={
            "providers": [a, b],
            "bad_minutes_of_first": len(bad[a]),
            "bad_minutes_of_second": len(bad[b]),
            "bad_minutes_of_both": len(both),
            "hours": len(hours),
        },
        window=window,
    )
