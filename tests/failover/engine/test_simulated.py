"""Faults that were asked for: they fail over like real ones, and nothing remembers them."""

from random import Random

import pytest

from failover.engine.attempts import Call, Engine, Served
from failover.engine.outcome import Ending
from failover.engine.plan import Fitting, Times
from failover.engine.policy import FailoverPolicy
from providers.adapters.simulator.faults import parse_fault
from providers.errors import Fault
from tests.support.builders import FakeClock, FakeUpstream, benches, candidate, planned
from tests.support.engine import DONE, EVENT, FINISH, ROLE, events, ok
from tests.support.wire import parse

pytestmark = pytest.mark.pure


class World:
    """Candidates a/m and b/m, both well, of which some pretend `faults`."""

    def __init__(self, names=("a", "b"), dice=7):
        self.clock = FakeClock()
        self.benches = benches(self.clock)
        self.engine = Engine(
            transport=None,
            benches=self.benches,
            clock=self.clock,
            wall=self.clock.wall,
            sleep=self.clock.sleep,
            rng=Random(dice),
        )
        self.upstreams = {name: FakeUpstream(name, [ok], ("main",)) for name in names}
        self.candidates = [
            candidate(f"{name}/m", upstream=upstream, is_measured=True, times=Times(total_s=30))
            for name, upstream in self.upstreams.items()
        ]

    async def run(self, *, stream=False, policy=None, **faults):
        body = b'{"model":"m","messages":[{"role":"user","content":"x"}]%s}'
        request = parse("openai_chat", body % (b',"stream":true' if stream else b""))
        call = Call(
            request=request,
            fitting=Fitting(request),
            plan=planned(*self.candidates, policy=policy or FailoverPolicy()),
            deadline=self.clock() + 600,
            request_id="req_1",
            attempts=[],
            faults={name: parse_fault(text) for name, text in faults.items()},
        )
        return await self.engine.run(call)

    def streams(self, name):
        self.upstreams[name].script = [
            lambda: events(ROLE, EVENT % b"1", EVENT % b"2", FINISH, DONE)
        ]

    @property
    def is_untouched(self):
        loads = [self.engine.loads.get(c.name) for c in self.candidates]
        return self.benches.is_empty and not any(loads) and not self.benches._windows


FAULTS = {
    "status:503": Fault.STATUS,
    "status:401": Fault.AUTH,
    "status:429:retry_after=7": Fault.RATE_LIMITED,
    "status:529": Fault.OVERLOADED,
    "stall": Fault.TIMEOUT,
    "empty": Fault.BAD_REPLY,
    "error_event": Fault.BAD_REPLY,
    "cut:3": Fault.RESET,
    "clean_cut:3": Fault.BAD_REPLY,
    "flaky:1": Fault.STATUS,
}


@pytest.mark.parametrize("text", FAULTS)
async def test_a_simulated_fault_fails_over_and_benches_nobody(text):
    world = World()
    for _ in range(5):
        served = await world.run(a=text, b="slow:ttft_ms=1")
        assert served.candidate is world.candidates[1]
        first, second = served.attempts
        assert first.failure.fault is FAULTS[text]
        assert (first.simulated.text, second.simulated.text) == (text, "slow:ttft_ms=1")
        assert first.summary()["simulated"] == text
    assert world.upstreams["a"].calls == []
    assert len(world.upstreams["b"].calls) == 5
    assert world.is_untouched


async def test_real_calls_of_the_same_request_count_as_ever():
    world = World()
    served = await world.run(a="status:503")
    assert [a.simulated is not None for a in served.attempts] == [True, False]
    assert "simulated" not in served.attempts[1].summary()
    assert {key for keys in world.benches._together for key in keys} == set(
        world.candidates[1].keys("main")
    )


async def test_a_stream_that_is_cut_by_request_moves_nothing():
    world = World()
    world.streams("a")
    served = await world.run(stream=True, a="cut:1")
    assert served.candidate is world.candidates[0]
    text = served.first
    while not served.stream.ended:
        text += await served.stream.next()
    await served.stream.close()
    assert b"stream_interrupted" in text
    assert served.attempts[0].failure.fault is Fault.INTERRUPTED
    assert world.is_untouched


async def test_a_stream_that_is_slow_by_request_is_the_providers_own_and_moves_nothing():
    world = World()
    world.streams("a")
    served = await world.run(stream=True, a="slow:ttft_ms=100:gap_ms=10")
    text = served.first
    while not served.stream.ended:
        text += await served.stream.next()
    await served.stream.close()
    assert text == ROLE + EVENT % b"1" + EVENT % b"2" + FINISH + DONE
    assert 0.1 in world.clock.slept
    assert world.is_untouched


async def test_retries_of_a_simulated_fault_cost_no_tokens():
    world = World(names=("a",))
    policy = FailoverPolicy(max_attempts=3, same_candidate_retries=2)
    for _ in range(40):  # 80 real retries would have emptied the bucket
        failed = await world.run(policy=policy, a="status:500")
        assert len(failed.attempts) == 3
        assert failed.ending is Ending.UPSTREAM_FAILED


async def test_a_flaky_provider_really_answers_when_it_does_not_fail():
    world = World()
    served = [await world.run(a="flaky:0.5") for _ in range(60)]
    assert all(isinstance(s, Served) for s in served)
    own = [s for s in served if s.candidate is world.candidates[0]]
    assert 15 < len(own) < 45
    assert all(s.attempts[0].simulated is None for s in own)
    assert len(world.upstreams["a"].calls) == len(own)


async def test_providers_that_are_not_named_pretend_nothing():
    world = World()
    served = await world.run(c="status:503")
    assert served.candidate is world.candidates[0]
    assert served.attempts[0].simulated is None
