from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.validation import QuietHours, quiet_hours_problems

NIGHT = QuietHours.read("22:00-07:00 Europe/Lisbon")
LUNCH = QuietHours.read("12:00-13:30 UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        # In November Lisbon is on UTC, in July an hour ahead of it.
        (NIGHT, "2026-11-27T21:59:59", None),
        (NIGHT, "2026-11-27T22:00:00", "2026-11-28T07:00:00"),
        (NIGHT, "2026-11-28T06:59:59", "2026-11-28T07:00:00"),
        (NIGHT, "2026-11-28T07:00:00", None),
        (NIGHT, "2026-07-01T20:59:59", None),
        (NIGHT, "2026-07-01T21:00:00", "2026-07-02T06:00:00"),
        (NIGHT, "2026-07-01T23:30:00", "2026-07-02T06:00:00"),
        (LUNCH, "2026-07-01T11:59:59", None),
        (LUNCH, "2026-07-01T12:00:00", "2026-07-01T13:30:00"),
        (LUNCH, "2026-07-01T13:30:00", None),
    ],
)
def test_quiet_hours_are_by_the_clock_of_their_zone(hours, now, until):
    assert hours.end_of(at(now)) == (until and at(until))


def test_no_text_is_no_quiet_hours():
    assert QuietHours.read("") is None
    assert quiet_hours_problems("") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("22:00-07:00", "they look like"),
        ("22-7 Europe/Lisbon", "they look like"),
        ("22:00-07:00 Europe/Lisbonne", "unknown time zone (Europe/Lisbonne)"),
        ("22:00-07:00 ../../etc/passwd", "unknown time zone"),
        ("22:00-07:00 Europe", "unknown time zone"),
        ("24:00-07:00 UTC", "no time of a day"),
        ("07:00-07:00 UTC", "both ends are the same"),
    ],
)
def test_what_is_wrong_with_quiet_hours_is_said(text, words):
    (problem,) = quiet_hours_problems(text)

    assert words in problem
