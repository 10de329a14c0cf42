"""When one candidate is so much worse than another that their order, or weight, is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from controlplane.advice.finding.values import Ground, Span, Tally, money, share
from controlplane.records.models import BOUNDS_MS
from providers.saying.counting import counted

# Far above what chance does, because an operator is asked to act.
ERROR_RATE: Final = 0.10
TIMES_THE_ERRORS: Final = 3.0
SPREAD: Final = 0.25  # of the minutes with calls: an outage of an hour is no reason
AS_RELIABLE: Final = 0.01
LIMITED_RATE: Final = 0.05
UNLIMITED: Final = 0.01
STEPS_SLOWER: Final = 2  # of the histogram: more than twice as long
CHEAPER: Final = 0.7
AS_CHEAP: Final = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """In what `worse` is worse than `better`: a word for the reason, and the sentence."""

    reason: str
    text: str


def compare(worse: Tally, better: Tally, *, is_same_model: bool) -> Compared | None:
    """
    In what `worse` is worse beyond doubt, while it is not better in something that matters.

    Times and prices are compared between equal models alone: another model is chosen for more.
    """
    if _limited(better):
        return None  # there is no room for more at it
    if _errs(worse, better):
        return Compared(
            reason="errors",
            text=f"{share(worse.error_rate)} of its calls failed, of the other's"
            f" {share(better.error_rate)}",
        )
    if not is_same_model or better.error_rate > worse.error_rate + AS_RELIABLE:
        return None
    price, other_price = worse.usd_per_mtok, better.usd_per_mtok
    slow, quick = worse.content_step(0.5), better.content_step(0.5)
    if slow is None or quick is None:
        return None
    slowest, quickest = worse.content_step(0.95), better.content_step(0.95)
    is_slower = slow - quick >= STEPS_SLOWER and (slowest or 0) >= (quickest or 0)
    is_dearer = price is not None and other_price is not None and other_price > price * AS_CHEAP
    if is_slower and not is_dearer:
        return Compared(
            reason="latency",
            text=f"half of its answers took longer than {_below(slow)} ms to begin; half"
            f" of the other's had begun by {better.content_ms(0.5)} ms",
        )
    if price and other_price is not None and other_price <= CHEAPER * price and quick <= slow + 1:
        return Compared(
            reason="price",
            text=f"a million tokens cost {price:.4g} US dollars, at the other {other_price:.4g}",
        )
    return None


def _errs(worse: Tally, better: Tally) -> bool:
    return (
        worse.error_rate >= ERROR_RATE
        and worse.error_rate >= TIMES_THE_ERRORS * better.error_rate
        and worse.error_minutes >= SPREAD * worse.minutes
    )


def _limited(tally: Tally) -> bool:
    return tally.limited_rate > UNLIMITED


def is_short_of_room(worse: Tally, better: Tally) -> bool:
    """Whether one is rate limited again and again while the other takes whatever comes."""
    return (
        worse.limited_rate >= LIMITED_RATE
        and worse.limited_minutes >= SPREAD * worse.minutes
        and not _limited(better)
        and better.error_rate <= worse.error_rate + AS_RELIABLE
    )


def _below(step: int) -> int:
    """The bound before the one that half of the answers had begun by."""
    return BOUNDS_MS[step - 1]


def ground_of(name: str, tally: Tally, window: Span) -> Ground:
    """How one candidate did, with all the figures that are compared."""
    figures = {
        "candidate": name,
        "calls": tally.calls,
        "served": tally.served,
        "errors": tally.errors,
        "rate_limited": tally.limited,
        "minutes": tally.minutes,
        "error_minutes": tally.error_minutes,
        "rate_limited_minutes": tally.limited_minutes,
        "content_p50_ms": tally.content_ms(0.5),
        "content_p95_ms": tally.content_ms(0.95),
        "usd_per_mtok": money(tally.usd_per_mtok),
    }
    text = (
        f"{name}: {counted(tally.calls, 'call')}, {tally.errors:,} failed"
        f" ({share(tally.error_rate)}), {tally.limited:,} rate limited"
    )
    if (begun := tally.content_ms(0.5)) is not None:
        text += f"; half had begun by {begun} ms, 95 % by {tally.content_ms(0.95)} ms"
    if (price := tally.usd_per_mtok) is not None:
        text += f"; {price:.4g} US dollars a million tokens"
    return Ground(text=text, figures=figures, window=window)
