"""The attempt loop, with scripted upstreams, a clock that is told, and dice that are passed in."""

import asyncio

import pytest

from failover.engine.attempts import Served
from failover.engine.outcome import Ending, Failed
from failover.engine.policy import Backoff, FailoverPolicy, RetryFirst
from providers.adapters.spec import ModelFacts
from providers.errors import BadFraming, ConnectFailed, ConnectionReset, Fault, UpstreamTimedOut
from tests.support.builders import (
    FakeResponse,
    bench_entry,
    candidate,
    planned,
)
from tests.support.engine import DONE, EVENT, FINISH, OK, ROLE, SSE, World, events, ok, status

pytestmark = pytest.mark.pure


FAILURES = {
    "500": lambda: status(500),
    "429": lambda: status(429),
    "401": lambda: status(401),
    "403": lambda: status(403),
    "404 model": lambda: status(404, b'{"error":{"code":"model_not_found","message":"no model"}}'),
    "302": lambda: status(302),
    "connect": lambda: ConnectFailed("refused"),
    "reset": lambda: ConnectionReset("reset"),
    "timeout": lambda: UpstreamTimedOut("late"),
    "framing": lambda: BadFraming("no HTTP"),
    "html": lambda: FakeResponse(pieces=[b"<html>"], headers=[(b"content-type", b"text/html")]),
    "empty": lambda: FakeResponse(pieces=[]),
    "truncated": lambda: FakeResponse(pieces=[OK[:30]]),
    "error in 200": lambda: FakeResponse(pieces=[b'{"error":{"message":"boom"}}']),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_the_second_candidate_answers_after_any_failure_of_the_first(what):
    world = World([FAILURES[what]], [ok])
    served = await world.run()
    assert isinstance(served, Served)
    assert served.first == OK
    assert served.candidate is world.candidates[1]
    assert [a.candidate.name for a in served.attempts] == ["p0/m", "p1/m"]


STREAM_FAILURES = {
    "no event": events,
    "only a role": lambda: events(ROLE),
    "comments": lambda: events(b": ping\n\n", b": ping\n\n"),
    "error first": lambda: events(b'data: {"error":{"message":"boom"}}\n\n'),
    "not JSON": lambda: events(b"data: {nope\n\n"),
    "reset": lambda: events(ROLE, ConnectionReset("cut")),
    "late": lambda: events(ROLE, UpstreamTimedOut("late")),
    "html": lambda: FakeResponse(pieces=[b"<html>"], headers=[(b"content-type", b"text/html")]),
}


@pytest.mark.parametrize("what", STREAM_FAILURES)
async def test_a_stream_that_fails_before_content_is_replaced_whole(what):
    world = World([STREAM_FAILURES[what]], [lambda: events(ROLE, EVENT % b"hi", FINISH, DONE)])
    served = await world.run(stream=True)
    assert served.first == ROLE + EVENT % b"hi"
    rest = b""
    while not served.stream.ended:
        rest += await served.stream.next()
    await served.stream.close()
    assert rest == FINISH + DONE


async def test_lifecycle_events_are_held_until_the_first_content():
    world = World([lambda: events(ROLE, b": wait\n\n", EVENT % b"a", FINISH, DONE)])
    served = await world.run(stream=True)
    assert served.first == ROLE + EVENT % b"a"


async def _after_content(*pieces):
    world = World([lambda: events(EVENT % b"a", *pieces)], [ok])
    served = await world.run(stream=True)
    text = served.first
    while not served.stream.ended:
        text += await served.stream.next()
    await served.stream.close()
    return world, served, text


broken_off = pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((ConnectionReset("cut"),), id="reset"),
        pytest.param((UpstreamTimedOut("stalled"),), id="stall"),
        pytest.param((b'data: {"error":{"message":"boom"}}\n\n',), id="error event"),
        pytest.param((b"data: {nope\n\n",), id="bad event"),
        pytest.param((DONE,), id="no finish"),
        pytest.param((), id="clean cut"),
    ],
)


