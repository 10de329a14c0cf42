"""Outages in simulated time: whoever is well again serves again soon, and is tried one by one."""

import asyncio
from random import Random

import pytest

from failover.engine.attempts import Call, Engine, Served
from failover.engine.benches import Benches
from failover.engine.plan import Fitting
from providers.errors import ConnectFailed, ConnectionReset, UpstreamTimedOut
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.state import LiveState
from tests.support.builders import FakeResponse, pool, table
from tests.support.engine import OK, status
from tests.support.planning import key
from tests.support.virtual_time import run_in_virtual_time
from tests.support.wire import parse

TABLE = table(pool("m", "a/m", "b/m"))
BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
RECOVERY_S = 30
PAUSE_S = (0.5, 2.0)  # between two requests
SILENCE_S = 10.0  # until a call without an answer is given up


class Provider:
    """`away` are spans of the loop's time; in them `fault` is all that callers get."""

    def __init__(self, name, dice, away=(), fault="503"):
        self.name = name
        self.dice = dice
        self.away = away
        self.fault = fault

    async def answer(self):
        loop = asyncio.get_running_loop()
        if not any(start <= loop.time() < end for start, end in self.away):
            await asyncio.sleep(self.dice.uniform(0.2, 2))
            return FakeResponse(pieces=[OK])
        if self.fault == "silence":
            await asyncio.sleep(SILENCE_S)
            raise UpstreamTimedOut("late")
        await asyncio.sleep(self.dice.uniform(0.01, 0.1))
        if self.fault == "connect":
            raise ConnectFailed("refused")
        if self.fault == "reset":
            raise ConnectionReset("reset")
        if self.fault == "nothing":
            return FakeResponse(pieces=[])
        return status(int(self.fault))


FAULTS = ("503", "529", "connect", "reset", "nothing", "silence", "307")


class World:
    """Requests for a pool of a/m, which is away at times, and b/m, which never is."""

    def __init__(self, seed, away):
        loop = asyncio.get_running_loop()
        self.dice = Random(seed)
        self.benches = Benches(rng=Random(seed), wall=loop.time)
        self.live = LiveState(benches=self.benches)
        self.engine = Engine(
            transport=self,
            benches=self.benches,
            clock=loop.time,
            wall=loop.time,
            sleep=asyncio.sleep,
            rng=Random(seed),
        )
        fault = FAULTS[seed % len(FAULTS)]
        self.providers = {"a": Provider("a", self.dice, away, fault), "b": Provider("b", self.dice)}
        self.serving = []  # when calls began that a answered
        self.most_trials = self.trials = 0

    async def send(self, endpoint, head, body, *, connect_s, deadline):
        """What the engine takes for its transport."""
        name = "a" if b"key-of-a" in head else "b"
        began = asyncio.get_running_loop().time()
        is_trial = name == "a" and not self.benches.is_empty
        self.trials += is_trial
        self.most_trials = max(self.most_trials, self.trials)
        try:
            response = await self.providers[name].answer()
        finally:
            self.trials -= is_trial
        if name == "a" and response.status == 200 and response._pieces:
            self.serving.append(began)
        return response

    async def request(self):
        now = asyncio.get_running_loop().time()
        made = plan(
            TABLE,
            resolve(TABLE, "m"),
            Features(protocol="openai_chat", key=key()),
            self.live,
            now,
            self.dice,
        )
        request = parse("openai_chat", BODY)
        call = Call(
            request=request,
            fitting=Fitting(request),
            plan=made,
            deadline=now + 60,
            request_id="req_1",
            attempts=[],
        )
        assert isinstance(await self.engine.run(call), Served)

    async def run(self, until):
        async with asyncio.TaskGroup() as tasks:
            while asyncio.get_running_loop().time() < until:
                await asyncio.sleep(self.dice.uniform(*PAUSE_S))
                tasks.create_task(self.request())


async def recoveries_of(seed, away):
    """How long after each end of `away` a serves again, and how many trials ran at a time."""
    world = World(seed, away)
    await world.run(away[-1][1] + RECOVERY_S)
    ends = [end for _, end in away]
    return [min(at for at in world.serving if at >= end) - end for end in ends], world.most_trials


def starting_at(*starts, lasting):
    return [(1000.0 + start, 1000.0 + start + lasting) for start in starts]


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(starting_at(10, lasting=60), id="for a minute"),
        pytest.param(starting_at(10, 56, 102, 148, 194, lasting=6), id="for 6 s again and again"),
    ],
)
def test_whoever_was_away_serves_again_within_30_s_and_is_tried_one_request_at_a_time(away):
    runs = [run_in_virtual_time(recoveries_of(seed, away)) for seed in range(100)]

    assert [seed for seed, (took, _) in enumerate(runs) if max(took) > RECOVERY_S] == []
    assert max(trials for _, trials in runs) == 1
