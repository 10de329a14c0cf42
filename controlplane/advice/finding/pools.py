"""Who else might be in a pool, and who is in it for nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from controlplane.advice.finding.values import Ground, Line, Proposal, Seat, Span, Step, money
from providers.saying.counting import counted

KIND: Final = "pool_candidate"
LISTED: Final = 0.6  # confidence: it is listed, and nobody has called it yet
DEAD_CALLS: Final = 20
DEAD_FOR: Final = timedelta(hours=12)  # from its first call of the day to its last
SHARING: Final = frozenset(
    {"weighted_round_robin", "weighted_random", "round_robin", "lowest_latency", "lowest_cost",
     "least_busy"}
)  # fmt: skip


def spares(
    lines: Iterable[Line],
    listed: Mapping[str, Collection[str]],
    *,
    domain: Callable[[str], str],
    price: Callable[[str, str], float | None],
) -> Iterator[Proposal]:
    """
    A second provider of a model that a pool has from one alone, though another lists it.

    `listed` has the providers that may be called, by the exact id; `price` is of a provider's
    model, US dollars for a million tokens. Whom a rule brings already is not proposed.
    """
    for line in lines:
        if (found := _spare(line, listed, domain, price)) is not None:
            yield found


def _spare(
    line: Line,
    listed: Mapping[str, Collection[str]],
    domain: Callable[[str], str],
    price: Callable[[str, str], float | None],
) -> Proposal | None:
    taken = {(seat.provider, seat.model) for seat in line.seats} | line.ruled
    for seat in line.live:
        if sum(other.model == seat.model for other in line.seats) > 1:
            continue
        others = [p for p in listed.get(seat.model, ()) if (p, seat.model) not in taken]
        if not others:
            continue
        own = price(seat.provider, seat.model)

        def worth(provider: str, seat: Seat = seat) -> tuple[bool, float, str]:
            cost = price(provider, seat.model)
            fails_too = domain(provider) == domain(seat.provider)
            return fails_too, float("inf") if cost is None else cost, provider

        best = min(others, key=worth)
        cost = price(best, seat.model)
        last = max(other.priority for other in line.seats)
        # It stands by: where candidates share their work it gets a tier of its own behind them.
        place = last + 1 if line.strategy in SHARING else last
        apart = domain(best) != domain(seat.provider)
        text = f"{best} lists {seat.model}, too; the pool has it from {seat.provider} alone."
        if not apart:
            text += " They may fail together."
        return Proposal(
            kind=KIND,
            target=line.pool,
            about=f"{line.pool}\nadd\n{best}/{seat.model}",
            text=f"Add {best}/{seat.model} to pool {line.pool} as a spare.",
            steps=(
                Step(
                    object="pool", name=line.pool, candidate=f"{best}/{seat.model}",
                    field="candidate", old=None, new={"priority": place, "weight": 1},
                ),
            ),
            grounds=(Ground(text=text),),
            confidence=LISTED if apart else LISTED - 0.2,
            price_change=None if own is None or cost is None else money(cost - own),
        )  # fmt: skip
    return None


def dead(lines: Iterable[Line], window: Span) -> Iterator[Proposal]:
    """Candidates that were called all day and never answered, in pools that have others."""
    for line in lines:
        for seat in line.live:
            tally = seat.tally
            if (
                len(line.live) > 1
                and tally.served == 0
                and tally.errors + tally.limited >= DEAD_CALLS
                and tally.first_at is not None
                and tally.last_at is not None
                and tally.last_at - tally.first_at >= DEAD_FOR
            ):
                yield _dead(line, seat, window)


def _dead(line: Line, seat: Seat, window: Span) -> Proposal:
    tally = seat.tally
    return Proposal(
        kind=KIND,
        target=line.pool,
        about=f"{line.pool}\ndisable\n{seat.name}",
        text=f"Disable {seat.name} in pool {line.pool}.",
        steps=(
            Step(
                object="pool", name=line.pool, candidate=seat.name, field="enabled", old=True,
                new=False,
            ),
        ),
        grounds=(
            Ground(
                text=f"{seat.name} was called {counted(tally.calls, 'time')} within a day and"
                f" served nobody: {counted(tally.errors, 'call')} failed,"
                f" {counted(tally.limited, 'was', 'were')} rate limited.",
                figures={
                    "candidate": seat.name,
                    "calls": tally.calls,
                    "served": tally.served,
                    "errors": tally.errors,
                    "rate_limited": tally.limited,
                },
                window=window,
            ),
        ),
        confidence=0.9,
        price_change=None,
    )  # fmt: skip