@broken_off
async def test_a_break_after_content_ends_in_an_error_event_and_never_in_done(pieces):
    world, served, text = await _after_content(*pieces)
    assert text.startswith(EVENT % b"a")
    last = text.rstrip().rsplit(b"\n\n", 1)[-1]
    assert b'"code":"stream_interrupted"' in last
    assert DONE not in text  # an SDK stops reading there, and would never see the error
    assert served.stream.failure.fault is Fault.INTERRUPTED
    assert world.calls == [1, 0]


async def test_a_whole_stream_says_no_failure_and_keeps_its_usage():
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    _, served, text = await _after_content(FINISH, usage, DONE)
    assert served.stream.failure is None
    assert served.stream.usage.output_tokens == 4
    assert text == EVENT % b"a" + FINISH + DONE


@pytest.mark.parametrize("code", [400, 409, 413, 422])
async def test_a_caller_error_of_the_first_candidate_reaches_nobody_else(code):
    words = b'{"error":{"message":"your temperature is odd","type":"invalid_request_error"}}'
    world = World([lambda: status(code, words)], [ok])
    failed = await world.run()
    assert isinstance(failed, Failed)
    assert failed.ending is Ending.CALLER
    assert (failed.failure.status, failed.failure.body) == (code, words)
    assert world.calls == [1, 0]
    assert world.benches.is_empty


async def test_a_caller_error_after_anothers_failure_counts_as_a_failure():
    world = World([lambda: status(500)], [lambda: status(400)], [ok])
    served = await world.run()
    assert served.candidate is world.candidates[2]


async def test_a_thousand_caller_errors_bench_nobody():
    world = World([lambda: status(400)])
    for _ in range(1000):
        await world.run()
    assert world.benches.is_empty


async def test_a_context_too_small_goes_only_to_larger_or_unknown_windows():
    too_long = b'{"error":{"code":"context_length_exceeded","message":"too long"}}'
    world = World([lambda: status(400, too_long)], [ok], [ok])
    windows = zip(world.candidates, (1000, 500, None), strict=True)
    world.plan = planned(
        *(
            candidate(c.name, upstream=c.upstream, facts=ModelFacts(context_window=window))
            for c, window in windows
        )
    )
    served = await world.run()
    assert served.candidate.name == "p2/m"
    assert world.calls == [1, 0, 1]


async def test_a_context_too_small_everywhere_goes_back_in_the_upstreams_words():
    too_long = b'{"error":{"code":"context_length_exceeded","message":"too long"}}'
    world = World([lambda: status(400, too_long)], [lambda: status(400, too_long)])
    failed = await world.run()
    assert failed.ending is Ending.CALLER
    assert failed.failure.body == too_long


async def test_a_refused_key_is_rotated_and_only_that_key_is_benched():
    world = World([lambda: status(401), ok], labels=("a", "b"))
    served = await world.run()
    assert world.upstreams[0].calls == ["a", "b"]
    assert isinstance(served, Served)
    assert [(e.subject, e.credential) for e in world.benches.entries(world.clock.now)] == [
        ("p0/*", "a")
    ]


async def test_a_benched_key_is_not_used_by_the_next_request():
    world = World([lambda: status(401), ok], labels=("a", "b"))
    await world.run()
    await world.run()
    assert world.upstreams[0].calls == ["a", "b", "b"]


async def test_a_candidate_is_given_one_other_key_and_no_more():
    world = World(
        [lambda: status(401)], [ok], labels=("a", "b", "c"), policy=FailoverPolicy(max_attempts=5)
    )
    await world.run()
    assert world.calls == [2, 1]


async def test_all_attempts_together_stay_within_max_attempts():
    world = World(*([[lambda: status(503)]] * 5), policy=FailoverPolicy(max_attempts=3))
    failed = await world.run()
    assert world.calls == [1, 1, 1, 0, 0]
    assert failed.ending is Ending.UPSTREAM_FAILED
    assert len(failed.attempts) == 3


async def test_a_lone_candidate_is_called_again_after_full_jitter_backoff():
    world = World([lambda: status(500), ok], policy=FailoverPolicy(backoff=Backoff(base_ms=400)))
    assert isinstance(await world.run(), Served)
    assert len(world.clock.slept) == 1
    assert 0 <= world.clock.slept[0] <= 0.4


