"""
A provider inside this process, which answers something helpful and fails on demand.

It needs no account, and lets an operator see a failover, a bench and a broken stream before a real
provider shows them one.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from providers.adapters.simulator.faults import SimulatedFault
from providers.adapters.simulator.scripts import SCRIPTS, Ask, Script
from providers.errors import ConnectionReset, ProtocolError, UpstreamTimedOut
from providers.protocols import bodies, slices
from providers.transport import Response

_LONGEST_S = 86_400  # uvloop takes no infinite timers
_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]
# One after the other, so that no more than one long body is there as values.
_LONG_BODIES: Final = ThreadPoolExecutor(1, thread_name_prefix="simulator")


class SimulatedResponse(Response):
    """A reply that comes from a script instead of a socket."""

    __slots__ = ("_closed", "_ending", "_gap_s", "_pieces", "_simulator", "_wait_s")
    flows = False

    def __init__(
        self,
        simulator: Simulator,
        status: int,
        headers: list[tuple[bytes, bytes]],
        pieces: list[bytes],
        *,
        ending: str = "clean",
        ttft_s: float = 0,
        gap_s: float = 0,
    ) -> None:
        # No connection: everything that the base class does with one is replaced below.
        self.status = status
        self.headers = headers
        self._simulator = simulator
        self._pieces = pieces[::-1]
        self._ending = ending
        self._wait_s = ttft_s
        self._gap_s = gap_s
        self._closed = False

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def read(self, deadline: float) -> bytes:
        if self._closed:
            raise ConnectionReset("the response is closed")
        await self._simulator.wait(self._wait_s, deadline)
        self._wait_s = self._gap_s
        if self._pieces:
            return self._pieces.pop()
        if self._ending == "cut":
            raise ConnectionReset("simulated: the connection was reset")
        return b""

    async def read_all(self, deadline: float) -> bytes:
        pieces = []
        while piece := await self.read(deadline):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._closed = True
        self._pieces.clear()


class Simulator:
    """Answers the protocols that it knows, or fails as `fault` says. `clock` is the loop's."""

    def __init__(
        self,
        name: str,
        fault: SimulatedFault | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.fault = fault
        self._sleep = sleep
        self._rng = rng
        self._clock = clock

    async def wait(self, seconds: float, deadline: float) -> None:
        """Sleep. Raises UpstreamTimedOut once the deadline has passed."""
        if seconds <= 0:
            return
        now = self._clock() if self._clock else asyncio.get_running_loop().time()
        if now + seconds > deadline:
            await self._sleep(min(max(0.0, deadline - now), _LONGEST_S))
            raise UpstreamTimedOut("simulated: nothing came in time")
        await self._sleep(seconds)

    async def answer(self, protocol: str, body: bytes, deadline: float, path: str = "") -> Response:
        """
        The reply to one call; raises ProviderError as a real one would.

        `path` is the request's own, where its protocol says something by it.
        """
        fault = self.fault.rolled(self._rng) if self.fault is not None else None
        script, kind = SCRIPTS[protocol], fault.kind if fault is not None else ""
        if kind == "stall":
            await self.wait(float("inf"), deadline)
        if fault is not None and kind == "status":
            return self._refusal(script, fault)
        work = partial(self._answered, script, body, path, fault)
        try:
            if len(body) <= slices.LONG:
                answered = work()
            else:
                loop = asyncio.get_running_loop()
                answered = await loop.run_in_executor(_LONG_BODIES, slices.apart, work)
        except (ValueError, RecursionError, ProtocolError) as error:
            # A number beyond all ranges, say: ingress reads what routing needs, and no more.
            refusal = script.error(400, f"the body cannot be read: {error}")
            return SimulatedResponse(self, 400, [_JSON], [refusal])
        if fault is not None and kind == "slow" and _JSON in answered.headers:
            await self.wait(fault.ttft_ms / 1000, deadline)  # a stream's reader waits
        return answered

    def _answered(
        self, script: Script, body: bytes, path: str, fault: SimulatedFault | None
    ) -> Response:
        """What is said to a body, which is read for it and let go."""
        told = slices.decode(body) if slices.is_apart() else bodies.decode(body)
        call = hashlib.sha256(f"{self.name}\n{path}\n".encode())
        call.update(body)
        ask = Ask(self.name, told, path, call.hexdigest()[:24])
        if script.is_stream(ask):
            return self._stream(script, ask, fault)
        return self._whole(script, ask, fault)

    def _refusal(self, script: Script, fault: SimulatedFault) -> Response:
        headers = [_JSON]
        if fault.retry_after_s is not None:
            headers.append((b"retry-after", f"{fault.retry_after_s:g}".encode()))
        words = f"simulated status {fault.status} of {self.name}"
        body = script.error(fault.status, words, fault.retry_after_s)
        return SimulatedResponse(self, fault.status, headers, [body])

    def _whole(self, script: Script, ask: Ask, fault: SimulatedFault | None) -> Response:
        reply = bodies.encode_whole(script.reply(ask))
        kind = fault.kind if fault else ""
        if kind == "empty":
            reply = b""
        elif kind == "error_event":
            reply = script.error(500, "simulated error in a reply")
        elif kind == "clean_cut":
            reply = reply[: len(reply) // 2]
        return SimulatedResponse(
            self,
            200,
            [_JSON],
            [reply] if reply else [],
            ending="cut" if kind == "cut" else "clean",
        )

    def _stream(self, script: Script, ask: Ask, fault: SimulatedFault | None) -> Response:
        opening, contents, closing = script.events(ask)
        kind = fault.kind if fault else ""
        after = fault.after if fault else 0
        ending = "clean"
        if kind == "empty":
            pieces = []
        elif kind in ("cut", "clean_cut"):
            pieces = [*opening, *contents[:after]]
            ending = "cut" if kind == "cut" else "clean"
        elif kind == "error_event":
            pieces = [*(opening if after else ()), *contents[:after]]
            pieces.append(script.error_event(self.name, len(pieces)))
        else:
            pieces = [*opening, *contents, *closing]
        return SimulatedResponse(
            self,
            200,
            [_EVENTS],
            pieces,
            ending=ending,
            ttft_s=fault.ttft_ms / 1000 if fault else 0,
            gap_s=fault.gap_ms / 1000 if fault else 0,
        )
