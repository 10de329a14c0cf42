"""
Benches: who sits out, why, and until when.

Every method takes `now` (monotonic seconds), and dice are passed in. A bench is keyed by what it
covers:

    ("openai/*", None)         the provider's endpoint, all its models
    ("openai/gpt-4o", None)    a candidate
    ("openai/*", "main")       a credential
    ("openai/gpt-4o", "main")  a credential at one model

After its time a bench is half-open: one real request at a time, two successes clear it, a failure
benches again for longer. What a call that began before the bench came to says nothing about it. A
manual bench just ends; what traffic has found meanwhile holds on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from random import Random

from failover.engine.bench_entries import (
    REMEMBERED_S,
    STARTS_LIMIT,
    BenchEntry,
    Key,
    Place,
    by_hand,
    newer,
    released,
)
from failover.engine.bench_rules import Callers, History, Window, length_s, sample_of, stated_s
from failover.engine.policy import BenchPolicy
from failover.engine.verdicts import Benching, Scope
from providers.errors import Failure, Fault

AGAIN_S = 1.0  # at least so long after a trial that failed
CLEARING_SUCCESSES = 2
RETURN_S = 30.0  # so long after a bench its end is remembered, for a slow start
PROBE_LIMIT_S = 700.0  # a probe whose end was never reported frees its place after this

__all__ = ["BenchEntry", "Benches", "Key", "newer"]


@dataclass(slots=True)
class _Sitting:
    """
    One bench. `since` and `until` are monotonic; `entry` carries what others see.

    `probe_since`: when the call began that is its one trial, as long as that runs.
    """

    entry: BenchEntry
    since: float
    until: float
    last_try: float
    probe_since: float | None = None
    successes: int = 0


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
        self._sitting: dict[Key, _Sitting] = {}  # by traffic
        self._manual: dict[Key, _Sitting] = {}
        self._released: dict[Place, BenchEntry] = {}
        self._windows: dict[Key, Window] = {}
        self._together: dict[tuple[Key, ...], tuple[Window, ...]] = {}
        self._history: dict[Key, History] = {}
        self._returned: dict[Key, float] = {}
        self._subjects: frozenset[str] = frozenset()
        self._sweep_at = inf
        self._callers = Callers()

    # What planning asks

    @property
    def is_empty(self) -> bool:
        """True while nobody sits out or is half-open: planning then skips every check."""
        return not (self._sitting or self._manual)

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
        if self._manual:
            manual = self._manual.get(key)
            if manual is not None:
                if now < manual.until:
                    return manual.entry
                self._end(self._manual, key, manual.until)
                self._note_subjects()
        sitting = self._sitting.get(key)
        if sitting is None:
            return None
        if now < sitting.until or self._is_probed(sitting, now):
            return sitting.entry
        return None

    def is_half_open(self, key: Key, now: float) -> bool:
        sitting = self._sitting.get(key)
        return sitting is not None and now >= sitting.until

    def returns_in(self, key: Key, now: float) -> float:
        """Seconds until `key` may be called again; 0 if it may be now."""
        benches = (self._sitting.get(key), self._manual.get(key))
        return max([0.0, *(bench.until - now for bench in benches if bench)])

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
                if now >= sitting.until:
                    sitting.probe_since = now

    def abandon(self, keys: Iterable[Key], *, began: float) -> None:
        """A call ended without saying anything about health (the caller went away)."""
        for key in keys:
            sitting = self._sitting.get(key)
            if sitting is not None and sitting.probe_since == began:
                sitting.probe_since = None

    def succeeded(
        self, keys: tuple[Key, ...], span_s: float, now: float, *, began: float, caller: str = ""
    ) -> None:
        """A call that began at `began` was answered. `keys` begin with the candidate's."""
        if caller:
            self._callers.answered(keys[0][0], caller, now)
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
                self._count_success(key, now, began)

    def failed(
        self,
        bench: Benching,
        key: Key,
        failure: Failure,
        policy: BenchPolicy,
        *,
        now: float,
        began: float,
        request_id: str,
        caller: str = "",
    ) -> None:
        """
        One failure, of a call of `caller` that began at `began`, whose bench rule is `bench`.

        `key` is the key of its scope.
        """
        sitting = self._sitting.get(key)
        stated = stated_s(failure)
        if sitting is not None and began < sitting.since and stated is None:
            return
        is_trial = sitting is not None and sitting.probe_since == began
        if sitting is not None and is_trial:
            sitting.probe_since = None
        history = self._history.setdefault(key, History())
        history.observe_failure(now)
        if bench.windowed:
            self._window(key, policy.window_s).observe(now, ok=False)
            self._callers.failed(key, caller, policy.window_s, now)
            returning = sitting is not None and now >= sitting.until
            trips = self._trips(bench, key, policy, now) and not self._callers.is_own(
                key, failure.fault, policy.window_s, now
            )
            if not returning and not trips:
                return
        rest_s = stated
        if rest_s is None:
            rest_s = length_s(failure.fault, policy, len(history.starts), self._rng)
            if is_trial and failure.fault is Fault.TIMEOUT:
                # It has sat out while the trial was waiting.
                rest_s = max(rest_s - (now - began), min(rest_s, AGAIN_S))
        self._sit(
            key, failure, rest_s, is_stated=stated is not None, now=now, request_id=request_id
        )

    # What operators and other processes say

    def bench(self, entry: BenchEntry, now: float) -> None:
        """A manual bench, or an extension of one."""
        self._adopt(by_hand(self._known((*entry.key, True)), entry, self.wall()), now)
        self._tell(self._manual[entry.key].entry)

    def release(self, key: Key, now: float) -> bool:
        """End the benches of `key` by hand. False if there were none."""
        found = [b for b in (self._sitting.get(key), self._manual.get(key)) if b is not None]
        for bench in found:
            entry = released(bench.entry, self.wall(), by="")
            self._adopt(entry, now)
            self._tell(entry)
        return bool(found)

    def release_mended(self, provider: str, labels: frozenset[str] | None, now: float) -> None:
        """
        End the benches that traffic made of `provider`: what caused them has been edited.

        With `labels` only those of these credentials.
        """
        mended = [
            sitting.entry
            for key, sitting in self._sitting.items()
            if key[0].startswith(f"{provider}/") and (labels is None or key[1] in labels)
        ]
        for entry in mended:
            ended = released(entry, self.wall(), by="", reason="what caused it was edited")
            self._adopt(ended, now)
            self._tell(ended)

    def merge(self, entries: Iterable[BenchEntry], now: float) -> None:
        """Take over what other processes know. Order and repetition change nothing."""
        wall = self.wall()
        for entry in entries:
            current = self._known(entry.place)
            if not entry.is_over(wall) and newer(current, entry) is not current:
                self._adopt(entry, now)
        self._note_subjects()

    def entries(self, now: float) -> list[BenchEntry]:
        """Everyone whose time runs or who is half-open, sorted by key, manual ones last."""
        live = [s.entry for s in self._sitting.values()]
        live += [m.entry for m in self._manual.values() if now < m.until]
        return sorted(live, key=lambda e: (e.subject, e.credential or "", e.manual))

    def told(self, now: float) -> list[BenchEntry]:
        """What somebody who knows nothing has to hear: `entries`, and what has been released."""
        return [*self.entries(now), *self._released.values()]

    def _window(self, key: Key, span_s: float) -> Window:
        window = self._windows.get(key)
        if window is None or window.span_s != span_s:  # new, or its length has been edited
            window = self._windows[key] = Window(span_s)
            self._together.clear()
        return window

    def _trips(self, bench: Benching, key: Key, policy: BenchPolicy, now: float) -> bool:
        if bench.scope is Scope.ENDPOINT and self._history[key].connect_fails_again(now):
            return True
        good, bad = self._window(key, policy.window_s).counts(now)
        return bad >= policy.failures and bad >= policy.failure_ratio * (good + bad)

    def _sit(
        self,
        key: Key,
        failure: Failure,
        rest_s: float,
        *,
        is_stated: bool,
        now: float,
        request_id: str,
    ) -> None:
        sitting = self._sitting.get(key)
        if sitting is not None and now < sitting.until and sitting.until >= now + rest_s:
            return
        history = self._history[key]
        if sitting is None or now >= sitting.until:
            history.starts.append(now)
        window = self._windows.get(key)
        if window is not None:
            window.forget()
        self._callers.forget(key)
        wall = self.wall()
        entry = BenchEntry(
            subject=key[0],
            credential=key[1],
            since=wall,
            until=wall + rest_s,
            reason=failure.fault.value,
            status=failure.status,
            sample_error=sample_of(failure, is_stated=is_stated),
            request_id=request_id,
            count=(sitting.entry.count if sitting else 0) + 1,
            stated=is_stated,
            epoch=sitting.entry.epoch if sitting else self._epoch(key),
            starts=tuple([wall - (now - at) for at in history.starts[-STARTS_LIMIT:]]),
        )
        self._adopt(entry, now)
        self._tell(entry)

    def _count_success(self, key: Key, now: float, began: float) -> None:
        sitting = self._sitting.get(key)
        if sitting is None or began < sitting.since:
            return
        if sitting.probe_since == began:
            sitting.probe_since = None
        sitting.successes += 1
        if sitting.successes >= CLEARING_SUCCESSES:
            entry = released(sitting.entry, self.wall())
            self._adopt(entry, now)
            self._tell(entry)

    def _is_probed(self, sitting: _Sitting, now: float) -> bool:
        return sitting.probe_since is not None and now - sitting.probe_since < PROBE_LIMIT_S

    def _epoch(self, key: Key) -> int:
        """Of a new bench: above the release before it, or others would take it for older."""
        ended = self._released.get((*key, False))
        return ended.epoch + 1 if ended else 0

    def _known(self, place: Place) -> BenchEntry | None:
        subject, credential, is_manual = place
        bench = (self._manual if is_manual else self._sitting).get((subject, credential))
        return bench.entry if bench is not None else self._released.get(place)

    def _adopt(self, entry: BenchEntry, now: float) -> None:
        """Take `entry`; whoever calls this notes the subjects, by `_tell` or once for many."""
        key, wall = entry.key, self.wall()
        benches = self._manual if entry.manual else self._sitting
        until = now + (entry.until - wall)
        if not entry.manual and (entry.starts or key in self._history):
            history = self._history.setdefault(key, History())
            history.starts = [now - (wall - start) for start in entry.starts]
            history.ill_until = max(history.ill_until, until)
        if entry.released:
            self._released[entry.place] = entry
            if key in benches:
                self._end(benches, key, now)
            return
        self._released.pop(entry.place, None)
        since = now - max(0.0, wall - entry.since)
        # It was tried last by the call that made this bench.
        benches[key] = _Sitting(entry=entry, since=since, until=until, last_try=since)
        self._returned.pop(key, None)

    def _end(self, benches: dict[Key, _Sitting], key: Key, at: float) -> None:
        del benches[key]
        if key not in self._sitting and key not in self._manual:
            self._returned[key] = at

    def _sweep(self, now: float) -> None:
        """Forget manual benches whose time is over, and all that was over long ago."""
        for key, manual in list(self._manual.items()):
            if now >= manual.until:
                self._end(self._manual, key, manual.until)
        for key, sitting in list(self._sitting.items()):
            if now >= sitting.until + REMEMBERED_S:
                self._end(self._sitting, key, sitting.until)
        wall = self.wall()
        self._released = {p: e for p, e in self._released.items() if not e.is_over(wall)}
        self._returned = {k: at for k, at in self._returned.items() if now - at < RETURN_S}
        self._note_subjects()

    def _note_subjects(self) -> None:
        benches = (self._sitting, self._manual, self._returned)
        self._subjects = frozenset(key[0] for keys in benches for key in keys)
        ends = [s.until + REMEMBERED_S for s in self._sitting.values()]
        ends += [manual.until for manual in self._manual.values()]
        ends += [at + RETURN_S for at in self._returned.values()]
        self._sweep_at = min(ends, default=inf)

    def _tell(self, entry: BenchEntry) -> None:
        self._note_subjects()
        if self.changes is not None:
            self.changes(entry)
