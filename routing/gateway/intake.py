"""
The first part of an inference request's way: what it may take before and while its body comes.

A body that is not whole when its head is read is a slow one, or a large one. Its key's place and
rate are taken first, so that nobody can keep more of them open than he may have requests; it is
no request in flight until it is whole. All bodies that are not small are held against a bound of
bytes, for all and for each key. What takes long to read is read beside the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

from failover.engine.calls import Apart, Call
from failover.engine.plan import Fitting, Untold, Why
from providers.protocols import Request
from providers.protocols.slices import apart
from routing.gateway.admission import Admission, overloaded
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Unknown
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.table import Table
from routing.gateway.errors import GatewayError, NoCandidate, Refused
from routing.gateway.ingress import Headers, Receive, body_of, given_id, new_id, read_body
from routing.gateway.keylimits.allowances import KeyLimits
from routing.gateway.keylimits.turns import BodyTurns
from routing.gateway.limits import GatewayLimits
from routing.gateway.records.record import OWN_PREFIX
from routing.gateway.records.trail import Trail
from routing.gateway.routes import Route
from routing.gateway.telemetry.metrics import Meter
from routing.gateway.telemetry.promtext import KEY_LIMITED

SMALL: Final = 64 << 10  # whole and up to here, a body is not held against anything
LEAST: Final = 16 << 10  # what an unfinished body counts, however short it is said to be
TURN_S: Final = 30.0
QUICK: Final = 2 << 20  # what is longer waits for its like, not before the others
SLOW_TO_TELL: Final = 64 << 10  # from here on another protocol's words are found apart
NEWS_S: Final = (0.03, 0.07, 0.15)  # until word has come from other workers, then from other hosts
BODIES: Final = "bodies"  # the limit's name in metrics


class Intake:
    """
    Takes in the bodies of one worker's requests. `held_bytes` of them are there, and `reading` is
    how many are not whole yet.
    """

    def __init__(
        self,
        limits: GatewayLimits,
        admission: Admission,
        key_limits: KeyLimits,
        meter: Meter,
    ) -> None:
        self.held_bytes = 0
        self.reading = 0
        self._most, self._most_a_key = limits.bodies_mib << 20, limits.key_bodies_mib << 20
        self._admission = admission
        self._key_limits = key_limits
        self._meter = meter
        self._by_key: dict[bytes, int] = {}
        self._turns = BodyTurns(self._most_a_key // 2)
        # One thread each: more would only wait for each other.
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="long-bodies")

    async def read(self, receive: Receive, headers: Headers, key: Key, trail: Trail) -> bytes:
        """
        A body that is not whole yet. Raises GatewayError where there is no room for it, or Hangup.
        """
        self.hold(key, trail, max(int(headers.get(b"content-length", b"0")), LEAST))
        if self._admission.in_flight >= self._admission.limit:
            await self._admission.queue()
            self._admission.leave()  # it is taken again when the body is here
        if key.is_limited:
            await self.count_against(key, trail, 0)
        self.reading += 1
        try:
            body = await read_body(receive, partial(self._grow, key, trail))
        finally:
            self.reading -= 1
        if len(body) > QUICK:
            await self._take_turn(key, trail, len(body))
        return body

    async def _take_turn(self, key: Key, trail: Trail, size: int) -> None:
        """
        Wait until few enough bytes of the key are on their way: what is read and written of a body
        takes three times its size. Raises Refused (429) after TURN_S.
        """
        try:
            await self._turns.take(key.spec.digest, size, wait_s=TURN_S)
        except TimeoutError:
            self._meter.add(KEY_LIMITED, BODIES)
            raise _too_much(key, self._most_a_key) from None
        trail.turn = size

    def let_next(self, trail: Trail) -> None:
        """Its provider has answered, or it has ended: its key's next one may go."""
        size, trail.turn = trail.turn, 0
        if size and trail.key is not None:
            self._turns.give_back(trail.key.spec.digest, size)

    async def count_against(
        self, key: Key, trail: Trail, wanted: int, table: Table | None = None
    ) -> None:
        """
        Count the request against its key, or more of it. Raises Refused (429).

        With the `table` a refused one's record tells which pool it was for.
        """
        if trail.allowance is None:
            trail.allowance = await self._key_limits.admit(key.spec, wanted)
        else:
            await self._key_limits.add(trail.allowance, wanted)
        if trail.allowance.refusal is not None:
            if table is not None:
                meant = resolve(table, trail.requested)
                if not isinstance(meant, Unknown):
                    trail.canonical_model = meant.canonical_model
            raise trail.allowance.refusal

    def hold(self, key: Key, trail: Trail, size: int) -> None:
        """Hold `size` bytes more for the request. Raises GatewayError where that is too much."""
        digest = key.spec.digest
        of_key = self._by_key.get(digest, 0)
        # Whoever holds nothing may have one body, so that none is refused for ever.
        if of_key > trail.held_bytes and of_key + size > self._most_a_key:
            self._meter.add(KEY_LIMITED, BODIES)
            raise _too_much(key, self._most_a_key)
        if self.held_bytes > trail.held_bytes and self.held_bytes + size > self._most:
            self._admission.shed += 1
            raise overloaded(f"{self._most >> 20} MiB of request bodies")
        self.held_bytes += size
        self._by_key[digest] = of_key + size
        trail.held_bytes += size

    def release(self, trail: Trail) -> None:
        """The request has ended: its body is let go."""
        self.let_next(trail)
        key, size = trail.key, trail.held_bytes
        if key is None or not size:
            return
        trail.held_bytes = 0
        self.held_bytes -= size
        left = self._by_key.get(key.spec.digest, 0) - size
        if left > 0:
            self._by_key[key.spec.digest] = left
        else:
            self._by_key.pop(key.spec.digest, None)

    async def parse_long(self, route: Route, body: bytes, target: str) -> Request:
        """The request in a long body, with all that is asked of it later. Raises ProtocolError."""
        request: Request = await self.apart(body)(partial(_parsed, route, body, target))
        return request

    def apart(self, body: bytes) -> Apart:
        """What does work for the request of `body` beside the event loop, in its turn."""
        return self.quickly if len(body) <= QUICK else self.slowly

    async def quickly(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._quick, apart, work)

    async def slowly(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._slow, apart, work)

    async def decided(self, decide: Callable[[], Call], fitting: Fitting, body: bytes) -> Call:
        """What `decide` says, where to tell the request in another protocol takes long."""
        apart = self.apart(body)
        while True:
            try:
                call = decide()
                break
            except Untold as untold:
                await apart(untold.tell)
        steps = call.plan.steps[: call.plan.policy.max_attempts]
        await apart(partial(fitting.tell_all, steps))
        return call

    def close(self) -> None:
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)

    def _grow(self, key: Key, trail: Trail, size: int) -> None:
        """`size` bytes are here: more than was said at first, where nobody said how many."""
        if size > trail.held_bytes:
            self.hold(key, trail, max(size - trail.held_bytes, SMALL))


