"""
The attempt loop: the only retry loop in the product.

    Engine.run(call) -> Served | Failed

Until somebody serves nothing has been sent to the caller, so a failure costs it nothing but time.
One call is made in calls.py, two side by side in hedging.py; the policy is data in verdicts.py.
Clock, sleep and dice are passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from failover.engine.availability import SHORT_WAIT_S, take_next, usable_credential, worth_trying
from failover.engine.benches import Benches
from failover.engine.budget import RetryBudget, backoff_s
from failover.engine.calls import EARLY_S, Call, Calls, Clock, Served, Sleep
from failover.engine.hedging import Lap, Race
from failover.engine.loads import Loads, expected_tokens
from failover.engine.outcome import Attempt, Ending, Failed, ending_of
from failover.engine.plan import Candidate
from failover.engine.policy import FailoverPolicy
from failover.engine.verdicts import VERDICTS, Again, Move, next_move
from providers.adapters.upstream import Credential
from providers.errors import Failure, Fault
from providers.transport import Transport

__all__ = ["Call", "Engine", "Served"]

# Made once: a frozen dataclass takes 1.5 µs.
_NOBODY_LEFT = Failure(fault=Fault.OWN, message="every candidate is benched or full by now")


class Engine:
    """Runs calls over one transport, with the benches, loads and retry budget of this process."""

    def __init__(
        self,
        *,
        transport: Transport,
        benches: Benches,
        clock: Clock,
        wall: Callable[[], float],
        sleep: Sleep,
        rng: Random,
        loads: Loads | None = None,
    ) -> None:
        self.benches = benches
        self.loads = loads or Loads()
        self.clock = clock
        self.wall = wall
        self._sleep = sleep
        self._rng = rng
        self._retries = RetryBudget()
        self._calls = Calls(
            transport=transport,
            benches=benches,
            loads=self.loads,
            retries=self._retries,
            clock=clock,
            wall=wall,
            sleep=sleep,
            rng=rng,
        )

    async def run(self, call: Call) -> Served | Failed:
        plan, policy = call.plan, call.plan.policy
        if plan.commit is not None:
            plan.commit()
        attempts = call.attempts
        waiting = list(plan.steps)
        candidate = waiting.pop(0)
        used: set[str] = set()
        retries = 0
        again: Credential | None = None
        failure = _NOBODY_LEFT
        while True:
            credential = again or self._credential(candidate, used, call)
            again = None
            if credential is None:  # since the plan was made it changed: no call, no attempt
                if not waiting:
                    break
                candidate, used, retries = self._next(waiting), set(), 0
                continue
            used.add(credential.label)
            if policy.hedge_after_ms is None or not waiting or _is_last(attempts, policy):
                result = await self._calls.attempt(call, candidate, credential)
            else:
                lap = await self._race(call, candidate, credential, waiting)
                result = lap.result
                if lap.candidate is not candidate:
                    candidate, credential, retries = lap.candidate, lap.credential, 0
                    used = {credential.label}
            if isinstance(result, Served):
                return result
            failure = result
            untried = worth_trying(waiting, candidate, failure)
            move = next_move(
                failure,
                policy,
                calls=len(attempts),
                is_first=attempts[0].failure is failure,
                can_rotate=len(used) == 1 and self._credential(candidate, used, call) is not None,
                has_next=any(not call.fitting.misfit(c) for c in untried),
                retries=retries,
            )
            if move is Move.FIRST_AGAIN:
                if await self._wait_first(call, candidate, failure, retries):
                    retries += 1
                    again = credential
                    continue
                move = Move.NEXT
            if move is Move.NEXT:
                waiting = untried
                candidate, used, retries = self._next(waiting), set(), 0
            elif move is Move.AGAIN:
                if not await self._wait(call, candidate, failure, retries):
                    break
                retries += 1
                again = credential
            elif move is Move.STOP:
                break
        return self._failed(attempts, failure, call)

    # Moving on

    def _next(self, waiting: list[Candidate]) -> Candidate:
        return take_next(waiting, self.benches, self.clock())

    async def _race(
        self, call: Call, candidate: Candidate, credential: Credential, waiting: list[Candidate]
    ) -> Lap:
        """Call `candidate`, and in time the next of `waiting` beside it."""
        return await Race(
            self._calls,
            call,
            (candidate, credential),
            waiting,
            following=self._next,
            usable=lambda following: self._credential(following, set(), call),
            sleep=self._sleep,
            clock=self.clock,
        ).run()

    def _credential(self, candidate: Candidate, used: set[str], call: Call) -> Credential | None:
        """The next credential to call `candidate` with; None if it may not be called now."""
        if call.fitting.misfit(candidate):
            return None
        if call.credential:
            others = {c.label for c in candidate.credentials if c.label != call.credential}
            used = used | others
        now = self.clock()
        if candidate.limits is not None and self.loads.full(
            candidate, expected_tokens(call.request), now
        ):
            return None
        return usable_credential(
            candidate,
            self.benches,
            now,
            used=used,
            last_standing=call.plan.last_standing,
            session=call.session,
        )

    async def _wait(self, call: Call, candidate: Candidate, failure: Failure, retries: int) -> bool:
        """Wait before calling the same candidate again. False if that is not worth it."""
        again = VERDICTS[failure.fault].again
        wait_s = 0.0
        if again is Again.AFTER_STATED and failure.retry_after_s is not None:
            wait_s = failure.retry_after_s
        elif again is not Again.AT_ONCE:
            wait_s = backoff_s(call.plan.policy.backoff, retries, self._rng)
        if again is Again.AFTER_STATED and wait_s > SHORT_WAIT_S:
            return False
        return await self._rest(call, candidate, failure, wait_s)

    async def _wait_first(
        self, call: Call, candidate: Candidate, failure: Failure, retries: int
    ) -> bool:
        """The same before others are called, as the pool's `retry_first` says."""
        policy = call.plan.policy
        wait_s = failure.retry_after_s
        if wait_s is None:
            wait_s = backoff_s(policy.backoff, retries, self._rng)
        if wait_s > policy.retry_first.max_wait_s:
            return False
        return await self._rest(call, candidate, failure, wait_s)

    async def _rest(
        self, call: Call, candidate: Candidate, failure: Failure, wait_s: float
    ) -> bool:
        """Wait `wait_s`, if deadline and retry bucket allow it."""
        if self.clock() + wait_s >= call.deadline:
            return False
        throttled = failure.fault is Fault.RATE_LIMITED
        is_real = not any(a.failure is failure and a.simulated for a in call.attempts)
        if is_real and not self._retries.take(candidate.provider, after_throttle=throttled):
            return False
        if wait_s > 0:
            await self._sleep(wait_s)
        return True

    def _failed(self, attempts: list[Attempt], failure: Failure, call: Call) -> Failed:
        first = attempts[0].failure if attempts else None
        if first is not None and first.body is not None:
            return Failed(ending=Ending.CALLER, failure=first, attempts=attempts)
        if failure.fault is Fault.OWN and self.clock() + EARLY_S >= call.deadline:
            ending = Ending.TIMED_OUT
        else:
            ending = ending_of(attempts)
        return Failed(ending=ending, failure=failure, attempts=attempts)


def _is_last(attempts: list[Attempt], policy: FailoverPolicy) -> bool:
    """Whether the budget has but one more call."""
    return len(attempts) + 1 >= policy.max_attempts
