"""An order, or weights, that the candidates' own traffic contradicts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from controlplane.advice.finding.judging import Compared, compare, ground_of, is_short_of_room
from controlplane.advice.finding.values import (
    NO_CALLS,
    Ground,
    Line,
    Proposal,
    Seat,
    Span,
    Step,
    confidence_of,
    money,
    share,
)

IN_ORDER: Final = frozenset({"priority_failover", "fill_first"})
WEIGHTED: Final = frozenset({"weighted_round_robin", "weighted_random", "least_busy"})
FIRST_CALLS: Final = 200
OTHER_SERVED: Final = 50  # those behind the first get what it lost
SHARE_CALLS: Final = 200


def orders(lines: Iterable[Line], window: Span) -> Iterator[Proposal]:
    """Pools whose first candidate does so much worse than a later one that it should not be it."""
    for line in lines:
        live = line.live
        if line.strategy not in IN_ORDER or len(live) < 2 or live[0].tally.calls < FIRST_CALLS:
            continue
        first = live[0]
        for other in live[1:]:
            if other.tally.served < OTHER_SERVED:
                continue
            is_same = first.model == other.model
            found = compare(first.tally, other.tally, is_same_model=is_same)
            if found is not None:
                yield _order(line, first, other, found, window)
                break


def _order(line: Line, first: Seat, other: Seat, found: Compared, window: Span) -> Proposal:
    names = [seat.name for seat in line.seats]
    moved = [name for name in names if name != other.name]
    moved.insert(moved.index(first.name), other.name)
    steps = [Step(object="pool", name=line.pool, field="order", old=names, new=moved)]
    if other.priority != first.priority:
        steps.append(
            Step(
                object="pool", name=line.pool, candidate=other.name, field="priority",
                old=other.priority, new=first.priority,
            )
        )  # fmt: skip
    price, other_price = first.tally.usd_per_mtok, other.tally.usd_per_mtok
    return Proposal(
        kind="order",
        target=line.pool,
        about=f"{line.pool}\n{first.name}\n{other.name}",
        text=f"Try {other.name} before {first.name} in pool {line.pool}.",
        steps=tuple(steps),
        grounds=(
            Ground(text=f"{first.name} against {other.name}: {found.text}."),
            ground_of(first.name, first.tally, window),
            ground_of(other.name, other.tally, window),
        ),
        confidence=confidence_of(
            [first.tally.calls // FIRST_CALLS, other.tally.served // OTHER_SERVED], 1
        ),
        price_change=None if price is None or other_price is None else money(other_price - price),
    )


def weights(
    lines: Iterable[Line], window: Span, limited: Collection[tuple[str, str]] = ()
) -> Iterator[Proposal]:
    """
    Pools that share their work by weights, and in which one candidate gets too much of it.

    For those in `limited` (provider, model) a limit is proposed, which says it better.
    """
    for line in lines:
        if line.strategy not in WEIGHTED or not line.live:
            continue
        best = min(seat.priority for seat in line.live)
        tier = [seat for seat in line.live if seat.priority == best]
        if len(tier) < 2 or any(seat.tally.calls < SHARE_CALLS for seat in tier):
            continue
        for seat in sorted(tier, key=lambda each: (-each.tally.error_rate, each.name)):
            rest = [other for other in tier if other is not seat]
            is_limited = (seat.provider, seat.model) in limited
            if not is_limited and (found := _overweight(seat, rest)) is not None:
                yield _weight(line, seat, rest, found, window)
                break


def _overweight(seat: Seat, rest: list[Seat]) -> Compared | None:
    others = sum((other.tally for other in rest), NO_CALLS)
    is_same = all(other.model == seat.model for other in rest)
    if (found := compare(seat.tally, others, is_same_model=is_same)) is not None:
        return found
    if is_short_of_room(seat.tally, others):
        limited = share(seat.tally.limited_rate)
        return Compared(
            reason="headroom",
            text=f"{limited} of its calls were rate limited, of the others'"
            f" {share(others.limited_rate)}",
        )
    return None


def _weight(line: Line, seat: Seat, rest: list[Seat], found: Compared, window: Span) -> Proposal:
    if seat.weight > 1:
        new = {seat.name: (seat.weight, seat.weight // 2)}
    else:
        new = {other.name: (other.weight, 2 * other.weight) for other in rest}
    after = {each.name: each.weight for each in (seat, *rest)}
    after |= {name: weight for name, (_, weight) in new.items()}
    told = ", ".join(f"{name} from {old} to {weight}" for name, (old, weight) in new.items())
    return Proposal(
        kind="weight",
        target=line.pool,
        about=f"{line.pool}\n{seat.name}",
        text=f"Send {seat.name} a smaller share of pool {line.pool}: weight of {told}.",
        steps=tuple(
            Step(object="pool", name=line.pool, candidate=name, field="weight", old=old, new=weight)
            for name, (old, weight) in new.items()
        ),
        grounds=(
            Ground(text=f"{seat.name} against the others of its tier: {found.text}."),
            *(ground_of(each.name, each.tally, window) for each in (seat, *rest)),
        ),
        confidence=confidence_of((each.tally.calls for each in (seat, *rest)), SHARE_CALLS),
        price_change=_mixed_price([seat, *rest], after),
    )


def _mixed_price(tier: list[Seat], after: dict[str, int]) -> float | None:
    """How the tier's price changes, if each is called as often as its weight says."""
    prices = {seat.name: seat.tally.usd_per_mtok for seat in tier}
    known = {name: price for name, price in prices.items() if price is not None}
    if len(known) < len(prices):
        return None
    before = {seat.name: seat.weight for seat in tier}

    def mixed(by: dict[str, int]) -> float:
        return sum(known[name] * by[name] for name in known) / sum(by[name] for name in known)

    return money(mixed(after) - mixed(before))
