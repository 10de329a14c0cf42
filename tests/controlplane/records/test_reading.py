"""Sums as charts, health and suggestions read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.records.models import (
    BOUNDS_MS,
    CallMinute,
    FaultMinute,
    NeedMinute,
    RequestMinute,
)
from controlplane.records.reading import (
    CallSums,
    RequestSums,
    added,
    faults,
    needs,
    percentile,
    series,
    steps,
    totals,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minutes: int) -> datetime:
    return NOON + minutes * MINUTE


def requests(minutes: int, pool: str = "small", key: str = "a", **sums: float) -> None:
    RequestMinute.objects.create(
        minute=at(minutes), pool=pool, key=key, **{"requests": 1, "calls": 1, **sums}
    )


def calls(minutes: int, provider: str = "lab", pool: str = "small", **sums: float) -> None:
    values = {"calls": 1, **sums}
    CallMinute.objects.create(minute=at(minutes), pool=pool, provider=provider, model="m", **values)


@pytest.mark.django_db
def test_totals_are_of_the_minutes_that_the_window_touches() -> None:
    for minutes in range(-2, 4):
        requests(minutes, requests=10 ** (minutes + 2))

    window = (at(0) + timedelta(seconds=20), at(2) + timedelta(seconds=1))
    assert totals(RequestMinute, *window)[()].requests == 11100
    assert totals(RequestMinute, at(0), at(2))[()].requests == 1100


@pytest.mark.django_db
def test_totals_come_by_names_in_the_order_asked_for() -> None:
    requests(0, "small", "a", requests=1, cost_usd=0.25)
    requests(1, "small", "a", requests=2, cost_usd=0.5)
    requests(1, "large", "a", requests=4)
    requests(1, "large", "b", requests=8)

    found = totals(RequestMinute, at(0), at(9), by=("key", "pool"))
    counted = {names: sums.requests for names, sums in found.items()}
    assert counted == {("a", "small"): 3, ("a", "large"): 4, ("b", "large"): 8}
    assert found["a", "small"].cost_usd == 0.75
    by_pool = totals(RequestMinute, at(0), at(9), by=("pool",), key="a")
    assert {names: sums.requests for names, sums in by_pool.items()} == {
        ("small",): 3,
        ("large",): 4,
    }
    several = totals(RequestMinute, at(0), at(9), key=["a", "b"], pool="large")
    assert several[()].requests == 12


@pytest.mark.django_db
def test_where_nothing_was_totals_are_zeros() -> None:
    assert totals(CallMinute, at(0), at(5)) == {(): CallSums()}
    assert totals(CallMinute, at(0), at(5), by=("provider",)) == {}
    assert CallSums().error_share is None
    assert RequestSums().failover_share is None


@pytest.mark.django_db
def test_the_largest_prompt_is_no_sum() -> None:
    requests(0, most_input_tokens=10)
    requests(1, most_input_tokens=30)

    assert totals(RequestMinute, at(0), at(5))[()].most_input_tokens == 30


@pytest.mark.django_db
def test_a_series_has_every_step_of_its_window() -> None:
    calls(-4, calls=100)
    calls(1, calls=1)
    calls(4, calls=2)
    calls(5, calls=4, served=3, failed=1, duration_3=3)
    calls(5, "other", calls=8)

    window = (at(0), at(12))
    every_five = series(CallMinute, *window, step_s=300, by=("provider",))
    assert {names: [s.calls for s in line] for names, line in every_five.items()} == {
        ("lab",): [3, 4, 0],
        ("other",): [0, 8, 0],
    }
    assert every_five["lab",][1].error_share == 0.25
    assert every_five["lab",][1].durations[3] == 3
    assert steps(*window, 300) == [at(0), at(5), at(10)]
    by_minute = [sums.calls for sums in series(CallMinute, *window)[()]]
    assert by_minute == [0, 1, 0, 0, 2, 12, 0, 0, 0, 0, 0, 0]
    hours = [sums.calls for sums in series(CallMinute, at(-30), at(30), step_s=3600)[()]]
    assert hours == [100, 15]
    assert series(CallMinute, at(0), at(0)) == {(): []}


@pytest.mark.django_db
def test_faults_and_needs_are_counted_by_names() -> None:
    for minutes, fault, status, count in ((0, "status", 500, 3), (1, "status", 503, 4),
                                          (1, "timeout", 0, 5), (9, "timeout", 0, 9)):  # fmt: skip
        FaultMinute.objects.create(
            minute=at(minutes), pool="small", provider="lab", model="m",
            fault=fault, status=status, calls=count,
        )  # fmt: skip
    NeedMinute.objects.create(minute=at(0), pool="small", need="tools", requests=2)

    assert faults(at(0), at(5)) == {("status",): 7, ("timeout",): 5}
    assert faults(at(0), at(5), by=("status",), fault="status") == {(500,): 3, (503,): 4}
    assert faults(at(0), at(5), provider="other") == {}
    assert needs(at(0), at(5), pool="small") == {("tools",): 2}


def counted(**buckets: int) -> tuple[int, ...]:
    return tuple(buckets.get(f"b{n}", 0) for n in range(len(BOUNDS_MS) + 1))


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        (counted(), 0.5, None),
        (counted(b0=10), 0.5, 25.0),  # half way to 50
        (counted(b0=10), 1.0, 50.0),
        (counted(b0=9, b2=1), 0.95, 150.0),  # half way from 100 to 200
        (counted(b1=1, b3=1), 0.5, 100.0),
        (counted(b12=1), 0.5, 120_000.0),  # that or longer
        (counted(b0=1), 0.0, 0.0),
    ],
)
def test_a_percentile_lies_inside_its_bucket(
    counts: tuple[int, ...], share: float, expected: float | None
) -> None:
    assert percentile(counts, share) == expected


def test_sums_are_added_up() -> None:
    one = RequestSums(requests=2, cost_usd=0.5, most_input_tokens=9, durations=counted(b0=2))
    two = RequestSums(requests=1, cost_usd=0.25, most_input_tokens=3, durations=counted(b4=1))

    assert added([one, two], RequestSums()) == RequestSums(
        requests=3, cost_usd=0.75, most_input_tokens=9, durations=counted(b0=2, b4=1)
    )


def test_what_callers_did_wrong_is_no_error() -> None:
    sums = RequestSums(requests=10, caller_error=3, refused=2, abandoned=1, failed=1, interrupted=1)

    assert sums.error_share == 0.2
