"""Ten minutes of a provider that fails every second call, and its way back: in simulated time."""

import json
from collections import Counter
from random import Random

import pytest

from failover.engine.attempts import Call, Engine, Served
from failover.engine.loads import Loads
from failover.engine.plan import Fitting
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import CandidateSpec
from routing.gateway.deciding.state import LiveState
from tests.support.builders import FakeClock, FakeResponse, FakeUpstream, benches, pool, table
from tests.support.planning import key
from tests.support.wire import parse

pytestmark = pytest.mark.pure

OK = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
PER_SECOND = 10
TEN_MINUTES = 600
REQUEST = parse("openai_chat", json.dumps({"model": "m", "messages": [{"role": "user"}]}).encode())


class Flaky(FakeUpstream):
    """Fails every second call until it recovers."""

    def __init__(self):
        super().__init__("flaky", [self.answer], ("main",))
        self.is_well = False
        self.called_at = []
        self.clock = None

    def answer(self):
        self.called_at.append(self.clock.now)
        if not self.is_well and len(self.called_at) % 2:
            return FakeResponse(500, [b"{}"])
        return FakeResponse(pieces=[OK])


class Service:
    """One worker: a pool of a flaky and a good provider, planned and called as the gateway does."""

    def __init__(self, strategy):
        self.flaky = Flaky()
        self.good = FakeUpstream("good", [lambda: FakeResponse(pieces=[OK])], ("main",))
        specs = (
            CandidateSpec(provider="flaky", model="x", weight=1),
            CandidateSpec(provider="good", model="x", weight=1),
        )
        self.table = table(pool("m", *specs, strategy=strategy))
        for candidate in self.table.pool("m").candidates:
            upstream = self.flaky if candidate.provider == "flaky" else self.good
            object.__setattr__(candidate, "upstream", upstream)
        self.clock = self.flaky.clock = FakeClock()
        self.benches = benches(self.clock)
        self.live = LiveState(benches=self.benches, loads=Loads())
        self.rng = Random(7)
        self.engine = Engine(
            transport=None,
            benches=self.benches,
            clock=self.clock,
            wall=self.clock.wall,
            sleep=self.clock.sleep,
            rng=self.rng,
            loads=self.live.loads,
        )
        self.lengths = []
        self.benches.changes = self._note

    def _note(self, entry):
        if not entry.released:
            self.lengths.append(entry.until - self.clock.wall())

    async def request(self, number):
        resolution = resolve(self.table, "m")
        features = Features(protocol="openai_chat", key=key(), session=number)
        now = self.clock.now
        made = plan(self.table, resolution, features, self.live, now, self.rng)
        result = await self.engine.run(
            Call(
                request=REQUEST,
                fitting=Fitting(REQUEST),
                plan=made,
                deadline=now + 60,
                request_id=str(number),
            )
        )
        if not isinstance(result, Served):
            return None
        self.live.served(made, result.candidate, self.clock.now)
        return result.candidate.provider

    async def run(self, seconds):
        """Who served, request by request."""
        served = []
        end = self.clock.now + seconds
        while self.clock.now < end - 1e-6:
            served.append(await self.request(self.rng.getrandbits(64)))
            self.clock.now = round(self.clock.now + 1 / PER_SECOND, 6)
        return served


@pytest.mark.parametrize("strategy", ["priority_failover", "weighted_round_robin"])
async def test_callers_do_not_notice_a_provider_that_fails_every_second_call(strategy):
    service = Service(strategy)
    served = await service.run(TEN_MINUTES)
    assert len(served) == TEN_MINUTES * PER_SECOND
    assert served.count(None) <= len(served) / 100
    assert len(service.lengths) > 2
    assert 1.5 * service.lengths[0] < max(service.lengths) <= 20  # 10 s, doubling up to 20
    assert len(service.flaky.called_at) < len(served) / 20


@pytest.mark.parametrize("strategy", ["priority_failover", "weighted_round_robin"])
async def test_a_provider_that_is_well_again_has_its_full_share_within_a_minute(strategy):
    service = Service(strategy)
    await service.run(TEN_MINUTES)
    service.flaky.is_well = True
    while "flaky" not in await service.run(1):
        assert service.clock.now < 1000 + 2 * TEN_MINUTES + 120
    first = next(at for at in service.flaky.called_at if at > 1000 + TEN_MINUTES)
    in_the_first_second = [at for at in service.flaky.called_at if first <= at < first + 1]
    served = await service.run(60)
    share = Counter(await service.run(20))["flaky"] / (20 * PER_SECOND)
    full = 1.0 if strategy == "priority_failover" else 0.5
    assert share == pytest.approx(full, abs=0.05)
    assert len(in_the_first_second) >= 1
    assert None not in served


async def test_of_many_requests_at_the_end_of_a_bench_one_probes():
    service = Service("priority_failover")
    await service.run(10)
    service.flaky.is_well = True
    (entry,) = service.benches.entries(service.clock.now)
    service.clock.now += entry.until - service.clock.wall() + 0.001
    resolution = resolve(service.table, "m")
    features = Features(protocol="openai_chat", key=key())
    firsts = Counter()
    for _ in range(100):  # all of them under way at once: none has been answered yet
        made = plan(
            service.table, resolution, features, service.live, service.clock.now, service.rng
        )
        first = made.steps[0]
        service.benches.begin(first.keys("main"), service.clock.now)
        firsts[first.provider] += 1
    assert firsts == {"flaky": 1, "good": 99}
