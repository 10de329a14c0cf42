"""
Hedging: a call that brings nothing in time gets a second one beside it, to the next candidate.

The first content wins, and the other call is called off: its connection is closed at once, and it
says nothing about anybody's health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from failover.engine.availability import worth_trying
from failover.engine.calls import Call, Calls, Clock, Served, Sleep
from failover.engine.plan import Candidate
from failover.engine.verdicts import may_try_next
from providers.adapters.upstream import Credential
from providers.errors import Failure, Fault

_CALLED_OFF = Failure(fault=Fault.HEDGED, message="called off: the call beside it was first")

Result = Served | Failure


class Lap(NamedTuple):
    """What came of a call, and of whose."""

    candidate: Candidate
    credential: Credential
    result: Result


class Race:
    """
    A call to `first` and, after `hedge_after_ms` without content, one to the next of `waiting`.

    `following` takes the next out of `waiting`, which so loses those who have had their turn.
    `usable` finds the credential to call somebody with, None if that one may not be called now.
    """

    def __init__(
        self,
        calls: Calls,
        call: Call,
        first: tuple[Candidate, Credential],
        waiting: list[Candidate],
        following: Callable[[list[Candidate]], Candidate],
        usable: Callable[[Candidate], Credential | None],
        sleep: Sleep,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._call = call
        self._first = first
        self._second: tuple[Candidate, Credential] | None = None
        self._waiting = waiting
        self._following = following
        self._usable = usable
        self._sleep = sleep
        self._clock = clock

    async def run(self) -> Lap:
        """
        The first content, or else the failure that came last.

        What the first candidate of all says of the caller's mistakes ends the race at once.
        """
        place = len(self._call.attempts)
        tasks = (
            asyncio.create_task(self._calls.attempt(self._call, *self._first)),
            asyncio.create_task(self._hedge()),
        )
        wanted: Result | None = None
        try:
            lap = await self._settle(*tasks)
            wanted = lap.result
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                wanted = None  # the caller has gone meanwhile: the winner is for nobody, too
                raise
            finally:
                for task in tasks:
                    _cut(task, wanted)
        winner = lap.candidate if isinstance(lap.result, Served) else None
        for attempt in self._call.attempts[place:]:
            if attempt.failure is None and attempt.candidate is not winner:
                attempt.failure, attempt.ended_at = _CALLED_OFF, self._clock()
        return lap

    async def _hedge(self) -> Result | None:
        """Call the next who may be called, in time; None if there is nobody."""
        await self._sleep((self._call.plan.policy.hedge_after_ms or 0) / 1000)
        while self._waiting:
            candidate = self._following(self._waiting)
            credential = self._usable(candidate)
            if credential is not None:
                self._second = candidate, credential
                return await self._calls.attempt(self._call, *self._second, is_hedge=True)
        return None

    async def _settle(
        self, first: asyncio.Task[Result], second: asyncio.Task[Result | None]
    ) -> Lap:
        """Wait until a call has content, nothing else may come, or both have failed."""
        lap: Lap | None = None
        while lap is None or not (first.done() and second.done()):
            running = [task for task in (first, second) if not task.done()]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if first.done() and first in running:
                lap = Lap(*self._first, first.result())
                if isinstance(lap.result, Served) or not self._may_go_on(lap.result):
                    return lap
                self._pass_over(lap.candidate, lap.result)
            if second.done() and second in running and (result := second.result()) is not None:
                assert self._second is not None  # noqa: S101  # it was called
                lap = Lap(*self._second, result)
                if isinstance(result, Served):
                    return lap
                self._pass_over(lap.candidate, result)
        return lap

    def _may_go_on(self, failure: Failure) -> bool:
        """Whether a second call runs, and is worth waiting for after the first one's `failure`."""
        is_first = self._call.attempts[0].failure is failure
        policy = self._call.plan.policy
        return self._second is not None and may_try_next(failure, policy, is_first=is_first)

    def _pass_over(self, candidate: Candidate, failure: Failure) -> None:
        """Leave those out who cannot do better than `candidate`."""
        self._waiting[:] = worth_trying(self._waiting, candidate, failure)


def _cut(task: asyncio.Task[Result] | asyncio.Task[Result | None], wanted: Result | None) -> None:
    """What a call that is not wanted any more ends with is nobody's business."""
    if not task.done() or task.cancelled() or task.exception() is not None:
        return
    result = task.result()
    if isinstance(result, Served) and result.stream is not None and result is not wanted:
        result.stream.cut()
