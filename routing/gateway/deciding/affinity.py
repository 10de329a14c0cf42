"""
Affinity: which session goes to whom, and who has moved.

The choice itself needs no memory (failover.engine.rendezvous). A pin is kept only where somebody
else has served than that choice, so that a session that moved stays moved, and finds its prompt
cache again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from msgspec import Struct

from failover.engine.plan import Affinity, Candidate
from failover.engine.rendezvous import hash_of, score
from providers.protocols import Request
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.strategies import Strategy

SESSION_HEADER: Final = b"x-switchyard-session"
# What coding agents say of themselves, after our own header: opencode, others, Codex and what it
# was before, Claude Code.
_AGENTS: Final = (
    b"x-session-affinity",
    b"x-session-id",
    b"session-id",
    b"session_id",
    b"x-claude-code-session-id",
)
USER_PATH: Final = "user_path"
STATE: Final = ""  # the "pool" of what providers keep for callers
WHOLE_POOL: Final = 0  # the "session" of a pool that stays where it failed over to
PIN_LIMIT: Final = 50_000
TOLD_AGAIN_SHARE: Final = 0.25  # of its idle time, after which others hear that a pin is in use

Place = tuple[str, int]


def session_of(
    headers: Mapping[bytes, bytes], request: Request, key: Key, resolution: Resolution
) -> int | None:
    """The hash of who is talking; None if nobody says. A request id never says it."""
    stated = headers.get(SESSION_HEADER)
    if not stated:
        stated = next((said for name in _AGENTS if (said := headers.get(name))), None)
    word = stated.decode("latin-1") if stated else request.session
    if not word and resolution.groups[0].pool.affinity_key == USER_PATH:
        word = key.spec.user_path
    return hash_of(word) if word else None


def by_session(
    members: Sequence[Candidate], session: int, *, is_weighted: bool = True
) -> list[Candidate]:
    """The order in which `session` goes to `members`, by weighted rendezvous hashing."""
    if is_weighted:
        scores = {c: score(session, c.hash, c.weight) for c in members}
    else:
        scores = {c: score(session, c.hash) for c in members}
    return sorted(members, key=scores.__getitem__, reverse=True)


def home_of(
    tiers: Iterable[Sequence[Candidate]], tokens: int, session: int | None, strategy: Strategy
) -> Candidate | None:
    """Whose a request would be without operators' switches: who serves instead is pinned."""
    for tier in tiers:
        able = [c for c in tier if tokens <= (c.facts.context_window or inf)]
        if able and session is not None:
            return by_session(able, session, is_weighted=strategy.is_weighted)[0]
        if able:
            return able[0]
    return None


class PinEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    A pin as other processes see it. `candidate` is "" where it has ended.

    `used_at` is Unix time in seconds; of two entries for one place the later one holds.
    """

    pool: str
    session: int
    candidate: str
    used_at: float
    ttl_s: float


class _Pin:
    """`used_at` is monotonic, `told_at` too."""

    __slots__ = ("candidate", "told_at", "ttl_s", "used_at")

    def __init__(self, candidate: str, ttl_s: float, used_at: float) -> None:
        self.candidate = candidate
        self.ttl_s = ttl_s
        self.used_at = self.told_at = used_at


class Pins:
    """
    Who has moved: the pins of one process, the longest unused first.

    At most PIN_LIMIT, each until it was idle for its pool's time. `now` is monotonic seconds;
    `wall` gives Unix time, for others to see. `changes` is called with every local change.
    """

    def __init__(self, *, wall: Callable[[], float], limit: int = PIN_LIMIT) -> None:
        self.changes: Callable[[PinEntry], None] | None = None
        self._wall = wall
        self._limit = limit
        self._pins: OrderedDict[Place, _Pin] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pins)

    def get(self, pool: str, session: int, now: float) -> str:
        """The candidate that is pinned, or ""."""
        pin = self._pins.get((pool, session))
        return pin.candidate if pin is not None and now - pin.used_at < pin.ttl_s else ""

    def note(self, affinity: Affinity, served: str, now: float) -> None:
        """
        `served` has answered a request that was planned with `affinity`.

        A pin goes only if the plan saw it and passed it over: a request that was planned before
        the session moved says nothing about it.
        """
        place = (affinity.pool, affinity.session)
        if served != affinity.natural:
            if served in affinity.members:
                self._use(place, served, affinity.ttl_s, now)
        elif affinity.pinned and self.get(*place, now) == affinity.pinned:
            self._put(place, _Pin("", affinity.ttl_s, now))
            self._tell(place, now)

    def keep(self, state: int, holder: str, ttl_s: float, now: float) -> None:
        """`holder` keeps for a caller what has this hash."""
        self._use((STATE, state), holder, ttl_s, now)

    def merge(self, entries: Iterable[PinEntry], now: float) -> None:
        """Take over what other processes know. Order and repetition change nothing."""
        wall = self._wall()
        for entry in entries:
            used_at = min(now, now + (entry.used_at - wall))
            place = (entry.pool, entry.session)
            known = self._pins.get(place)
            if now - used_at < entry.ttl_s and (known is None or used_at > known.used_at):
                self._put(place, _Pin(entry.candidate, entry.ttl_s, used_at))

    def entries(self, now: float) -> list[PinEntry]:
        """Every pin that holds, the longest unused first."""
        return [
            self._entry(place, pin, now)
            for place, pin in self._pins.items()
            if pin.candidate and now - pin.used_at < pin.ttl_s
        ]

    def prune(self, is_pool: Callable[[str], bool]) -> None:
        """Forget the pins of pools that are gone."""
        for place in [p for p in self._pins if p[0] != STATE and not is_pool(p[0])]:
            del self._pins[place]

    def _use(self, place: Place, candidate: str, ttl_s: float, now: float) -> None:
        pin = self._pins.get(place)
        if pin is None or pin.candidate != candidate:
            self._put(place, _Pin(candidate, ttl_s, now))
            self._tell(place, now)
            return
        pin.used_at, pin.ttl_s = now, ttl_s
        self._put(place, pin)
        if now - pin.told_at >= ttl_s * TOLD_AGAIN_SHARE:
            self._tell(place, now)

    def _put(self, place: Place, pin: _Pin) -> None:
        """Put it last, as the one that was used most lately."""
        self._pins[place] = pin
        self._pins.move_to_end(place)
        if len(self._pins) > self._limit:
            self._pins.popitem(last=False)

    def _tell(self, place: Place, now: float) -> None:
        pin = self._pins[place]
        pin.told_at = now
        if self.changes is not None:
            self.changes(self._entry(place, pin, now))

    def _entry(self, place: Place, pin: _Pin, now: float) -> PinEntry:
        return PinEntry(
            pool=place[0],
            session=place[1],
            candidate=pin.candidate,
            used_at=self._wall() - (now - pin.used_at),
            ttl_s=pin.ttl_s,
        )
