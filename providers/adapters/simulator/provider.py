"""
A provider inside this process, which answers something helpful and fails on demand.

It needs no account, and lets an operator see a failover, a bench and a broken stream before a real
provider shows them one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from providers.adapters.simulator.faults import SimulatedFault
from providers.adapters.simulator.scripts import SCRIPTS, Script, error
from providers.errors import ConnectionReset, UpstreamTimedOut
from providers.transport import Response

_LONGEST_S = 86_400  # uvloop takes no infinite timers
_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")
# So that a simulated status reads like a real one: type and code.
_ERRORS: Final = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    529: ("overloaded_error", None),
}

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


class SimulatedResponse(Response):
    """A reply that comes from a script instead of a socket."""

    __slots__ = ("_closed", "_ending", "_gap_s", "_pieces", "_simulator", "_wait_s")

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

    async def answer(self, protocol: str, body: bytes, deadline: float) -> Response:
        """The reply to one call; raises ProviderError as a real one would."""
        fault = self.fault.rolled(self._rng) if self.fault is not None else None
        request = msgspec.json.decode(body)
        kind = fault.kind if fault else ""
        if kind == "stall":
            await self.wait(float("inf"), deadline)
        if fault is not None and kind == "status":
            return self._refusal(fault)
        script = SCRIPTS[protocol]
        if request.get("stream") is True and script.streams:
            return self._stream(script, request, fault)
        reply = msgspec.json.encode(script.reply(self.name, request))
        if kind == "empty":
            reply = b""
        elif kind == "error_event":
            reply = error("server_error", None, "simulated error in a reply")
        elif kind == "clean_cut":
            reply = reply[: len(reply) // 2]
        elif fault is not None and kind == "slow":
            await self.wait(fault.ttft_ms / 1000, deadline)
        return SimulatedResponse(
            self, 200, [_JSON], [reply] if reply else [], ending="cut" if kind == "cut" else "clean"
        )

    def _refusal(self, fault: SimulatedFault) -> Response:
        headers = [_JSON]
        if fault.retry_after_s is not None:
            headers.append((b"retry-after", f"{fault.retry_after_s:g}".encode()))
        type_, code = _ERRORS.get(fault.status, ("server_error", None))
        about = "The model does not exist: " if fault.status == 404 else ""
        body = error(type_, code, f"{about}simulated status {fault.status} of {self.name}")
        return SimulatedResponse(self, fault.status, headers, [body])

    def _stream(
        self, script: Script, request: dict[str, Any], fault: SimulatedFault | None
    ) -> Response:
        opening, contents, closing = script.events(self.name, request)
        kind = fault.kind if fault else ""
        after = fault.after if fault else 0
        ending = "clean"
        if kind == "empty":
            pieces = []
        elif kind in ("cut", "clean_cut"):
            pieces = [*opening, *contents[:after]]
            ending = "cut" if kind == "cut" else "clean"
        elif kind == "error_event":
            told = script.error_event(self.name)
            pieces = [*(opening if after else ()), *contents[:after], told]
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
