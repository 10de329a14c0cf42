"""How admin says a time: with its age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from providers.saying.ages import age, aged

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.mark.pure
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s ago"),
        (0.4, "0 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (47 * 3600, "47 h ago"),
        (48 * 3600, "2 d ago"),
        (400 * 86_400, "400 d ago"),
        (-20, "in 20 s"),
        (-89, "in 1 min"),
        (-91, "in 2 min"),
        (-17_999, "in 5 h"),
    ],
)
def test_an_age_is_said_in_the_largest_unit_that_tells_enough(seconds, words):
    assert age(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.pure
def test_a_time_is_said_in_utc_with_its_age_beside_it():
    elsewhere = datetime(2020, 1, 1, 2, 3, 4, 567, tzinfo=timezone(timedelta(hours=2)))
    said = aged(elsewhere, "UTC")
    assert 'datetime="2020-01-01T00:03:04+00:00">2020-01-01 00:03:04 UTC</time>, ' in said
    assert 'data-age="2020-01-01T00:03:04+00:00">' in said
    assert " d ago</span>" in said
    assert aged(None) == ""
