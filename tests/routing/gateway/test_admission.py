"""How many requests are let in, who waits, and who is turned away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from routing.gateway.admission import Admission
from routing.gateway.errors import GatewayError
from routing.gateway.limits import GatewayLimits, limits_of

LONG = GatewayLimits(in_flight=1, waiting=3, wait_s=600)


def full(limits: GatewayLimits) -> Admission:
    """With every place taken."""
    admission = Admission(limits)
    admission.in_flight = admission.limit
    return admission


async def queued(admission: Admission, count: int) -> list[asyncio.Task[None]]:
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(admission.queue()))
        await asyncio.sleep(0)
    return tasks


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_waits_takes_the_place_of_who_leaves_in_their_order() -> None:
    admission = full(LONG)
    first, second = await queued(admission, 2)

    admission.leave()
    await settle()

    assert (first.done(), second.done()) == (True, False)
    assert admission.in_flight == 1
    admission.leave()
    await second
    admission.leave()
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_a_place_that_comes_with_the_end_of_the_wait_is_taken() -> None:
    loop = asyncio.get_running_loop()
    mistakes: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, told: mistakes.append(told))
    admission = full(GatewayLimits(in_flight=1, waiting=1, wait_s=0.02))
    loop.call_later(0.01, admission.leave)
    [waiting] = await queued(admission, 1)

    time.sleep(0.05)  # noqa: ASYNC251 - so that both come in one turn of the loop
    await waiting

    assert mistakes == []
    assert (admission.in_flight, admission.waiting, admission.shed) == (1, 0, 0)


async def test_when_the_first_has_waited_long_the_newest_goes_first() -> None:
    admission = full(LONG)
    first, second = await queued(admission, 2)
    since, place = admission._queue[0]
    admission._queue[0] = (since - 599, place)

    admission.leave()
    await settle()

    assert (first.done(), second.done()) == (False, True)
    admission.leave()
    await first


async def test_a_stream_that_flows_leaves_its_place_to_who_waits() -> None:
    admission = full(LONG)
    [waiting] = await queued(admission, 1)

    assert admission.begin_stream()

    await waiting
    assert (admission.in_flight, admission.streams) == (1, 1)
    admission.end_stream()
    admission.leave()
    assert (admission.in_flight, admission.streams) == (0, 0)


async def test_a_stream_beyond_the_bound_of_streams_keeps_its_place() -> None:
    admission = full(GatewayLimits(in_flight=2, streams=1))

    assert [admission.begin_stream(), admission.begin_stream()] == [True, False]

    assert (admission.in_flight, admission.streams) == (1, 1)


async def test_nobody_waits_where_the_queue_is_full() -> None:
    admission = full(LONG)
    waiting = await queued(admission, 3)

    with pytest.raises(GatewayError) as refusal:
        await admission.queue()

    assert refusal.value.status == 503
    assert refusal.value.code == "server_is_overloaded"
    assert refusal.value.should_retry
    assert (admission.waiting, admission.shed) == (3, 1)
    admission.refuse_all()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_nobody_waits_longer_than_allowed() -> None:
    admission = full(GatewayLimits(in_flight=1, waiting=1, wait_s=0.01))

    with pytest.raises(GatewayError):
        await admission.queue()

    assert (admission.in_flight, admission.waiting, admission.shed) == (1, 0, 1)


@pytest.mark.parametrize("was_granted", [False, True])
async def test_a_request_that_is_cancelled_while_it_waits_takes_no_place(was_granted: bool) -> None:
    admission = full(LONG)
    [waiting] = await queued(admission, 1)
    if was_granted:
        admission.leave()

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert admission.waiting == 0
    assert admission.in_flight == (0 if was_granted else 1)


async def test_a_place_goes_to_somebody_who_is_still_there() -> None:
    admission = full(LONG)
    cancelled, patient = await queued(admission, 2)

    cancelled.cancel()
    admission.leave()
    await asyncio.gather(cancelled, return_exceptions=True)
    await patient

    assert (admission.in_flight, admission.waiting) == (1, 0)


async def test_at_the_end_all_who_wait_are_told() -> None:
    admission = full(LONG)
    waiting = await queued(admission, 3)

    admission.refuse_all()

    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [GatewayError] * 3


@pytest.mark.pure
def test_limits_are_given_by_name() -> None:
    limits = limits_of(["in_flight=7", "wait_s=0.25", "waiting=0"])

    assert limits == GatewayLimits(in_flight=7, wait_s=0.25, waiting=0)
    assert limits_of(["streams=0"]).streams == 0
    assert limits_of([]) == GatewayLimits()


@pytest.mark.pure
@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("in_fligth=7", "'in_fligth' is no limit; there are in_flight, waiting, "),
        ("in_flight", "in_flight is ''; allowed is a whole number above 0"),
        ("in_flight=1.5", "in_flight is '1.5'; allowed is a whole number above 0"),
        ("in_flight=0", "in_flight is '0'; allowed is a whole number above 0"),
        ("head_s=-1", "head_s is '-1'; allowed is a number above 0"),
        ("head_s=inf", "head_s is 'inf'; allowed is a number above 0"),
        ("head_s=nan", "head_s is 'nan'; allowed is a number above 0"),
    ],
)
def test_a_limit_that_is_wrong_is_named(pair: str, says: str) -> None:
    with pytest.raises(ValueError) as error:
        limits_of([pair])

    assert str(error.value).startswith(says)