async def test_a_lone_rate_limited_candidate_is_called_again_after_a_short_stated_wait():
    limited = lambda: status(429, b"{}", (b"retry-after", b"1.5"))  # noqa: E731
    world = World([limited, ok])
    assert isinstance(await world.run(), Served)
    assert world.clock.slept == [1.5]


async def test_a_lone_rate_limited_candidate_is_not_waited_for_longer_than_two_seconds():
    world = World([lambda: status(429, b"{}", (b"retry-after", b"3"))])
    failed = await world.run()
    assert failed.ending is Ending.RATE_LIMITED
    assert world.clock.slept == []


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (lambda: status(429), Ending.RATE_LIMITED),
        (lambda: status(429, b'{"error":{"code":"insufficient_quota"}}'), Ending.OUT_OF_QUOTA),
        (lambda: status(529), Ending.OVERLOADED),
        (lambda: status(500), Ending.UPSTREAM_FAILED),
        (lambda: status(401), Ending.UPSTREAM_FAILED),
    ],
)
async def test_the_ending_says_what_all_attempts_had_in_common(answer, ending):
    failed = await World([answer], [answer]).run()
    assert failed.ending is ending


@pytest.mark.parametrize("early_s", [0, 0.002])
async def test_the_requests_own_deadline_is_a_timeout_that_benches_nobody(early_s):
    """Though the transport's timer may end the wait a moment before."""
    world = World([UpstreamTimedOut("late")], [ok])

    async def run_out(*args, **kwargs):
        world.clock.now += 5 - early_s
        raise UpstreamTimedOut("late")

    world.upstreams[0].send = run_out
    for _ in range(4):
        failed = await world.run(deadline_s=5)
        assert failed.ending is Ending.TIMED_OUT
    assert world.benches.is_empty
    assert world.calls == [0, 0]


async def test_a_timeout_is_not_followed_by_another_candidate_where_the_policy_says_so():
    world = World([UpstreamTimedOut("late")], [ok], policy=FailoverPolicy(retry_on_timeouts=False))
    failed = await world.run()
    assert failed.ending is Ending.UPSTREAM_FAILED
    assert world.calls == [1, 0]


TOO_LARGE = (
    b'{"error":{"message":"Request too large for m on tokens per min (TPM): Limit 30000,'
    b' Requested 45000.","type":"tokens","code":"rate_limit_exceeded"}}'
)


async def test_a_request_above_a_limit_goes_only_to_larger_windows_and_benches_nobody():
    script = [lambda: status(429, TOO_LARGE)]
    world = World(script, script, [ok])
    windows = (8000, 8000, 16000)
    world.plan = planned(
        *(
            candidate(f"p{i}/m", upstream=upstream, facts=ModelFacts(context_window=windows[i]))
            for i, upstream in enumerate(world.upstreams)
        )
    )
    for _ in range(4):
        assert isinstance(await world.run(), Served)
    assert world.calls == [4, 0, 4]
    assert world.benches.is_empty


async def test_three_failures_bench_the_candidate_and_not_its_provider():
    world = World([lambda: status(500)], [ok])
    for _ in range(3):
        await world.run()
    assert [e.subject for e in world.benches.entries(world.clock.now)] == ["p0/m"]


def meanwhile(world, happens):
    """Have the first candidate fail, and something happen until it has."""

    def answer():
        happens()
        return status(500)

    world.upstreams[0].script = [answer]


def sit_out(world, name, seconds=60):
    entry = bench_entry(name, until=world.clock.wall() + seconds)
    world.benches.merge([entry], world.clock.now)


async def test_whoever_was_benched_meanwhile_has_its_turn_after_the_others():
    world = World([ok], [ok], [ok])
    meanwhile(world, lambda: sit_out(world, "p1/m"))
    served = await world.run()
    assert [a.candidate.name for a in served.attempts] == ["p0/m", "p2/m"]


async def test_whoever_another_request_tries_meanwhile_has_its_turn_after_the_others():
    world = World([ok], [ok], [ok])
    sit_out(world, "p1/m", seconds=0)
    meanwhile(world, lambda: world.benches.begin([("p1/m", None)], world.clock.now))
    served = await world.run()
    assert [a.candidate.name for a in served.attempts] == ["p0/m", "p2/m"]


