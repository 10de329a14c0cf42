"""When a provider says that it may be asked again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.resets import retry_after_s

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC).timestamp()


def wait(*headers: tuple[bytes, bytes], error: Any = None) -> float | None:
    return retry_after_s(headers, error, now=NOW, is_rate_limit=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7),
        (b"7.5", 7.5),
        (b" 7 ", 7),
        (b"0", 0),
        (b"86400", 86_400),
        (b"Sat, 21 Nov 2026 10:00:09 GMT", 9),
        (b"Sat, 21 Nov 2026 10:00:09 -0000", 9),
        (b"Saturday, 21-Nov-26 10:00:09 GMT", 9),
        (b"Sat Nov 21 10:00:09 2026", 9),
        (b"Sat, 21 Nov 2026 09:59:00 GMT", None),
        (b"-1", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e3", None),
        (b"1_000", None),
        (b"+7", None),
        (b"abc", None),
        (b"", None),
        (b"\xff", None),
        (b"9" * 400, None),
        (b"Sat, 99 Nov 2026 10:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_a_fraction_or_a_date(value: bytes, seconds: float | None) -> None:
    assert wait((b"retry-after", value)) == seconds


def test_a_date_is_compared_with_the_providers_own_clock() -> None:
    date = (b"date", b"Sat, 21 Nov 2026 12:00:00 GMT")
    assert wait(date, (b"retry-after", b"Sat, 21 Nov 2026 12:00:05 GMT")) == 5
    assert wait(date, (b"retry-after", b"Sat, 21 Nov 2026 11:59:00 GMT")) is None
    assert wait((b"date", b"odd"), (b"retry-after", b"Sat, 21 Nov 2026 10:00:05 GMT")) == 5


def test_milliseconds_come_before_seconds_and_sense_before_nonsense() -> None:
    assert wait((b"retry-after", b"7"), (b"retry-after-ms", b"250")) == 0.25
    assert wait((b"retry-after-ms", b"-5"), (b"retry-after", b"7")) == 7
    assert wait((b"retry-after", b"soon"), (b"retry-after", b"9")) == 9


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1s", 1),
        (b"6m0s", 360),
        (b"120ms", 0.12),
        (b"1h2m3.5s", 3723.5),
        (b"1d", 86_400),
        (b"", None),
        (b"-1s", None),
        (b"7", None),
        (b"s", None),
        (b"1s1m", None),
        (b"2020-01-01T00:00:00Z", None),
    ],
)
def test_openai_states_durations(value: bytes, seconds: float | None) -> None:
    found = wait((b"x-ratelimit-reset-requests", value))
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"2026-11-21T10:00:30Z", 30),
        (b"2026-11-21T11:00:30+01:00", 30),
        (b"2026-11-21T10:00:30", 30),
        (b"2026-11-21T09:00:00Z", None),
        (b"yesterday", None),
    ],
)
def test_anthropic_states_times(value: bytes, seconds: float | None) -> None:
    assert wait((b"anthropic-ratelimit-input-tokens-reset", value)) == seconds


def test_of_several_limits_the_spent_ones_count() -> None:
    tokens = (b"x-ratelimit-reset-tokens", b"2s")
    requests = (b"x-ratelimit-reset-requests", b"8h0m0s")
    left = (b"x-ratelimit-remaining-requests", b"4000")
    assert wait(tokens, requests, left, (b"x-ratelimit-remaining-tokens", b"0")) == 2
    # None is spent: the request was larger than what was left, so the soonest reset counts.
    assert wait(tokens, requests, left, (b"x-ratelimit-remaining-tokens", b"100")) == 2
    # Both may be spent: both must have come back.
    assert wait(tokens, requests) == 8 * 3600


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}], 34.07),
        ([7, {"@type": "google.rpc.Help"}, {"@type": "x.RetryInfo", "retryDelay": "3s"}], 3),
        ([{"@type": "x.RetryInfo", "retryDelay": 3}], None),
        ([{"@type": "x.RetryInfo", "retryDelay": "-3s"}], None),
        ("odd", None),
        (None, None),
    ],
)
def test_google_states_a_delay_in_the_body(details: Any, seconds: float | None) -> None:
    assert wait(error={"details": details}) == seconds


@settings(max_examples=50)
@given(st.sampled_from([b"retry-after", b"retry-after-ms", b"date"]), st.binary(max_size=40))
def test_no_header_is_a_surprise(name: bytes, value: bytes) -> None:
    found = wait((name, value), (b"x-ratelimit-reset-tokens", value))
    assert found is None or 0 <= found < 1e13
