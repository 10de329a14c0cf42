"""What finders look at, and what they propose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from controlplane.records.models import BOUNDS_MS
from providers.errors import Fault

# Whose fault they are; a request that its caller got wrong says nothing of who answered it.
OUTAGES: Final = (
    Fault.CONNECT,
    Fault.RESET,
    Fault.TIMEOUT,
    Fault.STATUS,
    Fault.OVERLOADED,
    Fault.BAD_REPLY,
    Fault.BAD_STREAM,
    Fault.INTERRUPTED,
)
ERRORS: Final = (
    *OUTAGES,
    Fault.QUOTA,
    Fault.AUTH,
    Fault.FORBIDDEN_MODEL,
    Fault.FORBIDDEN,
    Fault.MODEL_NOT_FOUND,
    Fault.CONFIG,
)
# The outcomes of requests that got no answer, through no fault of whoever asked.
LOST: Final = ("failed", "unavailable", "interrupted", "internal_error")
LONGEST_MS: Final = 2 * BOUNDS_MS[-1]  # stands for what is longer than the last bound
TOKENS_OF_PRICE: Final = 1_000_000

Json = Any
NO_FIGURES: Final[Mapping[str, Json]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    What became of one candidate's calls in a window of time, by the rollups.

    `errors` are its own fault, rate limits (`limited`) not among them; `*_minutes` are minutes
    with at least one. `content` counts first contents by BOUNDS_MS.
    """

    calls: int = 0
    served: int = 0
    errors: int = 0
    limited: int = 0
    minutes: int = 0
    error_minutes: int = 0
    limited_minutes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    content: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def error_rate(self) -> float:
        return self.errors / self.calls if self.calls else 0.0

    @property
    def limited_rate(self) -> float:
        return self.limited / self.calls if self.calls else 0.0

    @property
    def usd_per_mtok(self) -> float | None:
        """What a million of its tokens, in and out, has cost; None if nothing is known of it."""
        tokens = self.input_tokens + self.output_tokens
        return self.cost_usd * TOKENS_OF_PRICE / tokens if tokens and self.cost_usd else None

    def content_step(self, share: float) -> int | None:
        """The index in BOUNDS_MS by which `share` of its answers had begun; None without any."""
        total, so_far = sum(self.content), 0
        for step, number in enumerate(self.content):
            so_far += number
            if total and so_far >= share * total:
                return step
        return None

    def content_ms(self, share: float) -> int | None:
        """That bound: no more than `share` took longer."""
        step = self.content_step(share)
        return None if step is None else (*BOUNDS_MS, LONGEST_MS)[step]

    def __add__(self, other: Tally) -> Tally:
        """Both together. Their minutes are counted as if they were others."""
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in (
                "calls", "served", "errors", "limited", "minutes", "error_minutes",
                "limited_minutes", "input_tokens", "output_tokens", "cost_usd",
            )
        }  # fmt: skip
        content = tuple(a + b for a, b in zip(self.content, other.content, strict=True))
        return Tally(**sums, content=content)


NO_CALLS: Final = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A candidate's place in a pool. `is_live`: operators let it be called."""

    provider: str
    model: str
    priority: int = 1
    weight: int = 1
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    is_live: bool = True
    tally: Tally = NO_CALLS

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A pool: its candidates in the order of trying, and who else would serve it by a rule."""

    pool: str
    strategy: str
    seats: tuple[Seat, ...]
    ruled: frozenset[tuple[str, str]] = frozenset()

    @property
    def live(self) -> tuple[Seat, ...]:
        return tuple(seat for seat in self.seats if seat.is_live)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whole minutes up to `until`."""

    until: datetime
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Why something is proposed. The figures are sums over the rollups of the window."""

    text: str
    figures: Mapping[str, Json] = field(default_factory=dict)
    window: Span | None = None

    def as_json(self) -> dict[str, Json]:
        if self.window is None:
            return {"text": self.text, "figures": dict(self.figures), "window_s": 0}
        until = self.window.until.isoformat().replace("+00:00", "Z")
        return {
            "text": self.text,
            "figures": {**self.figures, "until": until},
            "window_s": self.window.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One field of one object, from what it is to what it would be.

    `object` is a kind of controlplane.edits.kinds; `candidate` is a member of a pool, "" for the
    object itself. What is added comes from None.
    """

    object: str
    name: str
    field: str
    old: Json
    new: Json
    candidate: str = ""

    def as_json(self) -> dict[str, Json]:
        return {
            "object": self.object,
            "name": self.name,
            "candidate": self.candidate,
            "field": self.field,
            "from": self.old,
            "to": self.new,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """
    What a finder found. `about` tells it from others of its kind, whatever the figures are;
    `price_change` is US dollars for a million tokens, more or less than now.
    """

    kind: str
    target: str
    about: str
    text: str
    steps: tuple[Step, ...]
    grounds: tuple[Ground, ...]
    confidence: float
    price_change: float | None = None

    @property
    def providers(self) -> frozenset[str]:
        """Whose calls the figures are about."""
        found: set[str] = set()
        for ground in self.grounds:
            found.update(ground.figures.get("providers", ()))
            for key in ("candidate", "model"):
                provider, slash, _model = str(ground.figures.get(key, "")).partition("/")
                if slash:
                    found.add(provider)
        return frozenset(found)

    def change(self) -> dict[str, Json]:
        return {"text": self.text, "edits": [step.as_json() for step in self.steps]}


def confidence_of(seen: Iterable[int], enough: int) -> float:
    """From 0.5, with as much as is asked for at least, to 0.95 with ten times of it."""
    least = min(seen, default=0)
    return round(0.5 + 0.45 * min(1.0, max(0, least - enough) / (9 * enough)), 2)


def share(value: float) -> str:
    """A share as percent, in words."""
    return f"{100 * value:.2g} %" if value < 0.995 else "100 %"


def money(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 4)
