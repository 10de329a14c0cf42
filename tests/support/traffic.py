"""
A week of traffic as the rollups have it, made up by seeded dice: what each candidate is like is
said, what becomes of its pool's requests follows.

Rows stand for three hours at first, for twelve minutes on the last day, and for one minute where
an outage is: sums over them are what sums over minutes would be.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from django.db import connection

from controlplane.records.models import (
    BOUNDS_MS,
    CallMinute,
    FaultMinute,
    NeedMinute,
    RequestMinute,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE = timedelta(minutes=1)
INPUT_TOKENS, OUTPUT_TOKENS = 900, 300  # of a request
SPREAD = 0.35  # of the times to the first content, as the logarithm's deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """
    What a candidate is like. `fails` is the share of its calls that end in `fault`; `most` is how
    many calls its provider takes in a minute; `outages` are (begin, minutes) in which all fail;
    `price` is US dollars for a million tokens.
    """

    name: str
    weight: int = 1
    fails: float = 0.002
    fault: str = "status"
    status: int = 503
    most: float = math.inf
    content_ms: float = 500
    price: float = 4.0
    outages: tuple[tuple[datetime, int], ...] = ()

    @property
    def key(self) -> dict[str, str]:
        provider, _, model = self.name.partition("/")
        return {"provider": provider, "model": model}

    def is_out(self, at: datetime) -> bool:
        return any(begin <= at < begin + minutes * MINUTE for begin, minutes in self.outages)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTraffic:
    """
    Requests for one pool, `per_minute` on average; `needs` are shares of them that need something.

    With `is_weighted` the candidates share the work, else the first has it; what one of them fails
    goes to the next.
    """

    pool: str
    candidates: tuple[Behaviour, ...]
    per_minute: float = 5.0
    is_weighted: bool = False
    needs: dict[str, float] = field(default_factory=dict)
    most_input_tokens: int = 6_000
    wrong: float = 0.01  # the callers' own fault


class Traffic:
    """The week before `until`; write() makes its rows."""

    def __init__(self, until: datetime, seed: int = 7) -> None:
        self.until = until
        self._dice = random.Random(seed)
        self._rows: dict[type[Any], list[dict[str, Any]]] = defaultdict(list)

    def write(self, pools: list[PoolTraffic]) -> int:
        """How many rows there are."""
        for pool in pools:
            for at, minutes in self._times(pool):
                self._fill(pool, at, minutes)
        for model, rows in self._rows.items():
            insert(model, rows)
        return sum(map(len, self._rows.values()))

    def _times(self, pool: PoolTraffic) -> Iterator[tuple[datetime, int]]:
        """When rows begin, and how many minutes they stand for."""
        outages = [outage for candidate in pool.candidates for outage in candidate.outages]
        at = self.until - timedelta(days=7)
        while at < self.until:
            minutes = 12 if self.until - at <= timedelta(days=1) else 180
            end = at + minutes * MINUTE
            if any(at < begin + length * MINUTE and begin < end for begin, length in outages):
                minutes = 1
            yield at, minutes
            at += minutes * MINUTE

    def _fill(self, pool: PoolTraffic, at: datetime, minutes: int) -> None:
        wave = 1 + 0.6 * math.sin(2 * math.pi * (at.hour + at.minute / 60 - 9) / 24)
        noise = self._dice.uniform(0.9, 1.1)
        requests = self._count(pool.per_minute * wave * noise * minutes, 1.0)
        if not requests:
            return
        wrong = self._count(requests, pool.wrong)
        left, calls, failovers = requests - wrong, 0, 0
        waiting = self._shared(pool, left)
        for place, candidate in enumerate(pool.candidates):
            asked = waiting[place]
            served, failed, limited = self._answered(candidate, at, minutes, asked)
            tries = served + failed + limited
            lost = asked - served
            if place + 1 < len(pool.candidates):
                waiting[place + 1] += lost
                failovers += lost
                lost = 0
            calls += tries
            if tries or (place == 0 and wrong):
                mine = wrong if place == 0 else 0
                self._calls(pool, candidate, at, served, failed, limited, mine)
        self._request(pool, at, requests, wrong, lost, failovers, calls + wrong)
        for need, part in pool.needs.items():
            if number := self._count(requests, part):
                row = {"minute": at, "pool": pool.pool, "need": need, "requests": number}
                self._rows[NeedMinute].append(row)

    def _answered(
        self, candidate: Behaviour, at: datetime, minutes: int, asked: int
    ) -> tuple[int, int, int]:
        """Of what is asked of it: served, failed, rate limited."""
        if candidate.is_out(at):
            # Whom an outage benches is asked now and then, whether it is back.
            return 0, min(asked, 4 * minutes), 0
        taken = min(asked, round(min(candidate.most * minutes, 1e9)))
        failed = min(taken, self._count(taken, candidate.fails))
        return taken - failed, failed, asked - taken

    def _shared(self, pool: PoolTraffic, left: int) -> list[int]:
        """Who is asked first, how often."""
        if not pool.is_weighted:
            return [left, *[0] * (len(pool.candidates) - 1)]
        total = sum(candidate.weight for candidate in pool.candidates)
        parts = [left * candidate.weight // total for candidate in pool.candidates]
        parts[0] += left - sum(parts)
        return parts

    def _calls(
        self,
        pool: PoolTraffic,
        candidate: Behaviour,
        at: datetime,
        served: int,
        failed: int,
        limited: int,
        wrong: int,
    ) -> None:
        content = histogram(served, candidate.content_ms)
        row = dict(
            minute=at,
            pool=pool.pool,
            **candidate.key,
            calls=served + failed + limited + wrong,
            served=served,
            failed=failed + limited + wrong,
            **sums(served, candidate.content_ms, content),
            cost_usd=round(served * (INPUT_TOKENS + OUTPUT_TOKENS) * candidate.price / 1e6, 8),
        )
        self._rows[CallMinute].append(row)
        fault = "connect" if candidate.is_out(at) else candidate.fault
        status = 0 if candidate.is_out(at) else candidate.status
        for name, code, number in (
            (fault, status, failed), ("rate_limited", 429, limited), ("caller", 400, wrong),
        ):  # fmt: skip
            if number:
                self._rows[FaultMinute].append(
                    dict(
                        minute=at, pool=pool.pool, **candidate.key, fault=name, status=code,
                        calls=number,
                    )
                )  # fmt: skip

    def _request(
        self,
        pool: PoolTraffic,
        at: datetime,
        requests: int,
        wrong: int,
        failed: int,
        failovers: int,
        calls: int,
    ) -> None:
        answered = requests - wrong - failed
        content = histogram(answered, 500)
        self._rows[RequestMinute].append(
            dict(
                minute=at,
                pool=pool.pool,
                key="team",
                requests=requests,
                answered=answered,
                caller_error=wrong,
                failed=failed,
                failovers=min(failovers, answered),
                calls=calls,
                most_input_tokens=self._dice.randint(
                    pool.most_input_tokens // 2, pool.most_input_tokens
                ),
                **sums(answered, 500, content),
            )
        )

    def _count(self, number: float, part: float) -> int:
        """About that part of so many: what is over is left to the dice."""
        return int(number * part + self._dice.random())


def insert(model: type[Any], rows: list[dict[str, Any]]) -> None:
    """Rows of sums, 0 where nothing is said; past Django's checks, which take most of the time."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    names = ", ".join(field.column for field in fields)
    places = ", ".join(["%s"] * len(fields))
    times = connection.ops.adapt_datetimefield_value

    def stored(value: Any) -> Any:
        return times(value) if isinstance(value, datetime) else value

    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {model._meta.db_table} ({names}) VALUES ({places})",
            [[stored(row.get(field.name, 0)) for field in fields] for row in rows],
        )


def histogram(number: int, middle_ms: float) -> list[int]:
    """So many times around `middle_ms`, by BOUNDS_MS."""
    spread = NormalDist(math.log(middle_ms), SPREAD)
    below = [round(number * spread.cdf(math.log(bound))) for bound in BOUNDS_MS] + [number]
    return [b - a for a, b in zip([0, *below[:-1]], below, strict=True)]


def sums(number: int, middle_ms: float, content: list[int]) -> dict[str, Any]:
    """What both kinds of rows say of answers."""
    return {
        "input_tokens": number * INPUT_TOKENS,
        "output_tokens": number * OUTPUT_TOKENS,
        "content_ms": number * middle_ms,
        "duration_ms": 2 * number * middle_ms,
        **{f"content_{step}": count for step, count in enumerate(content)},
        **{f"duration_{step}": count for step, count in enumerate(content)},
    }