async def once_heard(error: NoCandidate, decide: Callable[[], Call]) -> Call:
    """
    What `decide` says a moment later, where it did not know by whom an id is kept.

    Callers that go on at once, by another worker or host, may be there before the word of it.
    Raises `error` for whatever else.
    """
    if error.nobody is None or error.nobody.why is not Why.UNKNOWN_STATE:
        raise error
    for wait_s in NEWS_S[:-1]:
        await asyncio.sleep(wait_s)
        with suppress(NoCandidate):
            return decide()
    await asyncio.sleep(NEWS_S[-1])
    return decide()


def begin(route: Route, headers: Headers) -> Trail:
    """The trail of a request that has just come."""
    given = given_id(headers)
    trail = Trail(given or new_id(), time.monotonic())
    if given is not None:
        trail.is_named, trail.record_id = True, new_id()[len(OWN_PREFIX) :].decode()
    trail.endpoint, trail.protocol = route.endpoint, route.protocol.name
    return trail


def _parsed(route: Route, body: bytes, target: str) -> Request:
    request = route.protocol.parse(body_of(route, body), target)
    request.is_long = True
    for name in ("needs", "estimated_input_tokens"):
        getattr(request, name)  # they are found once and kept
    return request


def _too_much(key: Key, most: int) -> GatewayError:
    return Refused(
        429,
        f"Rate limit reached for key {key.spec.name!r}: {most >> 20} MiB of request bodies at once "
        "(key_bodies_mib). Please try again in 1s.",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        returns_in_s=1,
    )
