"""
What providers say of themselves on their status pages: noted, and no more.

Nothing here touches a provider's status: a page is written by people, and lags behind or is silent.
It stands beside what checks and traffic found, for whoever looks into it.

Sources: Atlassian Statuspage's public API, `GET /api/v2/status.json`, which the pages of OpenAI and
Anthropic answer in the same shape, checked 2026-11.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from controlplane.health.models import HealthSnapshot
from providers.adapters.address import address_of
from providers.errors import ProviderError
from providers.secrets.redaction import known
from providers.transport.outside import exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from controlplane.health.watched import Watched

EVERY: Final = timedelta(minutes=5)
AT_ONCE: Final = 16  # pages; also the most of one run, so that slow ones hold up no check for long
WITHIN_S: Final = 4.0
CONNECT_S: Final = 3.0
MOST_BYTES: Final = 64 << 10
SAID: Final = 200  # characters
JSON_PATH: Final = "/api/v2/status.json"


class _Status(msgspec.Struct):
    indicator: str
    description: str = ""


class _Page(msgspec.Struct):
    status: _Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """`indicator` is the page's own: none, minor, major, critical; with an `error` it is ""."""

    indicator: str = ""
    description: str = ""
    error: str = ""


def read_due(everybody: Iterable[Watched], now: datetime) -> int:
    """Read the pages whose time has come, and note what they say; how many were read."""
    pages = {one.name: one for one in everybody if one.status_page and not one.off}
    rows = HealthSnapshot.objects.exclude(page_read_at=None)
    rows.exclude(provider__in=pages).update(
        page_indicator="", page_says="", page_error="", page_read_at=None
    )
    recent = set(rows.filter(page_read_at__gt=now - EVERY).values_list("provider", flat=True))
    due: dict[tuple[str, bool], list[str]] = {}
    for name, one in pages.items():
        if name not in recent:
            key = (json_of(one.status_page), not one.row.is_managed_by_config)
            due.setdefault(key, []).append(name)
    some = dict(list(due.items())[:AT_ONCE])
    for key, word in asyncio.run(_read_all(some)).items() if some else ():
        _note(some[key], word, now)
    return len(some)


def json_of(address: str) -> str:
    """A page's address stands for its JSON, which may also be given itself."""
    path = address.partition("?")[0]
    return address if path.endswith(".json") else path.rstrip("/") + JSON_PATH


def _note(names: list[str], word: Word, now: datetime) -> None:
    rows = HealthSnapshot.objects.filter(provider__in=names)
    said = {
        "page_indicator": word.indicator,
        "page_says": word.description,
        "page_error": word.error,
    }
    rows.exclude(**said).update(updated_at=now)
    rows.update(page_read_at=now, **said)


async def _read_all(keys: Iterable[tuple[str, bool]]) -> Mapping[tuple[str, bool], Word]:
    asked = list(keys)
    words = await asyncio.gather(*(read(url, is_guarded=guarded) for url, guarded in asked))
    return dict(zip(asked, words, strict=True))


async def read(url: str, *, is_guarded: bool) -> Word:
    """What the page at `url` says; never raises for what it answers."""
    try:
        async with asyncio.timeout(WITHIN_S):
            return await _read(url, is_guarded=is_guarded)
    except TimeoutError:
        return Word(error=f"no answer within {WITHIN_S:g} s")
    except (ProviderError, ValueError) as error:
        return Word(error=_short(str(error) or type(error).__name__))


async def _read(url: str, *, is_guarded: bool) -> Word:
    # A proxy would connect to what it likes: with a guard there is none.
    to = address_of(url, proxy="", trust_env_proxy=not is_guarded, environ=os.environ)
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    async with exchange(
        to.endpoint,
        b"GET " + to.path + to.query,
        {"host": to.host.decode(), "accept": "application/json"},
        is_guarded=is_guarded,
        connect_s=CONNECT_S,
        deadline=deadline,
    ) as response:
        if response.status != 200:
            return Word(error=f"answered with status {response.status}")
        body = b""
        while piece := await response.read(deadline):
            body += piece
            if len(body) > MOST_BYTES:
                return Word(error=f"answered with more than {MOST_BYTES >> 10} KiB")
    try:
        status = msgspec.json.decode(body, type=_Page).status
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Word(error='answered with something else than {"status": {"indicator": …}}')
    if not status.indicator:
        return Word(error="answered without an indicator")
    return Word(indicator=_short(status.indicator)[:20], description=_short(status.description))


def _short(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(known.redact(printable).split())[:SAID]


def words_of(row: HealthSnapshot, whose: str = "Its status page") -> str:
    """What the page said and when, as a sentence; "" where there is none or it said nothing."""
    if row.page_read_at is None or not row.page_indicator:
        return ""
    at = row.page_read_at.astimezone(UTC)
    said = ": ".join(filter(None, (row.page_indicator, row.page_says)))
    return f"{whose} said at {at:%Y-%m-%d %H:%M} UTC: {said.rstrip('.')}."


def words_by_provider() -> Mapping[str, str]:
    """The same of everybody whose page has said something."""
    rows = HealthSnapshot.objects.exclude(page_indicator="")
    found = ((row.provider, words_of(row, f"The status page of {row.provider}")) for row in rows)
    return {provider: words for provider, words in found if words}
