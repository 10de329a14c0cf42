"""Calls that are noted, limits that are kept to, and credentials that go by session."""

import asyncio

import pytest

from failover.engine.attempts import Served
from failover.engine.availability import usable_credential
from failover.engine.outcome import Failed
from failover.engine.plan import CandidateLimits
from failover.engine.policy import FailoverPolicy
from failover.engine.rendezvous import hash_of
from providers.adapters.spec import ModelFacts
from providers.errors import UpstreamTimedOut
from tests.support.builders import FakeResponse, planned
from tests.support.engine import DONE, EVENT, FINISH, World, events, ok, status

pytestmark = pytest.mark.pure

USED = (
    b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":30,"completion_tokens":20}}'
)


def in_flight(world, number=0):
    load = world.engine.loads.get(f"p{number}/m")
    return None if load is None else load.in_flight


async def test_nothing_is_noted_of_a_candidate_whose_load_nobody_goes_by():
    world = World([ok])
    assert isinstance(await world.run(), Served)
    assert in_flight(world) is None


async def test_a_plain_call_is_under_way_until_its_answer_is_whole_and_measured_then():
    world = World([ok], is_measured=True)
    send = world.upstreams[0].send

    async def slowly(*args, **kwargs):
        assert in_flight(world) == 1
        world.clock.now += 0.75
        return await send(*args, **kwargs)

    world.upstreams[0].send = slowly
    assert isinstance(await world.run(), Served)
    assert in_flight(world) == 0
    assert world.engine.loads.get("p0/m").latency_s(world.clock.now) == 0.75


async def test_a_failed_call_is_over_and_measures_nothing():
    world = World([lambda: status(500)], [ok], is_measured=True)
    assert isinstance(await world.run(), Served)
    assert (in_flight(world, 0), in_flight(world, 1)) == (0, 0)
    assert world.engine.loads.get("p0/m").latency_s(world.clock.now) == 0


async def test_a_stream_is_under_way_until_it_is_closed():
    world = World([lambda: events(EVENT % b"a", EVENT % b"b", FINISH, DONE)], is_measured=True)
    for reads in (0, 2):
        served = await world.run(stream=True)
        assert in_flight(world) == 1
        for _ in range(reads):
            await served.stream.next()
        await served.stream.close()
        await served.stream.close()
        assert in_flight(world) == 0


async def test_a_stream_that_fails_before_its_content_is_over():
    world = World([events], [lambda: events(EVENT % b"a", FINISH, DONE)], is_measured=True)
    served = await world.run(stream=True)
    assert (in_flight(world, 0), in_flight(world, 1)) == (0, 1)
    await served.stream.close()


async def test_a_call_is_over_when_the_caller_goes_away():
    world = World([ok], is_measured=True)
    forever = asyncio.Event()
    response = FakeResponse()

    async def read(deadline):
        await forever.wait()

    response.read = read
    world.upstreams[0].script = [response]
    task = asyncio.create_task(world.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert in_flight(world) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert in_flight(world) == 0


async def test_who_has_filled_up_since_the_plan_was_made_is_not_called():
    limits = CandidateLimits(rpm=1)
    world = World([ok], [ok], is_measured=True, limits=limits)
    for _ in range(2):
        assert isinstance(await world.run(), Served)
    assert world.calls == [1, 1]
    failed = await world.run()
    assert isinstance(failed, Failed)
    assert failed.attempts == []
    assert world.calls == [1, 1]


async def test_what_an_answer_took_counts_instead_of_what_was_thought():
    world = World(
        [lambda: FakeResponse(pieces=[USED])], is_measured=True, limits=CandidateLimits(tpm=100)
    )
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":80}'
    assert isinstance(await world.run(body=body), Served)
    full = world.engine.loads.full
    assert full(world.candidates[0], 50, world.clock.now) is None
    assert full(world.candidates[0], 51, world.clock.now) is not None


async def test_a_second_key_is_not_tried_beyond_the_candidates_own_limit():
    world = World(
        [lambda: status(401), ok],
        labels=("a", "b"),
        is_measured=True,
        limits=CandidateLimits(rpm=1),
    )
    assert isinstance(await world.run(), Failed)
    assert world.upstreams[0].calls == ["a"]


async def test_a_model_that_reasons_by_itself_has_longer_for_its_first_token():
    waits = []

    async def note(*args, deadline, **kwargs):
        waits.append(deadline)
        raise UpstreamTimedOut("late")

    for facts in (ModelFacts(), ModelFacts(reasons=True)):
        world = World([ok], policy=FailoverPolicy(same_candidate_retries=0), facts=facts)
        world.upstreams[0].send = note
        await world.run(stream=True)
        waits[-1] -= world.clock.now
    assert waits == [60, 300]


# Credentials by session

LABELS = tuple("abcde")


def chosen(world, session, **rest):
    found = usable_credential(
        world.candidates[0], world.benches, world.clock.now, session=session, **rest
    )
    return found.label if found else None


def test_a_session_keeps_to_one_credential_and_sessions_spread_over_all():
    world = World([ok], labels=LABELS)
    sessions = [hash_of(f"s{n}") for n in range(1000)]
    by_session = {session: chosen(world, session) for session in sessions}
    assert by_session == {session: chosen(world, session) for session in sessions}
    shares = [list(by_session.values()).count(label) for label in LABELS]
    assert min(shares) > 150
    assert chosen(world, None) == "a"


async def test_a_session_whose_key_is_refused_goes_on_with_its_next_by_score():
    world = World([lambda: status(401), ok], labels=LABELS)
    session = hash_of("s")
    first = chosen(world, session)
    second = chosen(world, session, used={first})
    call_of = world.run

    async def run():
        world.plan = planned(*world.candidates)
        return await call_of(session=session)

    assert isinstance(await run(), Served)
    assert world.upstreams[0].calls == [first, second]
    assert chosen(world, session) == second
    others = [hash_of(f"o{n}") for n in range(200)]
    kept = World([ok], labels=LABELS)
    for other in others:
        if chosen(kept, other) != first:
            assert chosen(world, other) == chosen(kept, other)
