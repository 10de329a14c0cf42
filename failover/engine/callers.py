"""
Whose doing a failure is, where the provider alone cannot be told from the caller.

What one caller's requests meet again and again, while another's are answered between them, says
nothing of the provider. While it is truly away nobody is answered, so that one caller's failures
bench it as soon as ever.
"""

from __future__ import annotations

from math import inf
from typing import Final

from msgspec import Struct

from failover.engine.bench_entries import Key
from providers.errors import Fault

# What a request itself can bring about: a head or body that a server cannot stand. Not what keeps
# everybody waiting, nor an address that nobody answers at.
MAY_BE_THE_CALLERS: Final = frozenset(
    {
        Fault.RESET,
        Fault.STATUS,
        Fault.CONFIG,
        Fault.FORBIDDEN,
        Fault.BAD_REPLY,
        Fault.BAD_STREAM,
    }
)


class _Answered(Struct):
    """Who was answered last and when, and who of the others before."""

    caller: str
    at: float
    others_at: float = -inf


class _Failing(Struct):
    """Whose requests fail, since when, until when, and when another's did last."""

    caller: str
    since: float
    at: float
    others_at: float = -inf


class Callers:
    """By candidate. A caller is the name of a key; "" is nobody, of whom nothing is noted."""

    def __init__(self) -> None:
        self._answered: dict[str, _Answered] = {}
        self._failing: dict[Key, _Failing] = {}

    def answered(self, subject: str, caller: str, now: float) -> None:
        """Called for every answer: 0.1 µs."""
        last = self._answered.get(subject)
        if last is None:
            self._answered[subject] = _Answered(caller, now)
        elif last.caller == caller:
            last.at = now
        else:
            last.caller, last.others_at, last.at = caller, last.at, now

    def failed(self, key: Key, caller: str, span_s: float, now: float) -> None:
        failing = self._failing.get(key)
        if failing is None or now - failing.at > span_s:
            self._failing[key] = _Failing(caller, now, now)
        elif failing.caller == caller:
            failing.at = now
        else:
            self._failing[key] = _Failing(caller, now, now, failing.at)

    def is_own(self, key: Key, fault: Fault, span_s: float, now: float) -> bool:
        """Whether what `key` has been failing with lately is the doing of one caller."""
        failing = self._failing.get(key)
        if failing is None or not failing.caller or fault not in MAY_BE_THE_CALLERS:
            return False
        if now - failing.others_at <= span_s:
            return False
        last = self._answered.get(key[0])
        if last is None:
            return False
        return (last.others_at if last.caller == failing.caller else last.at) >= failing.since

    def forget(self, key: Key) -> None:
        self._failing.pop(key, None)
