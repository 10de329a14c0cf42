"""
Benches: who sits out, why, and until when.

Decisions only: every method takes `now` (monotonic seconds), and dice are passed in. A bench is
keyed by what it covers:

    ("openai/*", None)         the provider's endpoint, all its models
    ("openai/gpt-4o", None)    a candidate
    ("openai/*", "main")       a credential
    ("openai/gpt-4o", "main")  a credential at one model

After its time a bench is half-open: one real request at a time, two successes clear it, a failure
benches again for longer. A manual bench has no half-open: it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from random import Random

from msgspec import Struct

from failover.engine.policy import BenchPolicy
from failover.engine.verdicts import Bench, Scope
from failover.engine.windows import Window
from providers.errors import MESSAGE_LIMIT, Failure, Fault

HOUR_S = 3600.0
OVERLOAD_COOLDOWN_S = 5.0
OVERLOAD_STATED_MAX_S = 30.0
STATED_MIN_S, STATED_MAX_S = 1.0, HOUR_S
JITTER = 0.2
CLEARING_SUCCESSES = 2
RETURN_S = 30.0  # so long after a bench its end is remembered, for a slow start
PROBE_LIMIT_S = 700.0  # a probe whose end was never reported frees its place after this

Key = tuple[str, str | None]


class BenchEntry(Struct, frozen=True, kw_only=True):
    """
    A bench as other processes and operators see it.

    `since` and `until` are Unix times in seconds. `epoch` rises with each release: of two entries
    for one key the higher epoch wins, and within an epoch the later `until`. `stated` means that
    the provider named the time itself.
    """

    subject: str
    credential: str | None
    since: float
    until: float
    reason: str
    status: int | None = None
    sample_error: str = ""
    request_id: str = ""
    count: int = 1
    manual: bool = False
    stated: bool = False
    epoch: int = 0
    released: bool = False

    @property
    def key(self) -> Key:
        return (self.subject, self.credential)


def newer(current: BenchEntry | None, other: BenchEntry) -> BenchEntry:
    """Of two entries for one key, the one that holds; the order of arrival does not matter."""
    if current is None:
        return other
    return max(
        current,
        other,
        key=lambda e: (e.epoch, e.released, e.manual, e.until, e.since, e.count, e.request_id),
    )


@dataclass(slots=True)
class _Sitting:
    """The state of one key. `until` is monotonic; `entry` carries what others see."""

    entry: BenchEntry
    until: float
    half_open: bool
    probe_since: float | None = None
    successes: int = 0
    last_try: float = float("-inf")


@dataclass(slots=True)
class _History:
    """What outlives a bench: its earlier starts within the hour, and connect failures."""

    starts: list[float] = field(default_factory=list)
    last_connect_failure: float = float("-inf")


class Benches:
    """
    All benches of one process, and the windows that trip them.

    `wall` gives Unix time; it only translates `until` for others to see, so a clock that jumps
    neither freezes nor ends a bench here. `changes` is called with every local change.
    """

    def __init__(self, *, rng: Random, wall: Callable[[], float]) -> None:
        self.changes: Callable[[BenchEntry], None] | None = None
        self._rng = rng
        self.wall = wall
        self._sitting: dict[Key, _Sitting] = {}
        self._released: dict[Key, BenchEntry] = {}
        self._windows: dict[Key, Window] = {}
        self._together: dict[tuple[Key, ...], tuple[Window, ...]] = {}
        self._history: dict[Key, _History] = {}
        self._returned: dict[Key, float] = {}
        self._subjects: frozenset[str] = frozenset()
        self._sweep_at = inf

    # What planning asks

    @property
    def is_empty(self) -> bool:
        """True while nobody sits out or is half-open: planning then skips every check."""
        return not self._sitting

    def subjects(self, now: float) -> frozenset[str]:
        """Whom planning has to ask about: who sits out, is half-open, or has just returned."""
        if now >= self._sweep_at:
            self._sweep(now)
        return self._subjects

    def returned_at(self, key: Key, now: float) -> float | None:
        """When the last bench of `key` ended, if that is at most RETURN_S ago."""
        at = self._returned.get(key)
        return at if at is not None and now - at < RETURN_S else None

    def holding(self, key: Key, now: float) -> BenchEntry | None:
        """The entry if `key` may not be called now: its time runs, or another request probes."""
        sitting = self._sitting.get(key)
        if sitting is None:
            return None
        if now < sitting.until:
            return sitting.entry
        if not sitting.half_open:
            self._end(key, sitting.until)
            return None
        if self._is_probed(sitting, now):
            return sitting.entry
        return None

    def is_half_open(self, key: Key, now: float) -> bool:
        sitting = self._sitting.get(key)
        return sitting is not None and sitting.half_open and now >= sitting.until

    def returns_in(self, key: Key, now: float) -> float:
        """Seconds until `key` may be called again; 0 if it may be now."""
        sitting = self._sitting.get(key)
        return max(0.0, sitting.until - now) if sitting else 0.0

    def may_try_early(self, key: Key, now: float, every_s: float) -> bool:
        """True if a stated bench was not tried in the last `every_s` seconds."""
        sitting = self._sitting.get(key)
        return sitting is None or now - sitting.last_try >= every_s

    # What the engine reports

    def begin(self, keys: Iterable[Key], now: float) -> None:
        """A call starts: where a key is half-open, this call is its one probe."""
        if not self._sitting:
            return
        for key in keys:
            sitting = self._sitting.get(key)
            if sitting is not None:
                sitting.last_try = now
                if sitting.half_open and now >= sitting.until:
                    sitting.probe_since = now

    def abandon(self, keys: Iterable[Key]) -> None:
        """A call ended without saying anything about health (the caller went away)."""
        for key in keys:
            sitting = self._sitting.get(key)
            if sitting is not None:
                sitting.probe_since = None

    def succeeded(self, keys: tuple[Key, ...], span_s: float, now: float) -> None:
        windows = self._together.get(keys)
        if windows is None:
            windows = tuple([self._window(key, span_s) for key in keys])
            self._together[keys] = windows
        for window in windows:  # `observe`, without the call
            if now >= window.ends_at:
                window.advance(now)
            window.good += 1
        if self._sitting:
            for key in keys:
                self._count_success(key, now)

    def failed(
        self,
        bench: Bench,
        key: Key,
        failure: Failure,
        policy: BenchPolicy,
        *,
        now: float,
        request_id: str,
    ) -> None:
        """One failure whose bench rule is `bench`; `key` is the key of its scope."""
        sitting = self._sitting.get(key)
        returning = sitting is not None and sitting.half_open and now >= sitting.until
        if sitting is not None:
            sitting.probe_since = None
        if bench.windowed:
            self._window(key, policy.window_s).observe(now, ok=False)
            if not returning and not self._trips(bench, key, policy, now):
                return
        length_s, stated = self._length(key, failure, policy, now)
        self._sit(key, failure, length_s, stated=stated, now=now, request_id=request_id)

    # What operators and other processes say

    def bench(self, entry: BenchEntry, now: float) -> None:
        """A manual bench, or an extension of one."""
        previous = self._sitting.get(entry.key)
        epoch = previous.entry.epoch if previous else self._epoch(entry.key)
        self._adopt(_with(entry, epoch=epoch), now)
        self._tell(self._sitting[entry.key].entry)

    def release(self, key: Key, now: float) -> bool:
        """End a bench by hand. False if there was none."""
        sitting = self._sitting.get(key)
        if sitting is None:
            return False
        entry = _with(
            sitting.entry, epoch=sitting.entry.epoch + 1, released=True, until=self.wall()
        )
        self._adopt(entry, now)
        self._history.pop(key, None)
        self._tell(entry)
        return True

    def release_mended(self, provider: str, labels: frozenset[str] | None, now: float) -> None:
        """
        End the benches that traffic made of `provider`: what caused them has been edited.

        With `labels` only those of these credentials.
        """
        mended = [
            key
            for key, sitting in self._sitting.items()
            if key[0].startswith(f"{provider}/")
            and (labels is None or key[1] in labels)
            and not sitting.entry.manual
        ]
        for key in mended:
            self.release(key, now)

    def merge(self, entries: Iterable[BenchEntry], now: float) -> None:
        """Take over what other processes know. Order and repetition change nothing."""
        for entry in entries:
            sitting = self._sitting.get(entry.key)
            current = sitting.entry if sitting else self._released.get(entry.key)
            if newer(current, entry) is not current:
                if current is None and not (entry.manual or entry.released):
                    self._history.setdefault(entry.key, _History()).starts.append(now)
                self._adopt(entry, now)

    def entries(self, now: float) -> list[BenchEntry]:
        """Everyone whose time runs or who is half-open, sorted by key."""
        live = [s.entry for s in self._sitting.values() if s.half_open or now < s.until]
        return sorted(live, key=lambda e: (e.subject, e.credential or ""))

    # Inside

    def _window(self, key: Key, span_s: float) -> Window:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(span_s)
        return window

    def _trips(self, bench: Bench, key: Key, policy: BenchPolicy, now: float) -> bool:
        if bench.scope is Scope.ENDPOINT:
            history = self._history.setdefault(key, _History())
            again = now - history.last_connect_failure <= 1.0
            history.last_connect_failure = now
            if again:
                return True
        good, bad = self._window(key, policy.window_s).counts(now)
        return bad >= policy.failures and bad >= policy.failure_ratio * (good + bad)

    def _length(
        self, key: Key, failure: Failure, policy: BenchPolicy, now: float
    ) -> tuple[float, bool]:
        """(seconds, whether the provider stated them)."""
        if failure.retry_after_s is not None:
            if failure.fault is Fault.RATE_LIMITED:
                return min(max(failure.retry_after_s, STATED_MIN_S), STATED_MAX_S), True
            if failure.fault is Fault.OVERLOADED:
                return min(max(failure.retry_after_s, STATED_MIN_S), OVERLOAD_STATED_MAX_S), True
        base_s, grows = {
            Fault.OVERLOADED: (OVERLOAD_COOLDOWN_S, True),
            Fault.QUOTA: (policy.auth_cooldown_s, True),
            Fault.AUTH: (policy.auth_cooldown_s, False),
            Fault.FORBIDDEN_MODEL: (policy.auth_cooldown_s, False),
            Fault.MODEL_NOT_FOUND: (policy.max_cooldown_s, False),
        }.get(failure.fault, (policy.cooldown_s, True))
        earlier = self._earlier(key, now) if grows else 0
        length_s = min(base_s * 2.0**earlier, max(policy.max_cooldown_s, base_s))
        return length_s * self._rng.uniform(1 - JITTER, 1 + JITTER), False

    def _earlier(self, key: Key, now: float) -> int:
        history = self._history.get(key)
        if history is None:
            return 0
        history.starts = [start for start in history.starts if now - start < HOUR_S]
        return len(history.starts)

    def _sit(
        self,
        key: Key,
        failure: Failure,
        length_s: float,
        *,
        stated: bool,
        now: float,
        request_id: str,
    ) -> None:
        history = self._history.setdefault(key, _History())
        sitting = self._sitting.get(key)
        if (
            sitting is not None
            and now < sitting.until
            and (sitting.entry.manual or sitting.until >= now + length_s)
        ):
            return
        if sitting is None or now >= sitting.until:
            history.starts.append(now)
        window = self._windows.get(key)
        if window is not None:
            window.forget()
        wall = self.wall()
        self._adopt(
            BenchEntry(
                subject=key[0],
                credential=key[1],
                since=wall,
                until=wall + length_s,
                reason=failure.fault.value,
                status=failure.status,
                sample_error=failure.message[:MESSAGE_LIMIT],
                request_id=request_id,
                count=(sitting.entry.count if sitting else 0) + 1,
                stated=stated,
                epoch=sitting.entry.epoch if sitting else self._epoch(key),
            ),
            now,
        )
        self._tell(self._sitting[key].entry)

    def _count_success(self, key: Key, now: float) -> None:
        sitting = self._sitting.get(key)
        if sitting is None or sitting.entry.manual:
            return
        sitting.probe_since = None
        sitting.successes += 1
        if sitting.successes >= CLEARING_SUCCESSES:
            entry = _with(
                sitting.entry, epoch=sitting.entry.epoch + 1, released=True, until=self.wall()
            )
            self._adopt(entry, now)
            self._tell(entry)

    def _is_probed(self, sitting: _Sitting, now: float) -> bool:
        return sitting.probe_since is not None and now - sitting.probe_since < PROBE_LIMIT_S

    def _epoch(self, key: Key) -> int:
        """Of a new bench: above the release before it, or others would take it for older."""
        released = self._released.get(key)
        return released.epoch + 1 if released else 0

    def _adopt(self, entry: BenchEntry, now: float) -> None:
        if entry.released:
            if entry.key in self._sitting:
                self._end(entry.key, now)
            self._released[entry.key] = entry
            return
        self._released.pop(entry.key, None)
        wall = self.wall()
        self._sitting[entry.key] = _Sitting(
            entry=entry,
            until=now + (entry.until - wall),
            half_open=not entry.manual,
            last_try=now - max(0.0, wall - entry.since),  # the call that made this bench
        )
        self._returned.pop(entry.key, None)
        self._note_subjects()

    def _end(self, key: Key, at: float) -> None:
        """Nobody sits out for `key` any more, since `at`."""
        del self._sitting[key]
        self._returned[key] = at
        self._note_subjects()

    def _sweep(self, now: float) -> None:
        """Forget manual benches whose time is over, and returns of long ago."""
        over = [(k, s.until) for k, s in self._sitting.items() if not s.half_open]
        for key, until in over:
            if now >= until:
                self._end(key, until)
        self._returned = {k: at for k, at in self._returned.items() if now - at < RETURN_S}
        self._note_subjects()

    def _note_subjects(self) -> None:
        self._subjects = frozenset(key[0] for key in (*self._sitting, *self._returned))
        ends = [s.until for s in self._sitting.values() if not s.half_open]
        ends += [at + RETURN_S for at in self._returned.values()]
        self._sweep_at = min(ends, default=inf)

    def _tell(self, entry: BenchEntry) -> None:
        if self.changes is not None:
            self.changes(entry)


def _with(entry: BenchEntry, **changes: object) -> BenchEntry:
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return BenchEntry(**{**fields, **changes})
