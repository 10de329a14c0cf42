"""Two calls side by side: every order in which they may begin, answer, fail and be given up."""

import asyncio
from random import Random

import pytest

from failover.engine.attempts import Call, Engine, Served
from failover.engine.outcome import Ending
from failover.engine.plan import Fitting
from failover.engine.policy import Backoff, FailoverPolicy
from providers.adapters.spec import ModelFacts
from providers.errors import ConnectionReset, Fault
from tests.support.builders import (
    FakeClock,
    FakeResponse,
    FakeUpstream,
    bench_entry,
    benches,
    candidate,
    planned,
)
from tests.support.engine import DONE, EVENT, FINISH, ROLE, events, ok, status
from tests.support.wire import parse

pytestmark = pytest.mark.pure

AFTER_MS = 50.0
TOO_LONG = b'{"error":{"message":"too long","code":"context_length_exceeded"}}'


class LateUpstream(FakeUpstream):
    """
    Answers when the test says so. `cut` counts calls that were cancelled before; they end once
    `lets_go` is set.
    """

    def __init__(self, name):
        super().__init__(name, (), ("main",))
        self.cut = 0
        self.lets_go = asyncio.Event()
        self.lets_go.set()
        self._answers = asyncio.Queue()

    def answer(self, what):
        self._answers.put_nowait(what)

    async def send(self, transport, *, credential, **rest):
        self.calls.append(credential.label)
        try:
            answer = await self._answers.get()
        except asyncio.CancelledError:
            self.cut += 1
            await self.lets_go.wait()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


class LateResponse(FakeResponse):
    """An event stream whose events come when the test says so."""

    def __init__(self):
        super().__init__(headers=[(b"content-type", b"text/event-stream")])
        self.events = asyncio.Queue()

    async def read(self, deadline):
        return await self.events.get()


class Race:
    """A request to candidates p0, p1 …, on its way; `ring` ends the wait for the hedge."""

    def __init__(self, count=3, *, stream=False, facts=(), **policy):
        self.clock = FakeClock()
        self.benches = benches(self.clock)
        self.alarms = []
        self.engine = Engine(
            transport=None,
            benches=self.benches,
            clock=self.clock,
            wall=self.clock.wall,
            sleep=self.sleep,
            rng=Random(7),
        )
        self.upstreams = [LateUpstream(f"p{i}") for i in range(count)]
        facts = dict(enumerate(facts))
        self.candidates = [
            candidate(f"{u.name}/m", upstream=u, is_measured=True, facts=facts.get(i, ModelFacts()))
            for i, u in enumerate(self.upstreams)
        ]
        policy = {"hedge_after_ms": AFTER_MS, "backoff": Backoff(base_ms=0)} | policy
        body = b'{"model":"m","messages":[{"role":"user","content":"x"}]%s}' % (
            b',"stream":true' if stream else b""
        )
        request = parse("openai_chat", body)
        self.call = Call(
            request=request,
            fitting=Fitting(request),
            plan=planned(*self.candidates, policy=FailoverPolicy(**policy)),
            deadline=self.clock() + 600,
            request_id="req_1",
            attempts=[],
        )
        self.task = asyncio.ensure_future(self.engine.run(self.call))

    async def sleep(self, seconds):
        if seconds <= 0:
            return
        alarm = asyncio.Event()
        self.alarms.append((seconds, alarm))
        await alarm.wait()
        self.clock.now += seconds

    async def ring(self):
        await turns()
        self.alarms[-1][1].set()
        await turns()

    async def answers(self, index, what):
        self.upstreams[index].answer(what)
        await turns()

    def bench(self, subject):
        until = self.clock.wall() + 60
        entry = bench_entry(subject, credential="main", until=until, reason="rate_limited")
        self.benches.merge([entry], self.clock.now)

    @property
    def calls(self):
        return [len(u.calls) for u in self.upstreams]

    @property
    def faults(self):
        return [a.failure.fault if a.failure else None for a in self.call.attempts]

    @property
    def under_way(self):
        loads = [self.engine.loads.get(c.name) for c in self.candidates]
        return [load.in_flight if load else 0 for load in loads]


