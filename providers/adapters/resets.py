"""
When a provider says that it may be asked again, and in which field it says so.

Headers first, then the body, which may hold headers of its own; what cannot be a time to wait
(negative, NaN, past, garbage) counts as not said. The engine clamps what is said here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

Headers = Iterable[tuple[bytes, bytes]]
Read = Callable[[str, float], float | None]

LONGEST_S: Final = 1e9  # however many digits there are: some number that the engine can clamp

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_DURATION: Final = re.compile(
    r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?"
    r"(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNIT_S: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)
# Unix times: seconds from 2001 on, and milliseconds. Nobody means a wait of thirty years.
_EPOCH_S: Final = (1e9, 1e11)
_EPOCH_MS: Final = (1e12, 1e14)

# "x-ratelimit-reset", "x-ratelimit-reset-tokens-minute", "ratelimit-reset" and the like, and
# Anthropic's "anthropic-ratelimit-input-tokens-reset". With "remaining" for "reset" the same
# name says whether that limit is spent.
_RESET: Final = re.compile(r"(?:.*-)?rate-?limit(?:-[a-z-]+)?-reset(?:-[a-z-]+)?")
_AGAIN: Final = re.compile(
    r"(?:try again|retry) in ((?:[0-9]+(?:\.[0-9]+)?(?:ms|[dhms]))+)", re.IGNORECASE
)
_ACCESS: Final = re.compile(r"regain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC")
_DAY_S: Final = 86_400.0
_CALIFORNIA_S: Final = 8 * 3600.0  # midnight there, of a day in UTC


class Stated(NamedTuple):
    """So long the provider wants to be left alone, as `field` says."""

    wait_s: float
    field: str


def stated_wait(headers: Headers, error: Any, *, now: float, is_rate_limit: bool) -> Stated | None:
    """
    How long it is until the provider takes requests again; None if it does not say.

    `now` is Unix time; dates are compared with the provider's own `Date` where it sends one.
    `error` is the decoded error object. The limits' reset times count for a 429 only: providers
    send them with every reply.
    """
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    if (date := _first(_http_date, by_name.get("date"), now)) is not None:
        now = date
    for member, text in _in_the_body(error):
        by_name.setdefault(member, []).append(text)
    if (daily := _daily_quota(error, now)) is not None:
        return daily
    for field, read in _READERS:
        if (wait := _first(read, by_name.get(field), now)) is not None:
            return Stated(wait, field)
    if (wait := _retry_info(error)) is not None:
        return Stated(wait, "retryDelay")
    reset = _limit_reset(by_name, now) if is_rate_limit else None
    return reset or _in_words(error, now)


def _limit_reset(by_name: Mapping[str, list[str]], now: float) -> Stated | None:
    spent: list[Stated] = []
    others: list[Stated] = []
    for name, values in by_name.items():
        if _RESET.fullmatch(name) is None or (wait := _first(_wait, values, now)) is None:
            continue
        left = _first(_number, by_name.get(name.replace("reset", "remaining")), now)
        (others if left else spent).append(Stated(wait, name))
    # All spent limits must have come back. If none is, the request was larger than what was left
    # of one of them: the soonest reset is the most that we know.
    if spent:
        return max(spent)
    return min(others) if others else None


def _in_the_body(error: Any) -> Iterator[tuple[str, str]]:
    """What an error object has of headers: `retry_after`, OpenRouter's `metadata.headers`."""
    if not isinstance(error, dict):
        return
    metadata = error.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    for members in (error, metadata, headers):
        for name, value in members.items() if isinstance(members, dict) else ():
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield str(name).lower().replace("_", "-"), str(value)


def _daily_quota(error: Any, now: float) -> Stated | None:
    """
    Google's QuotaFailure of a quota a day, whose RetryInfo states seconds all the same.

    It comes back at midnight in California, 07:00 or 08:00 UTC: the later one is certain.
    Source: ai.google.dev/gemini-api/docs/rate-limits, 2026-11-27.
    """
    for detail in _details(error, ".QuotaFailure"):
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and "PerDay" in str(violation.get("quotaId")):
                return Stated(_DAY_S - (now - _CALIFORNIA_S) % _DAY_S, "quotaId")
    return None


def _in_words(error: Any, now: float) -> Stated | None:
    """
    OpenAI's "Please try again in 6m0s.", which a stream has no header for; Gemini's "retry in";
    Anthropic's "You will regain access on 2026-12-01 at 00:00 UTC.".
    """
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str):
        return None
    if (found := _AGAIN.search(message)) is not None:
        wait = _duration(found[1])
    elif (found := _ACCESS.search(message)) is not None:
        wait = _wait(f"{found[1]}T{found[2]}+00:00", now)
    else:
        return None
    return None if wait is None else Stated(wait, "message")


def _retry_info(error: Any) -> float | None:
    """Google's RetryInfo: `{"@type": "…google.rpc.RetryInfo", "retryDelay": "34.07s"}`."""
    for detail in _details(error, ".RetryInfo"):
        if isinstance(delay := detail.get("retryDelay"), str):
            return _duration(delay)
    return None


def _details(error: Any, kind: str) -> list[dict[str, Any]]:
    """Those of Google's details whose type ends so."""
    details = error.get("details") if isinstance(error, dict) else None
    listed = details if isinstance(details, list) else []
    return [d for d in listed if isinstance(d, dict) and str(d.get("@type")).endswith(kind)]


def _first(read: Read, values: list[str] | None, now: float) -> float | None:
    """The first of a repeated header's values that makes sense."""
    return next(
        (found for value in values or () if (found := read(value.strip(), now)) is not None), None
    )


def _wait(text: str, now: float) -> float | None:
    """Seconds from `now`, however `text` spells them or the moment when they end."""
    number = _number(text, now)
    if number is None:
        duration = _duration(text)
        if duration is not None:
            return duration
        at = _http_date(text, now) or _instant(text)
    elif _EPOCH_S[0] <= number < _EPOCH_S[1]:
        at = number
    elif _EPOCH_MS[0] <= number < _EPOCH_MS[1]:
        at = number / 1000
    else:
        return min(number, LONGEST_S)
    return min(at - now, LONGEST_S) if at is not None and at > now else None


def _number(text: str, _now: float) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _milliseconds(text: str, now: float) -> float | None:
    number = _number(text, now)
    return None if number is None else min(number / 1000, LONGEST_S)


def _duration(text: str) -> float | None:
    """Seconds of "6m0s", "1s", "120ms", "1h2m"; None for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = sum(
        float(part) * unit for part, unit in zip(match.groups(), _UNIT_S, strict=True) if part
    )
    return min(seconds, LONGEST_S)


def _http_date(text: str, _now: float) -> float | None:
    try:
        parsed = parsedate_to_datetime(text)
        # HTTP dates are GMT, whatever their zone field says or leaves out.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None  # not a date: not said


def _instant(text: str) -> float | None:
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None  # not a time: not said


# In the order of trust; the last two stand in the error objects of plans that callers sign in to.
_READERS: Final[tuple[tuple[str, Read], ...]] = (
    ("retry-after-ms", _milliseconds),
    ("retry-after", _wait),
    ("resets-at", _wait),
    ("resets-in-seconds", _wait),
)
