"""
When a provider says that it may be asked again.

Headers first, then the body; what cannot be a time to wait (negative, NaN, past, garbage) counts
as not said. The engine clamps what is said here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

Headers = Iterable[tuple[bytes, bytes]]

_NUMBER: Final = re.compile(r"\d{1,12}(?:\.\d{1,12})?")
_DURATION: Final = re.compile(
    r"(?=.)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?"
    r"(?:(\d{1,9}(?:\.\d{1,12})?)s)?(?:(\d{1,12}(?:\.\d{1,12})?)ms)?"
)
_UNIT_S: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)

# OpenAI's family states durations, Anthropic's RFC 3339 times; `remaining` says which one is spent.
_LIMITS: Final = (
    *(
        (f"x-ratelimit-reset-{what}", f"x-ratelimit-remaining-{what}")
        for what in ("requests", "tokens")
    ),
    *(
        (f"anthropic-ratelimit-{what}-reset", f"anthropic-ratelimit-{what}-remaining")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


def retry_after_s(headers: Headers, error: Any, *, now: float, is_rate_limit: bool) -> float | None:
    """
    Seconds from now until the provider takes requests again; None if it does not say.

    `now` is Unix time; dates are compared with the provider's own `Date` where it sends one.
    `error` is the decoded error object. The limits' reset times count for a 429 only: providers
    send them with every reply.
    """
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    if (date := _first(_http_date, by_name.get("date"))) is not None:
        now = date
    if (wait := _first(_number, by_name.get("retry-after-ms"))) is not None:
        return wait / 1000
    if (wait := _first(_number, by_name.get("retry-after"))) is not None:
        return wait
    if (at := _first(_http_date, by_name.get("retry-after"))) is not None and at > now:
        return at - now
    if (wait := _retry_info(error)) is not None:
        return wait
    return _limit_reset(by_name, now) if is_rate_limit else None


def _limit_reset(by_name: Mapping[str, list[str]], now: float) -> float | None:
    spent: list[float] = []
    others: list[float] = []
    for reset, remaining in _LIMITS:
        wait = _first(_duration, by_name.get(reset))
        if wait is None and (at := _first(_instant, by_name.get(reset))) is not None and at > now:
            wait = at - now
        if wait is None:
            continue
        left = _first(_number, by_name.get(remaining))
        (others if left else spent).append(wait)
    # All spent limits must have come back. If none is, the request was larger than what was left
    # of one of them: the soonest reset is the most that we know.
    if spent:
        return max(spent)
    return min(others) if others else None


def _retry_info(error: Any) -> float | None:
    """Google's RetryInfo: `{"@type": "…google.rpc.RetryInfo", "retryDelay": "34.07s"}`."""
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict) or not str(detail.get("@type")).endswith(".RetryInfo"):
            continue
        if isinstance(delay := detail.get("retryDelay"), str):
            return _duration(delay)
    return None


def _first(read: Callable[[str], float | None], values: list[str] | None) -> float | None:
    """The first of a repeated header's values that makes sense."""
    return next((found for value in values or () if (found := read(value)) is not None), None)


def _number(text: str) -> float | None:
    text = text.strip(" \t")
    return float(text) if _NUMBER.fullmatch(text) else None


def _duration(text: str) -> float | None:
    """Seconds of "6m0s", "1s", "120ms", "1h2m"; None for anything else."""
    match = _DURATION.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    return sum(
        float(part) * unit for part, unit in zip(match.groups(), _UNIT_S, strict=True) if part
    )


def _http_date(text: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(text.strip())
        # HTTP dates are GMT, whatever their zone field says or leaves out.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None  # not a date: not said


def _instant(text: str) -> float | None:
    try:
        parsed = datetime.fromisoformat(text.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None  # not a time: not said