async def turns():
    """Let everybody go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_content_in_time_needs_no_second_call():
    race = Race()
    await race.answers(0, ok())
    served = await race.task
    assert isinstance(served, Served)
    assert race.calls == [1, 0, 0]
    assert [seconds for seconds, _ in race.alarms] == [AFTER_MS / 1000]
    assert len(asyncio.all_tasks()) == 1  # this test


async def test_the_second_candidate_is_called_beside_the_first_and_wins():
    race = Race()
    await race.ring()
    assert race.calls == [1, 1, 0]
    await race.answers(1, ok())
    served = await race.task
    assert served.candidate is race.candidates[1]
    assert race.upstreams[0].cut == 1
    assert race.faults == [Fault.HEDGED, None]
    assert [a.is_hedge for a in served.attempts] == [False, True]
    assert [a.ended_at for a in served.attempts] == [race.clock()] * 2
    assert served.attempts[0].summary()["reason"] == "hedged"


async def test_the_first_candidate_may_still_win():
    race = Race()
    await race.ring()
    await race.answers(0, ok())
    served = await race.task
    assert served.candidate is race.candidates[0]
    assert race.upstreams[1].cut == 1
    assert race.faults == [None, Fault.HEDGED]


@pytest.mark.parametrize("loser", [0, 1])
async def test_the_loser_benches_nobody_and_keeps_no_place(loser):
    race = Race()
    keys = race.candidates[loser].keys("main")
    await race.ring()
    assert race.under_way == [1, 1, 0]
    await race.answers(1 - loser, ok())
    await race.task
    assert race.under_way == [0, 0, 0]
    assert race.benches.entries(race.clock()) == []
    assert keys not in race.benches._together  # no window has been moved, not even for the good


async def test_no_third_call_is_made_while_two_are_under_way():
    race = Race()
    await race.ring()
    await turns()
    assert race.calls == [1, 1, 0]
    assert len(race.alarms) == 1
    await race.answers(0, ok())
    await race.task


async def test_a_first_that_fails_before_the_time_is_followed_as_ever():
    race = Race()
    await race.answers(0, status(503))
    await race.answers(1, ok())
    served = await race.task
    assert served.candidate is race.candidates[1]
    assert race.calls == [1, 1, 0]
    assert race.faults == [Fault.STATUS, None]
    assert not any(a.is_hedge for a in served.attempts)


async def test_when_the_first_fails_the_second_is_waited_for():
    race = Race()
    await race.ring()
    await race.answers(0, status(503))
    assert not race.task.done()
    assert race.calls == [1, 1, 0]
    await race.answers(1, ok())
    served = await race.task
    assert served.candidate is race.candidates[1]
    assert race.faults == [Fault.STATUS, None]


async def test_when_the_second_fails_the_first_is_waited_for():
    race = Race()
    await race.ring()
    await race.answers(1, ConnectionReset("cut"))
    assert not race.task.done()
    await race.answers(0, ok())
    served = await race.task
    assert served.candidate is race.candidates[0]
    assert race.faults == [None, Fault.RESET]
    assert race.calls == [1, 1, 0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_when_both_fail_the_next_is_called(order):
    race = Race()
    await race.ring()
    for index in order:
        await race.answers(index, status(503))
    assert race.calls == [1, 1, 1]
    await race.answers(2, ok())
    served = await race.task
    assert served.candidate is race.candidates[2]
    assert race.faults == [Fault.STATUS, Fault.STATUS, None]


async def test_both_failing_in_one_turn_are_both_failures():
    race = Race()
    await race.ring()
    race.upstreams[1].answer(status(503))
    await race.answers(0, status(500))
    await race.answers(2, ok())
    served = await race.task
    assert race.faults == [Fault.STATUS, Fault.STATUS, None]
    assert served.candidate is race.candidates[2]


async def test_a_hedge_costs_one_of_max_attempts():
    race = Race(max_attempts=2)
    await race.ring()
    await race.answers(0, status(503))
    await race.answers(1, status(503))
    failed = await race.task
    assert failed.ending is Ending.UPSTREAM_FAILED
    assert race.calls == [1, 1, 0]


async def test_the_last_call_has_no_hedge():
    race = Race(max_attempts=2)
    await race.answers(0, status(503))
    assert race.calls == [1, 1, 0]
    assert len(race.alarms) == 1  # the first call's
    await race.answers(1, ok())
    await race.task


async def test_a_slow_second_call_is_hedged_too():
    race = Race()
    await race.answers(0, status(503))
    await race.ring()
    assert race.calls == [1, 1, 1]
    await race.answers(2, ok())
    served = await race.task
    assert served.candidate is race.candidates[2]
    assert race.faults == [Fault.STATUS, Fault.HEDGED, None]


async def test_nobody_is_called_twice_for_a_hedge():
    race = Race(1)
    await turns()
    assert race.alarms == []
    await race.answers(0, ok())
    await race.task


async def test_without_the_setting_nobody_is_called_beside_another():
    race = Race(hedge_after_ms=None)
    await turns()
    assert race.alarms == []
    await race.answers(0, ok())
    assert isinstance(await race.task, Served)


async def test_a_callers_mistake_that_the_first_finds_calls_the_hedge_off():
    race = Race()
    await race.ring()
    await race.answers(0, status(400, b'{"error":{"message":"no"}}'))
    failed = await race.task
    assert failed.ending is Ending.CALLER
    assert failed.failure.status == 400
    assert race.upstreams[1].cut == 1
    assert race.faults == [Fault.CALLER, Fault.HEDGED]


async def test_a_callers_mistake_that_only_the_hedge_finds_is_its_failure():
    race = Race()
    await race.ring()
    await race.answers(1, status(400, b'{"error":{"message":"no"}}'))
    assert not race.task.done()
    await race.answers(0, status(503))
    await race.answers(2, ok())
    served = await race.task
    assert served.candidate is race.candidates[2]
    assert race.faults == [Fault.STATUS, Fault.CALLER, None]


async def test_the_firsts_mistake_is_final_even_if_it_comes_last():
    race = Race()
    await race.ring()
    await race.answers(1, status(503))
    await race.answers(0, status(422, b'{"error":{"message":"no"}}'))
    failed = await race.task
    assert (failed.ending, failed.failure.status) == (Ending.CALLER, 422)
    assert race.calls == [1, 1, 0]


async def test_a_status_that_is_not_to_be_retried_ends_both_and_is_named_as_ever():
    race = Race(retry_on_statuses=())
    await race.ring()
    await race.answers(0, status(429))
    failed = await race.task
    assert failed.ending is Ending.RATE_LIMITED
    assert race.faults == [Fault.RATE_LIMITED, Fault.HEDGED]


async def test_after_a_context_too_small_only_larger_windows_are_tried():
    sizes = [ModelFacts(context_window=size) for size in (100, 1000, 50, 500)]
    race = Race(4, facts=sizes, max_attempts=4)
    await race.ring()
    await race.answers(0, status(400, TOO_LONG))
    await race.answers(1, status(503))
    assert race.calls == [1, 1, 0, 1]
    await race.answers(3, ok())
    await race.task


async def test_who_is_benched_by_then_is_passed_over():
    race = Race()
    race.bench("p1/m")
    await race.ring()
    assert race.calls == [1, 0, 1]
    await race.answers(2, ok())
    assert (await race.task).candidate is race.candidates[2]


async def test_if_nobody_else_may_be_called_the_first_is_waited_for():
    race = Race()
    race.bench("p1/m")
    race.bench("p2/m")
    await race.ring()
    assert race.calls == [1, 0, 0]
    await race.answers(0, ok())
    assert (await race.task).candidate is race.candidates[0]


async def test_a_caller_who_hangs_up_ends_both_calls_and_nobody_is_blamed():
    race = Race()
    await race.ring()
    race.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race.task
    assert [u.cut for u in race.upstreams] == [1, 1, 0]
    assert race.faults == [None, None]
    assert race.under_way == [0, 0, 0]
    assert len(asyncio.all_tasks()) == 1


async def test_a_caller_who_hangs_up_before_the_hedge_leaves_nothing_behind():
    race = Race()
    await turns()
    race.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race.task
    assert race.calls == [1, 0, 0]
    assert len(asyncio.all_tasks()) == 1


async def test_a_stream_has_won_with_its_first_content_not_with_its_head():
    race = Race(stream=True)
    slow = LateResponse()
    await race.ring()
    await race.answers(0, slow)
    slow.events.put_nowait(ROLE)
    await turns()
    assert not race.task.done()
    await race.answers(1, events(ROLE, EVENT % b"a", FINISH, DONE))
    served = await race.task
    assert served.candidate is race.candidates[1]
    assert slow.closed
    rest = b""
    while not served.stream.ended:
        rest += await served.stream.next()
    await served.stream.close()
    assert rest == FINISH + DONE
    assert race.under_way == [0, 0, 0]


async def test_of_two_streams_that_begin_in_one_turn_the_first_goes_on():
    race = Race(stream=True)
    streams = [events(EVENT % b"a", FINISH, DONE), events(EVENT % b"b", FINISH, DONE)]
    await race.ring()
    race.upstreams[0].answer(streams[0])
    await race.answers(1, streams[1])
    served = await race.task
    assert served.candidate is race.candidates[0]
    assert [stream.closed for stream in streams] == [False, True]
    assert race.faults == [None, Fault.HEDGED]
    assert race.under_way == [1, 0, 0]
    await served.stream.close()


async def test_a_stream_that_nobody_waits_for_any_more_is_cut():
    race = Race(stream=True)
    stream = events(EVENT % b"a", FINISH, DONE)
    await turns()
    race.upstreams[0].answer(stream)
    for _ in range(20):  # until it has content, and nobody has looked yet
        if race.call.attempts[0].content_at is None:
            await asyncio.sleep(0)
    assert not race.task.done()
    race.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race.task
    assert stream.closed
    assert race.under_way == [0, 0, 0]


async def test_who_hangs_up_while_the_loser_is_called_off_leaves_no_stream_open():
    race = Race(stream=True)
    race.upstreams[0].lets_go.clear()
    stream = events(EVENT % b"a", FINISH, DONE)
    await race.ring()
    await race.answers(1, stream)
    assert race.upstreams[0].cut == 1
    assert not race.task.done()
    race.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race.task
    assert stream.closed
    race.upstreams[0].lets_go.set()
    await turns()
    assert race.under_way == [0, 0, 0]
    assert len(asyncio.all_tasks()) == 1


async def test_a_bug_in_a_call_is_not_lost():
    race = Race()
    await race.ring()
    race.upstreams[1].answer(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await race.task
    assert race.upstreams[0].cut == 1
