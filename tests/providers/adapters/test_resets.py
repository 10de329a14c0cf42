"""When a provider says that it may be asked again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.resets import LONGEST_S, Stated, stated_wait

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC).timestamp()


def told(*headers: tuple[bytes, bytes], error: Any = None) -> Stated | None:
    return stated_wait(headers, error, now=NOW, is_rate_limit=True)


def wait(*headers: tuple[bytes, bytes], error: Any = None) -> float | None:
    stated = told(*headers, error=error)
    return None if stated is None else stated.wait_s


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
        (b"9" * 400, LONGEST_S),
        (b"9" * 13 + b".5", LONGEST_S),
        (b"30s", 30),
        (b"2026-11-21T10:00:09Z", 9),
        (b"Sat, 99 Nov 2026 10:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_a_fraction_a_duration_or_a_date(
    value: bytes, seconds: float | None
) -> None:
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
    "name",
    [
        b"x-ratelimit-reset",  # OpenRouter, GitHub
        b"x-ratelimit-reset-requests",  # OpenAI, Groq
        b"x-ratelimit-reset-requests-day",  # Cerebras, SambaNova
        b"x-ratelimit-reset-tokens-minute",
        b"x-rate-limit-reset",
        b"ratelimit-reset",  # the IETF's draft
        b"anthropic-ratelimit-input-tokens-reset",
    ],
)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1s", 1),
        (b"6m0s", 360),
        (b"1.5s", 1.5),
        (b"120ms", 0.12),
        (b"1h2m3.5s", 3723.5),
        (b"1d", 86_400),
        (b"99999999999d", LONGEST_S),
        (b"7", 7),
        (b"33011.382867", 33011.382867),
        (b"1795255230", 30),
        (b"1795255230.25", 30.25),
        (b"1795255230500", 30.5),
        (b"1795255199", None),
        (b"1795255199000", None),
        (b"Sat, 21 Nov 2026 10:00:30 GMT", 30),
        (b"2026-11-21T10:00:30Z", 30),
        (b"2026-11-21T11:00:30+01:00", 30),
        (b"2026-11-21T10:00:30", 30),
        (b"2026-11-21T09:00:00Z", None),
        (b"yesterday", None),
        (b"", None),
        (b"-1s", None),
        (b"s", None),
        (b"1s1m", None),
        (b"2020-01-01T00:00:00Z", None),
    ],
)
def test_every_field_states_its_reset_in_every_spelling(
    name: bytes, value: bytes, seconds: float | None
) -> None:
    assert NOW == 1795255200

    found = wait((name, value))

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_no_other_header_is_a_reset() -> None:
    assert wait((b"x-ratelimit-limit-requests", b"7"), (b"x-reset-password", b"7")) is None
    assert wait((b"x-ratelimit-remaining-tokens", b"7"), (b"x-preset", b"7")) is None


OPENROUTER = {
    "X-RateLimit-Limit": "20",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": "1795255260000",
}


def test_openrouter_states_its_reset_within_the_error() -> None:
    error = {"message": "Rate limit exceeded", "code": 429, "metadata": {"headers": OPENROUTER}}
    assert told(error=error) == Stated(60, "x-ratelimit-reset")


@pytest.mark.parametrize(
    "metadata",
    [None, 7, [], {"headers": None}, {"headers": [1]}, {"headers": {"a": {}, "b": True}}],
)
def test_metadata_of_any_other_shape_states_nothing(metadata: Any) -> None:
    assert told(error={"message": "no", "metadata": metadata}) is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [({"retry_after": 7}, 7), ({"retry_after_ms": 250}, 0.25), ({"retry_after": True}, None)],
)
def test_an_error_may_state_a_wait_of_its_own(error: Any, seconds: float | None) -> None:
    assert wait(error=error) == seconds


@pytest.mark.parametrize(
    ("headers", "error", "field"),
    [
        ([(b"Retry-After", b"7")], None, "retry-after"),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"7")], None, "retry-after-ms"),
        ([(b"X-RateLimit-Reset-Tokens", b"7s")], None, "x-ratelimit-reset-tokens"),
        (
            [],
            {"details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "3s"}]},
            "retryDelay",
        ),
    ],
)
def test_the_field_is_named_that_states_the_time(headers: Any, error: Any, field: str) -> None:
    stated = told(*headers, error=error)
    assert stated is not None
    assert stated.field == field


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
