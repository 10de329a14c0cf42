"""
How often a password may be tried, whoever asks: five times, then after ever longer waits.

Two counts hold, of the account and of the address. Nobody can lock somebody else out: who comes
from an address that has failed less than FREE_ELSEWHERE times may try an account that others have
closed. The counts are rows, so that they hold for all workers and hosts.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from controlplane.signin.models import SignInTries
from providers.saying.counting import counted

FREE: Final = 5
FREE_ELSEWHERE: Final = 2  # from an address, for an account that is closed
FORGOTTEN: Final = timedelta(minutes=15)  # after the last try, or the end of its wait
LONGEST: Final = timedelta(minutes=15)
MOST: Final = 20_000  # rows; then the oldest go
AT_A_TIME: Final = 500


class TooManyTries(PermissionDenied):
    """Not to be tried now, be the password right or wrong. The text is for the person."""

    def __init__(self, wait: timedelta) -> None:
        self.wait_s = max(int(wait.total_seconds()) + 1, 1)
        super().__init__(
            "Too many wrong passwords for this account or from this address."
            f" Try again in {_in_words(self.wait_s)}."
        )


def wait_after(failures: int) -> timedelta:
    """How long nobody may try after so many failures: 0, then 1, 2, 4, 8, 15 minutes."""
    if failures < FREE:
        return timedelta(0)
    return min(timedelta(minutes=2 ** min(failures - FREE, 10)), LONGEST)


class Tries:
    """The two counts that one try is of."""

    def __init__(self, username: str, address: str) -> None:
        self._account = f"a:{_digest(username.strip().casefold())}"
        self._address = f"n:{_digest(_network(address))}" if address else ""
        self._names = sorted(filter(None, (self._account, self._address)))

    def take(self) -> None:
        """Count a try that begins. Raises TooManyTries."""
        now = timezone.now()
        self._make(now)
        with transaction.atomic():
            rows = SignInTries.objects.select_for_update().order_by("about")
            found = {row.about: row for row in rows.filter(about__in=self._names)}
            for row in found.values():
                if now > max(row.closed_until, row.last_at + wait_after(0)) + FORGOTTEN:
                    row.failures = 0
            address, account = found.get(self._address), found.get(self._account)
            if address is not None and address.closed_until > now:
                raise TooManyTries(address.closed_until - now)
            is_stranger = address is None or address.failures >= FREE_ELSEWHERE
            if account is not None and account.closed_until > now and is_stranger:
                raise TooManyTries(account.closed_until - now)
            for row in found.values():
                row.failures += 1
                row.last_at = now
                row.closed_until = now + wait_after(row.failures)
                row.save()

    def succeed(self) -> None:
        """
        It was the right one: the account's count ends, this try of the address was none.

        What else came from the address stays, or one good account would open it for all others.
        """
        with transaction.atomic():
            SignInTries.objects.filter(about=self._account).delete()
            self._uncount(self._address)

    def give_back(self) -> None:
        """Nothing was tried after all."""
        with transaction.atomic():
            for name in self._names:
                self._uncount(name)

    def _uncount(self, name: str) -> None:
        rows = SignInTries.objects.filter(about=name, failures__gt=0)
        rows.update(failures=F("failures") - 1, closed_until=timezone.now())

    def _make(self, now: datetime) -> None:
        there = set(
            SignInTries.objects.filter(about__in=self._names).values_list("about", flat=True)
        )
        for name in self._names:
            if name not in there:
                try:
                    with transaction.atomic():
                        SignInTries.objects.create(about=name, last_at=now, closed_until=now)
                except IntegrityError:
                    pass  # somebody else was quicker
        if len(there) < len(self._names):
            _prune(now)


def _prune(now: datetime) -> None:
    """Keep the table bounded, whatever names and addresses are tried."""
    if SignInTries.objects.count() <= MOST:
        return
    past = now - FORGOTTEN - LONGEST
    SignInTries.objects.filter(last_at__lt=past).delete()
    over = SignInTries.objects.count() - MOST
    if over > 0:
        oldest = SignInTries.objects.order_by("last_at").values_list("pk", flat=True)
        SignInTries.objects.filter(pk__in=list(oldest[: max(over, AT_A_TIME)])).delete()


def _network(address: str) -> str:
    """An IPv6 caller has a whole /64 to come from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _in_words(seconds: int) -> str:
    if seconds <= 60:
        return "a minute" if seconds > 30 else counted(seconds, "second")
    return counted(-(-seconds // 60), "minute")
