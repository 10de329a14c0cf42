"""
What a key may do: requests and tokens per minute, and requests at once.

Exact per host (routing.gateway.keylimits.counters), and with Redis exact over all hosts
(routing.gateway.keylimits.shared). While Redis is away each host counts for itself: it also
counted before, so a caller gains nothing on a host by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from providers.saying.counting import noun
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.errors import PARALLEL_RETRY_S, GatewayError, Refused, retry_after
from routing.gateway.keylimits.counters import REQUESTS, TOKENS, Full, KeyCounters, Quota, Taken
from routing.gateway.keylimits.redis import Redis, RedisAway
from routing.gateway.keylimits.shared import LEASE_MS, SCRIPTS, SharedCounters
from routing.gateway.link.channel import RUN_DIR

FILE: Final = "limits-1"  # the number is that of its layout
RENEW_EVERY_S: Final = LEASE_MS / 3000

log = logging.getLogger("switchyard.limits")

Header = tuple[bytes, bytes]


class Allowance(Struct):
    """What a key was told when it asked for one request. `refusal` is for the caller."""

    key: KeySpec
    taken: Taken
    wanted: int
    refusal: GatewayError | None = None
    local_entry: int = -1
    shared_entry: int = -1
    lease: str = ""
    is_settled: bool = False

    def headers(self) -> list[Header]:
        """`x-ratelimit-*`, as they stood when the request came."""
        key, taken, found = self.key, self.taken, list[Header]()
        reset = duration(taken.reset_s).encode()
        if key.rpm is not None:
            found += _headers(b"requests", key.rpm, taken.requests)
            found.append((b"x-ratelimit-reset-requests", reset))
        if key.tpm is not None:
            found += _headers(b"tokens", key.tpm, taken.tokens)
            found.append((b"x-ratelimit-reset-tokens", reset))
        if key.max_parallel is not None:
            found += _headers(b"parallel", key.max_parallel, taken.parallel)
        return found


class KeyLimits:
    """
    Admits the requests of keys that have limits. `refused` hears which limit refused one.

    Where the host has no common counts, which is only so if its disk fails, each of `workers`
    keeps to its part of a limit, of at least one.
    """

    def __init__(
        self,
        counters: KeyCounters | None = None,
        shared: SharedCounters | None = None,
        *,
        workers: int = 1,
    ) -> None:
        self.shared = shared
        self.refused: Callable[[str], None] | None = None
        self._counters = counters or KeyCounters()
        self._workers = workers
        self._name = secrets.token_hex(6)
        self._asked = 0
        self._held: dict[str, bytes] = {}
        self._renewing: asyncio.Task[None] | None = None
        self.mistake = ""
        self._is_full = self._is_closed = False

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], data_dir: Path, *, workers: int
    ) -> KeyLimits:
        """With Redis if REDIS_URL names one; a wrong one is said, and costs nobody an answer."""
        url = environ.get("REDIS_URL")
        shared, mistake = None, ""
        if url:
            try:
                shared = SharedCounters(Redis(url, SCRIPTS))
            except ValueError as error:
                mistake = str(error)
                log.error("%s; each host counts for itself", mistake)  # noqa: TRY400 - one line
        limits = cls(counters_of(data_dir), shared, workers=workers)
        limits.mistake = mistake
        return limits

    def start(self, status: dict[str, Any]) -> None:
        """
        Connect to Redis, if there is one; needs a running loop.

        `status` is told as `redis_error` why it is away, "" while it is not.
        """
        if self.mistake:
            status["redis_error"] = self.mistake
        if self.shared is not None:
            status["redis_error"] = "not connected yet"
            self.shared.redis.changed = lambda reason: status.update(redis_error=reason)
            self.shared.redis.start()
            self._renewing = asyncio.create_task(self._renew_forever(), name="leases")

    async def aclose(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if self.shared is not None:
            await self.shared.redis.aclose()
        self._is_closed = True
        self._counters.close()

    async def admit(self, key: KeySpec, wanted: int) -> Allowance:
        """
        Count a request of `key` that wants `wanted` tokens, if its limits have room for it.

        Waits for Redis only, and at most 50 ms. Every allowance has to be settled.
        """
        allowance = Allowance(key=key, taken=Taken(), wanted=wanted if key.tpm is not None else 0)
        shared = self.shared
        if shared is not None:
            if key.max_parallel is not None:
                self._asked += 1
                allowance.lease = f"{self._name}:{self._asked}"
                self._held[allowance.lease] = key.digest
            if shared.redis.is_up:
                await self._ask(shared, allowance)
        if allowance.shared_entry < 0 and not allowance.taken.stopped:
            self._count(allowance, force=False)
        if allowance.taken.stopped:
            self._refuse(allowance)
        return allowance

    async def add(self, allowance: Allowance, wanted: int) -> None:
        """
        Count the tokens that a request wants which was admitted before its body was here.

        `allowance.refusal` says so if there is no room for them.
        """
        key = allowance.key
        if key.tpm is None:
            return
        shared, taken = self.shared, Taken()
        quota = Quota(tpm=key.tpm)
        is_told = False
        if shared is not None and allowance.shared_entry >= 0 and shared.redis.is_up:
            with contextlib.suppress(RedisAway):
                taken = await shared.take(key.digest, quota, wanted, "", count=0)
                is_told = True
        if not taken.stopped:
            own = quota if self._counters.is_shared else _part(quota, self._workers)
            try:
                counted = self._counters.take(key.digest, own, wanted, force=is_told, count=0)
            except Full:
                return
            if counted.stopped:
                taken = counted
            else:
                allowance.local_entry = counted.entry
                taken = taken if is_told else counted
        if taken.stopped:
            asked = Allowance(key=key, taken=taken, wanted=wanted)
            self._refuse(asked)
            allowance.refusal = asked.refusal
            return
        allowance.wanted = wanted
        allowance.taken.tokens = taken.tokens
        if is_told:
            allowance.shared_entry = taken.entry

    def settle(self, allowance: Allowance, spent: int | None) -> None:
        """
        The request has ended and took `spent` tokens; None if nobody knows.

        A second time changes nothing.
        """
        if allowance.is_settled:
            return
        allowance.is_settled = True
        key = allowance.key
        more = 0 if spent is None or key.tpm is None else spent - allowance.wanted
        is_parallel = key.max_parallel is not None
        if (not more and not is_parallel) or self._is_closed:
            return
        if allowance.local_entry >= 0:
            self._counters.settle(
                key.digest, allowance.local_entry, more=more, parallel=is_parallel
            )
        if allowance.lease:
            self._held.pop(allowance.lease, None)
        if self.shared is not None and (allowance.shared_entry >= 0 or allowance.lease):
            self.shared.settle(key.digest, allowance.shared_entry, more=more, lease=allowance.lease)

    async def _ask(self, shared: SharedCounters, allowance: Allowance) -> None:
        """Let Redis decide; nothing is decided if it is away."""
        key = allowance.key
        try:
            taken = await shared.take(key.digest, _quota(key), allowance.wanted, allowance.lease)
        except RedisAway:
            return
        except asyncio.CancelledError:
            self.settle(allowance, 0)  # it may have been admitted; the lease comes back at once
            raise
        allowance.taken, allowance.shared_entry = taken, taken.entry
        if not taken.stopped:
            self._count(allowance, force=True)

    def _count(self, allowance: Allowance, *, force: bool) -> None:
        key = allowance.key
        quota = _quota(key)
        if not self._counters.is_shared:
            quota = _part(quota, self._workers)
        try:
            taken = self._counters.take(key.digest, quota, allowance.wanted, force=force)
        except Full:
            if not self._is_full:
                log.error("no room to count for more keys: they are let in")  # noqa: TRY400
            self._is_full = True
            return
        allowance.local_entry = taken.entry
        if not force:
            allowance.taken = taken

    def _refuse(self, allowance: Allowance) -> None:
        self._held.pop(allowance.lease, None)
        allowance.lease = ""
        if self.refused is not None:
            self.refused(allowance.taken.stopped)
        allowance.refusal = _refusal(allowance)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            leases: dict[bytes, list[str]] = {}
            for lease, subject in self._held.items():
                leases.setdefault(subject, []).append(lease)
            if self.shared is not None:
                self.shared.renew(leases)


def counters_of(data_dir: Path) -> KeyCounters:
    """The counts of the host whose folder this is; of this process alone if that can not be."""
    try:
        (data_dir / RUN_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
        return KeyCounters(data_dir / RUN_DIR / FILE)
    except OSError as error:
        log.error("%s can not be used, each worker counts its share of a limit: %s", FILE, error)  # noqa: TRY400 - one line
        return KeyCounters()


def duration(seconds: float) -> str:
    """`seconds` as OpenAI writes them: 120ms, 1.5s, 1m0s."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"


