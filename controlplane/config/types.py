"""The kinds of value that the configuration file's blocks are made of, and what refuses one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from controlplane.config.yaml import Expanded
from controlplane.validation import (
    ADDRESS_LENGTH,
    EMAIL_LENGTH,
    HOURS_LENGTH,
    WEBHOOK_KINDS,
    email_problems,
    quiet_hours_problems,
    webhook_url_problems,
)
from failover.engine.policy import EXHAUSTED_STATUSES, GATES
from failover.validation import BACKOFF, FAILOVER_NUMBERS, RULE_NAME_LENGTH
from providers.adapters.auth import AUTHS
from providers.adapters.registry import KNOWN_KINDS
from providers.adapters.simulator.faults import parse_fault
from providers.catalog.metadata import PRICE, catalog_problems
from providers.validation import (
    BENCH,
    COUNT,
    MOST_TIMES,
    MOST_WHOLE,
    NAME_LENGTH,
    PROTOCOL_NAMES,
    SECONDS,
    base_url_problems,
    headers_problems,
    model_name_problems,
    provider_name_problems,
    proxy_problems,
    status_page_problems,
)
from routing.validation import MAX_YEAR, MIN_YEAR, moment_problems, user_path_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from providers.validation import Number

STRATEGIES = (
    "priority_failover", "fill_first", "weighted_round_robin", "weighted_random", "round_robin",
    "lowest_latency", "lowest_cost", "least_busy",
)  # fmt: skip
PROVIDER_NAME_LENGTH = 100

_DURATION = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,400})?)s)?", flags=re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def refused(what: str, allowed: str) -> PydanticCustomError:
    """The value is `what`; the reader of the errors adds the value itself between the two."""
    return PydanticCustomError("refused", "{what}", {"what": what, "allowed": allowed})


def _status(value: Any) -> Any:
    if isinstance(value, int) and not 100 <= value <= 599:
        raise refused("no HTTP status", "100 to 599")
    return value


def _exhausted(value: int) -> int:
    if value not in EXHAUSTED_STATUSES:
        raise refused("not one of them", " or ".join(map(str, EXHAUSTED_STATUSES)))
    return value


def _typed(value: Any) -> Any:
    return value.typed() if isinstance(value, Expanded) else value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Expanded) else value


def _seconds_of(value: Any) -> Any:
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    *whole, seconds = found.groups() if found else [0] * 4
    days, hours, minutes = (int(part or 0) for part in whole)
    total = days * 86400 + hours * 3600 + minutes * 60 + float(seconds or 0)
    if not SECONDS.accepts(total):
        raise refused("no duration", "more than 0, with a unit, such as 90s, 30m, 1h or 1d")
    return total


def _moment(value: Any) -> Any:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise refused("no time", "a date and time such as 2027-01-31T12:00:00Z")
    if moment_problems(found):
        raise refused("too far away", f"a year from {MIN_YEAR} to {MAX_YEAR}")
    return found.replace(tzinfo=found.tzinfo or UTC)


def within(number: Number) -> Any:
    """A number of the table that the models go by too, as a field of a block."""
    return Field(gt=number.above, ge=number.least, le=number.most)


def one_of(known: Iterable[str]) -> AfterValidator:
    words = tuple(sorted(known))

    def check(value: str) -> str:
        if value not in words:
            raise refused("unknown", ", ".join(words) + suggestion(value, words))
        return value

    return AfterValidator(check)


def _by(problems: Callable[[str], list[str]], *, length: int) -> AfterValidator:
    """The rule that the models go by too; it speaks in whole sentences."""

    def check(value: str) -> str:
        if value and (found := problems(value)):
            raise PydanticCustomError("told", "{text}", {"text": found[0]})
        if len(value) > length:
            raise refused("too long", f"{length} characters")
        return value

    return AfterValidator(check)


def _name(value: str, longest: int = NAME_LENGTH) -> str:
    if not value or value.isspace():
        raise refused("blank", "a name")
    if len(value) > longest or model_name_problems(value):
        raise refused("no name", f'up to {longest} characters without "," and spaces')
    return value


def _provider_name(value: str) -> str:
    if provider_name_problems(value) or len(value) > PROVIDER_NAME_LENGTH:
        allowed = f"up to {PROVIDER_NAME_LENGTH} letters, digits, dots, underscores and hyphens"
        raise refused("no provider name", allowed)
    return value


def _target(value: str) -> str:
    return _name(value.strip(), RULE_NAME_LENGTH)


def _secret(value: str) -> str:
    if not value.isascii() or _CONTROL.search(value) or " " in value:
        raise refused("no key", "ASCII text without spaces and line breaks")
    return value


def _headers(value: Any) -> Any:
    is_text = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if is_text and (found := headers_problems(value)):
        raise PydanticCustomError("told", "{text}", {"text": "; ".join(found)})
    return value


def _fault(value: str) -> str:
    try:
        if value:
            parse_fault(value)
    except ValueError as error:
        raise refused("no fault", str(error)) from error
    return value


def _user_path(value: str) -> str:
    if user_path_problems(value):
        raise refused("no user path", "a path such as /team/a")
    return value


Text = Annotated[str, BeforeValidator(_plain)]
Flag = Annotated[bool, BeforeValidator(_typed)]
Whole = Annotated[int, BeforeValidator(_typed), Field(ge=1, le=MOST_WHOLE)]
Count = Annotated[int, BeforeValidator(_typed), within(COUNT)]
Retries = Annotated[int, BeforeValidator(_typed), Field(ge=0, le=MOST_TIMES)]
Attempts = Annotated[int, BeforeValidator(_typed), Field(ge=1, le=MOST_TIMES)]
Status = Annotated[int, BeforeValidator(_typed), AfterValidator(_status)]
Seconds = Annotated[float, BeforeValidator(_typed), within(SECONDS)]
SecondsOrNone = Annotated[float, BeforeValidator(_typed), within(FAILOVER_NUMBERS["hold_s"])]
Milliseconds = Annotated[float, BeforeValidator(_typed), within(FAILOVER_NUMBERS["hedge_after_ms"])]
Pause = Annotated[float, BeforeValidator(_typed), within(BACKOFF["base_ms"])]
Factor = Annotated[float, BeforeValidator(_typed), within(BACKOFF["factor"])]
Ratio = Annotated[float, BeforeValidator(_typed), within(BENCH["failure_ratio"])]
Price = Annotated[float, BeforeValidator(_typed), within(PRICE)]
Duration = Annotated[float, BeforeValidator(_seconds_of)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Name = Annotated[Text, AfterValidator(_name)]
ProviderName = Annotated[Text, AfterValidator(_provider_name)]
Target = Annotated[Text, AfterValidator(_target)]  # or a pattern
Secret = Annotated[Text, AfterValidator(_secret)]
BaseUrl = Annotated[Text, _by(base_url_problems, length=500)]
StatusPage = Annotated[Text, _by(status_page_problems, length=500)]
Proxy = Annotated[Text, _by(proxy_problems, length=500)]
Strategy = Annotated[Text, one_of(STRATEGIES)]
Params = Annotated[Text, one_of(["lenient", "strict"])]
Gate = Annotated[Text, one_of(GATES)]
ExhaustedStatus = Annotated[int, BeforeValidator(_typed), AfterValidator(_exhausted)]
Headers = Annotated[dict[str, Text], BeforeValidator(_headers)]
CatalogName = Annotated[Text, _by(catalog_problems, length=250)]
Fault = Annotated[Text, AfterValidator(_fault), Field(max_length=100)]
UserPath = Annotated[Text, AfterValidator(_user_path), Field(max_length=200)]
WebhookUrl = Annotated[Text, _by(webhook_url_problems, length=ADDRESS_LENGTH)]
WebhookKind = Annotated[Text, one_of(WEBHOOK_KINDS)]
Email = Annotated[Text, Field(min_length=1), _by(email_problems, length=EMAIL_LENGTH)]
QuietHoursText = Annotated[Text, _by(quiet_hours_problems, length=HOURS_LENGTH)]
Kind = Annotated[Text, one_of(KNOWN_KINDS)]
ProtocolName = Annotated[Text, one_of(PROTOCOL_NAMES)]
AuthScheme = Annotated[Text, one_of(AUTHS)]
AffinityKey = Annotated[Text, one_of(["user_path"])]
InventoryMode = Annotated[Text, one_of(["fallback", "allowlist"])]
Scope = Annotated[Text, one_of(["inference", "admin"])]
