"""What the overview's figures and charts say of a window, from the sums of request records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from controlplane.records.models import RequestHour, RequestMinute
from controlplane.records.reading import RequestSums, added, percentile, series, steps, totals
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

NONE: Final = "none"
HOUR_S: Final = 3600
CELLS: Final = 30
# All that is said of a single pool.
OF_A_POOL: Final = (
    "requests",
    "failovers",
    "unavailable",
    "failed",
    "interrupted",
    "internal_error",
    "lost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A choice of the page: its length, and the step of its charts, in seconds."""

    key: str
    words: str
    length_s: int
    step_s: int

    @property
    def sums(self) -> type[RequestMinute | RequestHour]:
        """Where its figures come from: a long window would have too many minutes to read."""
        return RequestHour if self.step_s % HOUR_S == 0 else RequestMinute

    @property
    def cell_s(self) -> int:
        """A part of a pool's strip, of which there are some CELLS."""
        least = HOUR_S if self.sums is RequestHour else 60
        return max(self.length_s // CELLS // least, 1) * least

    @property
    def refresh_s(self) -> int:
        """How often the page looks again: a long window changes slowly, and costs more."""
        if self.length_s <= HOUR_S:
            return 5
        return 60 if self.sums is RequestHour else 30


PERIODS: Final = {
    window.key: window
    for window in (
        Period(key="15m", words="15 minutes", length_s=900, step_s=60),
        Period(key="1h", words="hour", length_s=3600, step_s=60),
        Period(key="6h", words="6 hours", length_s=6 * 3600, step_s=600),
        Period(key="1d", words="day", length_s=86_400, step_s=HOUR_S),
        Period(key="7d", words="week", length_s=7 * 86_400, step_s=4 * HOUR_S),
    )
}
USUAL: Final = PERIODS["1h"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of the page, in words; `note` says what stands behind it."""

    title: str
    value: str
    note: str
    colour: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    figures: tuple[Figure, ...]
    charts: tuple[Mapping[str, Any], ...]
    is_empty: bool


def traffic(window: Period, now: datetime) -> Traffic:
    """The figures of the window that ends at `now`, and its charts."""
    since = now - timedelta(seconds=window.length_s)
    line = series(window.sums, since, now, step_s=window.step_s)[()]
    begins = steps(since, now, window.step_s)
    total = added(line, RequestSums())
    return Traffic(
        figures=figures_of(total),
        charts=charts_of(window, begins, line),
        is_empty=total.requests == 0,
    )


def figures_of(total: RequestSums) -> tuple[Figure, ...]:
    """The numbers that are looked at first."""
    tokens = total.input_tokens + total.output_tokens
    return (
        Figure(
            title="Requests",
            value=f"{total.requests:,}",
            note=f"{total.streams:,} streamed, {counted(total.calls, 'call')}",
        ),
        Figure(
            title="Errors",
            value=share(total.error_share),
            note=f"{total.errors:,} of {total.requests:,} got no whole answer",
            colour=_alarm(total.error_share, 0.01, 0.05),
        ),
        Figure(
            title="Failovers",
            value=share(total.failover_share),
            note=f"{total.failovers:,} were served by another than the first choice",
            colour=_alarm(total.failover_share, 0.05, 0.2),
        ),
        Figure(
            title="Latency",
            value=milliseconds(percentile(total.durations, 0.5)),
            note=f"95 % within {milliseconds(percentile(total.durations, 0.95))}",
        ),
        Figure(
            title="First content",
            value=milliseconds(percentile(total.contents, 0.5)),
            note=f"95 % within {milliseconds(percentile(total.contents, 0.95))}",
        ),
        Figure(
            title="Tokens",
            value=short(tokens),
            note=f"{short(total.input_tokens)} in, {short(total.output_tokens)} out,"
            f" {short(total.cached_tokens)} cached",
        ),
        Figure(title="Cost", value=dollars(total.cost_usd), note="of what has a known price"),
    )


def charts_of(
    window: Period, begins: Sequence[datetime], line: Sequence[RequestSums]
) -> tuple[Mapping[str, Any], ...]:
    """For overview.js: {id, title, unit, kind, labels, lines: [{label, colour, values}]}."""
    pattern = "%m-%d %H:%M" if window.length_s > 86_400 else "%H:%M"
    labels = [begin.strftime(pattern) for begin in begins]

    def chart(name: str, title: str, unit: str, kind: str, *lines: Any) -> Mapping[str, Any]:
        shown = [{"label": text, "colour": hue, "values": values} for text, hue, values in lines]
        return {
            "id": f"chart-{name}",
            "title": title,
            "unit": unit,
            "kind": kind,
            "labels": labels,
            "lines": shown,
        }

    return (
        chart(
            "traffic",
            "Requests",
            "requests",
            "bar",
            ("answered at once", "#3b82f6", [_plain(one) for one in line]),
            ("answered after a failover", "#a855f7", [one.failovers for one in line]),
            ("errors", "#dc2626", [one.errors for one in line]),
        ),
        chart(
            "latency",
            "Latency",
            "ms",
            "line",
            ("half within", "#3b82f6", [percentile(one.durations, 0.5) for one in line]),
            ("95 % within", "#d97706", [percentile(one.durations, 0.95) for one in line]),
        ),
        chart(
            "content",
            "Time to the first content",
            "ms",
            "line",
            ("half within", "#3b82f6", [percentile(one.contents, 0.5) for one in line]),
            ("95 % within", "#d97706", [percentile(one.contents, 0.95) for one in line]),
        ),
        chart(
            "tokens",
            "Tokens",
            "tokens",
            "bar",
            ("in", "#0891b2", [one.input_tokens for one in line]),
            ("out", "#65a30d", [one.output_tokens for one in line]),
        ),
        chart(
            "cost",
            "Cost",
            "USD",
            "bar",
            ("cost", "#059669", [round(one.cost_usd, 6) for one in line]),
        ),
    )


def _plain(one: RequestSums) -> int:
    return max(one.requests - one.failovers - one.errors, 0)


def _alarm(value: float | None, warns: float, alarms: float) -> str:
    if value is None or value < warns:
        return ""
    return "danger" if value >= alarms else "warning"


def share(value: float | None) -> str:
    """A share of 1 in percent."""
    if value is None:
        return NONE
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def short(number: int) -> str:
    """A count in at most four digits."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 0.01 or value == 0 else f"${value:.6f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A part of a strip: its colour's name, and what it says."""

    state: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSums:
    """`strip` are parts of the window, the oldest first; `total` has OF_A_POOL alone."""

    total: RequestSums
    strip: tuple[Cell, ...]

    @property
    def words(self) -> str:
        """The strip for who does not see it."""
        bad = sum(cell.state == "danger" for cell in self.strip)
        return f"many errors in {bad} of {len(self.strip)} parts of the window"


def busiest(window: Period, now: datetime, most: int) -> list[str]:
    """The pools that had most errors, then failovers, then requests."""
    since = now - timedelta(seconds=window.length_s)
    sums = totals(window.sums, since, now, by=("pool",), what=OF_A_POOL)
    found = [(one, pool) for (pool,), one in sums.items() if pool]
    found.sort(key=lambda each: (-each[0].errors, -each[0].failovers, -each[0].requests, each[1]))
    return [pool for _one, pool in found[:most]]


def pools_traffic(window: Period, now: datetime, pools: list[str]) -> dict[str, PoolSums]:
    """The sums and the strip of each of `pools` that had requests."""
    step_s = window.cell_s
    since = now - timedelta(seconds=window.length_s)
    lines = series(window.sums, since, now, step_s=step_s, by=("pool",), what=OF_A_POOL, pool=pools)
    begins = steps(since, now, step_s)
    return {
        pool: PoolSums(
            total=added(line, RequestSums()),
            strip=tuple(_cell(begin, one) for begin, one in zip(begins, line, strict=True)),
        )
        for (pool,), line in lines.items()
    }


def _cell(begin: datetime, one: RequestSums) -> Cell:
    at = begin.strftime("%m-%d %H:%M")
    if not one.requests:
        return Cell(state="default", words=f"{at}: no requests")
    told = (
        counted(one.requests, "request"),
        counted(one.errors, "error"),
        counted(one.failovers, "failover"),
    )
    words = f"{at}: {', '.join(told)}"
    return Cell(state=_alarm(one.error_share, 0.01, 0.05) or "success", words=words)