def _quota(key: KeySpec) -> Quota:
    return Quota(key.rpm, key.tpm, key.max_parallel)


def _part(quota: Quota, workers: int) -> Quota:
    def part(limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // workers)

    return Quota(part(quota.rpm), part(quota.tpm), part(quota.max_parallel))


def _headers(what: bytes, limit: int, used: int) -> tuple[Header, Header]:
    return (
        (b"x-ratelimit-limit-%b" % what, b"%d" % limit),
        (b"x-ratelimit-remaining-%b" % what, b"%d" % max(limit - used, 0)),
    )


def _refusal(allowance: Allowance) -> GatewayError:
    key, taken = allowance.key, allowance.taken
    returns_in_s = taken.wait_s
    if taken.stopped == REQUESTS:
        words = f"{key.rpm} {noun(key.rpm or 0, 'request')} per minute (rpm)"
    elif taken.stopped == TOKENS:
        words = f"{key.tpm} {noun(key.tpm or 0, 'token')} per minute (tpm),"
        words += f" of which {taken.tokens} are used"
        words += f"; this request counts {allowance.wanted}"
    else:
        words = (
            f"{key.max_parallel} {noun(key.max_parallel or 0, 'request')} at once (max_parallel)"
        )
        returns_in_s = PARALLEL_RETRY_S
    if returns_in_s is None:
        hint = "That is more than it may ever have: send less, or ask for fewer output tokens."
    else:
        hint = f"Please try again in {retry_after(returns_in_s)}s."
    return Refused(
        429,
        f"Rate limit reached for key {key.name!r}: {words}. {hint}",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        returns_in_s=returns_in_s,
        should_retry=None if returns_in_s is not None else False,
    )