async def test_whoever_was_benched_meanwhile_is_tried_when_nobody_else_is_left():
    world = World([ok], [ok])
    meanwhile(world, lambda: sit_out(world, "p1/m"))
    served = await world.run()
    assert [a.candidate.name for a in served.attempts] == ["p0/m", "p1/m"]


async def test_an_ad_hoc_candidate_leaves_no_state_behind():
    world = World([lambda: status(401)], is_known=False)
    for _ in range(5):
        await world.run()
    assert world.benches.is_empty


async def test_a_caller_who_goes_away_benches_nobody_and_closes_the_upstream():
    world = World([ok])
    response = FakeResponse(headers=SSE)
    forever = asyncio.Event()

    async def read(deadline):
        await forever.wait()

    response.read = read
    world.upstreams[0].script = [response]
    task = asyncio.create_task(world.run(stream=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert response.closed
    assert world.benches.is_empty


async def test_a_stream_that_the_caller_leaves_benches_nobody():
    world = World([lambda: events(EVENT % b"a", EVENT % b"b", FINISH, DONE)])
    for _ in range(5):
        served = await world.run(stream=True)
        await served.stream.close()
    assert world.benches.is_empty


async def test_a_refused_usage_field_is_dropped_the_call_repeated_and_the_fact_remembered():
    refusal = (
        b'{"error":{"message":"Unknown field: stream_options","type":"invalid_request_error"}}'
    )
    good = lambda: events(EVENT % b"a", FINISH, DONE)  # noqa: E731
    world = World([lambda: status(400, refusal), good, good])
    served = await world.run(stream=True)
    assert len(served.attempts) == 1
    await world.run(stream=True)
    sent = [b"stream_options" in body for body in world.upstreams[0].bodies]
    assert sent == [True, False, False]


async def test_a_refusal_by_a_model_that_a_caller_made_up_is_not_remembered():
    refusal = b'{"error":{"message":"Unknown: stream_options","type":"invalid_request_error"}}'
    good = lambda: events(EVENT % b"a", FINISH, DONE)  # noqa: E731
    refused = lambda: status(400, refusal)  # noqa: E731
    world = World([refused, good, refused, good], is_known=False)
    for _ in range(2):
        await world.run(stream=True)
    sent = [b"stream_options" in body for body in world.upstreams[0].bodies]
    assert sent == [True, False, True, False]


async def test_the_same_candidate_is_not_retried_once_its_retry_bucket_is_empty():
    world = World([lambda: status(500)], policy=FailoverPolicy(), bench=None)
    world.plan = planned(candidate("p0/m", upstream=world.upstreams[0], is_known=False))
    for _ in range(50):
        await world.run()
    assert world.calls == [50 + 500 // 14]


# The gate that holds a stream until it is whole


@broken_off
async def test_a_held_stream_that_breaks_in_its_middle_fails_over_unseen(pieces):
    sound = [EVENT % b"x", EVENT % b"y", FINISH, DONE]
    world = World([lambda: events(EVENT % b"a", *pieces)], [lambda: events(*sound)])

    served = await world.run(stream=True, holds_whole=True)

    assert served.first == b"".join(sound)
    assert served.stream.ended
    assert served.stream.failure is None
    assert world.calls == [1, 1]
    assert served.attempts[0].failure.fault is not Fault.INTERRUPTED  # nothing had been sent


async def test_a_held_stream_without_its_terminator_is_whole():
    world = World([lambda: events(EVENT % b"a", FINISH)], [ok])

    served = await world.run(stream=True, holds_whole=True)

    assert served.first == EVENT % b"a" + FINISH + DONE
    assert world.calls == [1, 0]


async def test_a_held_stream_goes_out_past_8_mib_and_ends_as_any_other():
    large = EVENT % (b"a" * (1 << 20))
    world = World([lambda: events(*[large] * 9, ConnectionReset("cut"))], [ok])

    served = await world.run(stream=True, holds_whole=True)

    assert served.first == large * 8
    assert await served.stream.next() == large
    assert b"stream_interrupted" in await served.stream.next()
    assert world.calls == [1, 0]


async def test_at_the_requests_deadline_a_held_stream_goes_out_as_far_as_it_has_come():
    class Slow(FakeResponse):
        async def read(self, deadline):
            piece = await super().read(deadline)
            world.clock.now += 7
            return piece

    answer = Slow(pieces=[EVENT % b"a", EVENT % b"b", EVENT % b"c", FINISH, DONE], headers=SSE)
    world = World([answer], [ok])

    served = await world.run(stream=True, holds_whole=True, deadline_s=10)

    assert served.first == EVENT % b"a" + EVENT % b"b"
    assert not served.stream.ended
    assert await served.stream.next() == EVENT % b"c"


# Retry first


def once(**rule):
    policy = {"max_attempts": rule.pop("max_attempts", 3)}
    return FailoverPolicy(
        **policy, retry_first=RetryFirst(**{"times": 1, **rule}), backoff=Backoff(base_ms=2000)
    )


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_with_retry_first_the_same_is_asked_again_before_the_next(code):
    world = World([lambda: status(code), ok], [ok], policy=once())
    served = await world.run()
    assert [a.candidate.name for a in served.attempts] == ["p0/m", "p0/m"]
    assert world.clock.slept[0] <= 2


async def test_without_retry_first_the_next_is_called_at_once():
    world = World([lambda: status(503), ok], [ok])
    await world.run()
    assert (world.calls, world.clock.slept) == ([1, 1], [])


async def test_retry_first_waits_for_as_long_as_the_provider_says():
    stated = (b"retry-after", b"1.5")
    world = World([lambda: status(503, b"{}", stated), ok], [ok], policy=once())
    await world.run()
    assert (world.calls, world.clock.slept) == ([2, 0], [1.5])


async def test_a_wait_above_max_wait_s_is_not_worth_it():
    stated = (b"retry-after", b"3")
    world = World([lambda: status(503, b"{}", stated), ok], [ok], policy=once())
    await world.run()
    assert (world.calls, world.clock.slept) == ([1, 1], [])


async def test_a_wait_beyond_the_deadline_is_not_worth_it():
    stated = (b"retry-after", b"2")
    world = World([lambda: status(503, b"{}", stated), ok], [ok], policy=once())
    await world.run(deadline_s=1.5)
    assert (world.calls, world.clock.slept) == ([1, 1], [])


async def test_retry_first_asks_so_often_and_then_the_next():
    world = World([lambda: status(500)], [ok], policy=once(times=2, max_attempts=5))
    await world.run()
    assert world.calls == [3, 1]


async def test_retry_first_leaves_the_last_call_to_the_next():
    world = World([lambda: status(500)], [ok], policy=once(max_attempts=2))
    await world.run()
    assert world.calls == [1, 1]


@pytest.mark.parametrize(
    "failure",
    [
        lambda: UpstreamTimedOut("late"),
        lambda: ConnectionReset("reset"),
        lambda: status(401),
        lambda: status(429, b'{"error":{"message":"x","code":"insufficient_quota"}}'),
        lambda: status(529),
        lambda: FakeResponse(pieces=[]),
    ],
    ids=["timeout", "reset", "401", "quota", "unlisted", "empty"],
)
async def test_retry_first_is_for_its_statuses_and_never_for_timeouts(failure):
    world = World([failure, ok], [ok], policy=once())
    await world.run()
    assert world.calls == [1, 1]


async def test_another_credential_comes_before_retry_first():
    world = World([lambda: status(429), ok], [ok], labels=("main", "spare"), policy=once())
    await world.run()
    assert world.upstreams[0].calls == ["main", "spare"]
    assert world.clock.slept == []


async def test_retry_first_draws_from_the_retry_bucket():
    world = World([lambda: status(500)], [ok], policy=once(statuses=(500,)))
    world.plan = planned(
        *(candidate(f"p{i}/m", upstream=u, is_known=False) for i, u in enumerate(world.upstreams)),
        policy=once(),
    )
    for _ in range(50):
        await world.run()
    assert world.calls == [50 + 500 // 14, 50]
