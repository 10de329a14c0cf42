"""
What the settings of alerts may be, for the models and for the configuration file alike.

Every function of problems returns sentences for operators; an empty list means it is fine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from providers.transport.guard import host_refusal

SIGNED: Final = "signed"
SLACK: Final = "slack"
WEBHOOK_KINDS: Final = (SIGNED, SLACK)
ADDRESS_LENGTH: Final = 2000
HOURS_LENGTH: Final = 60
EMAIL_LENGTH: Final = 254

_HOURS = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2}) (\S+)", flags=re.ASCII)
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)*", flags=re.ASCII)
_HOURS_LIKE: Final = "22:00-07:00 Europe/Lisbon"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """From `begin` to `end` of every day in `zone`; over midnight if the end is the earlier."""

    begin: time
    end: time
    zone: ZoneInfo

    @classmethod
    def read(cls, text: str) -> QuietHours | None:
        """`22:00-07:00 Europe/Lisbon`; None for an empty text. Raises ValueError with words."""
        if not text:
            return None
        found = _HOURS.fullmatch(text)
        if found is None:
            raise ValueError(f"no quiet hours; they look like {_HOURS_LIKE}")
        try:
            begin = time(int(found[1]), int(found[2]))
            end = time(int(found[3]), int(found[4]))
        except ValueError:
            raise ValueError("no time of a day, which goes from 00:00 to 23:59") from None
        if begin == end:
            raise ValueError("both ends are the same; leave it empty for no quiet hours")
        return cls(begin=begin, end=end, zone=_zone(found[5]))

    def end_of(self, now: datetime) -> datetime | None:
        """When the quiet that holds at `now` is over; None if none holds."""
        local = now.astimezone(self.zone)
        clock = local.time().replace(tzinfo=None)
        if self.begin < self.end:
            is_quiet, days = self.begin <= clock < self.end, 0
        else:
            is_quiet, days = clock >= self.begin or clock < self.end, int(clock >= self.begin)
        if not is_quiet:
            return None
        day = local.date() + timedelta(days=days)
        # Never behind `now`, where clocks are put back in between.
        return max(datetime.combine(day, self.end, self.zone), now)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # unknown, a folder, a path
        raise ValueError(f"unknown time zone ({name[:60]}); one is Europe/Lisbon") from None


def quiet_hours_problems(text: str) -> list[str]:
    try:
        QuietHours.read(text)
    except ValueError as error:
        return [str(error)]
    return []


def webhook_url_problems(url: str) -> list[str]:
    """What is wrong with the form of an address. It is not repeated: it may be a secret."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return ["spaces and control characters are not allowed in an address"]
    example = "https://ops.example.com/hook"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
        if host and not host.isascii():
            host.encode("idna")
    except ValueError:  # UnicodeError is one
        return [f"this is not an address; it should look like {example}"]
    if parts.scheme not in ("http", "https") or not host:
        return [f"the address must begin with https:// or http://, for example {example}"]
    if parts.username is not None or parts.password is not None:
        return ["a user name or password does not belong in the address"]
    if parts.fragment:
        return ["the address must not have a fragment (#…)"]
    return []


def webhook_host_problems(url: str) -> list[str]:
    """Whether the address, as it is written, is one that only operators of the file may call."""
    refusal = host_refusal(urlsplit(url).hostname or "")
    if not refusal:
        return []
    allowed = "it may stand in the configuration file, or set ALERTS_ALLOW_PRIVATE=true"
    return [f"{refusal}, which is refused here; {allowed}"]


def email_problems(address: str) -> list[str]:
    if len(address) <= EMAIL_LENGTH and _EMAIL.fullmatch(address):
        return []
    return [f"{address[:100]!r} is no e-mail address; one looks like ops@example.com"]


def emails_problems(addresses: object) -> list[str]:
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
        return ["must be a list of e-mail addresses"]
    problems = [problem for address in addresses for problem in email_problems(address)]
    return problems + (
        ["an address is listed twice"] if len(set(addresses)) < len(addresses) else []
    )
