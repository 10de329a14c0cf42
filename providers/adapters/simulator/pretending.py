"""
A provider that pretends a fault for one call: what an operator asks for to see a chain work.

`slow` delays the real provider's own answer, and in a stream `cut:3`, `clean_cut:3` and
`error_event:3` end it after so many events with content. All other faults are the simulator's
own words, and the provider is not called.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from providers.adapters.simulator.faults import SimulatedFault
from providers.adapters.simulator.provider import Simulator
from providers.adapters.simulator.scripts import SCRIPTS, Script
from providers.errors import ConnectionReset
from providers.protocols import Request, Scanner
from providers.transport import Response, Transport, unpacked

if TYPE_CHECKING:
    from providers.adapters.simulator.provider import Clock, Sleep
    from providers.adapters.upstream import Credential, Upstream

_EVENT: Final = re.compile(rb".*?\r?\n\r?\n", re.DOTALL)


class Pretence:
    """Stands in for `upstream` in calls that are to meet `fault`."""

    def __init__(
        self,
        upstream: Upstream,
        request: Request,
        fault: SimulatedFault,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Clock | None = None,
    ) -> None:
        self._upstream = upstream
        self._request = request
        self._fault = fault
        self._simulator = Simulator(upstream.name, fault, sleep=sleep, clock=clock)

    async def send(
        self,
        transport: Transport,
        *,
        protocol: str,
        credential: Credential,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        stream: bool,
        connect_s: float,
        deadline: float,
        path: str = "",
    ) -> Response:
        """Make one call, or act as if. Raises ProviderError."""
        fault = self._fault
        if fault.kind != "slow" and not (stream and fault.comes_late):
            return await self._simulator.answer(protocol, body, deadline, path)
        response = await self._upstream.send(
            transport,
            protocol=protocol,
            credential=credential,
            headers=headers,
            body=body,
            stream=stream,
            connect_s=connect_s,
            deadline=deadline,
            path=path,
        )
        if response.status != 200:
            return response
        scanner = self._request.scanner(self._upstream.judge) if stream else None
        script = SCRIPTS[protocol]
        return FaultyResponse(unpacked(response), self._simulator, fault, scanner, script)


class FaultyResponse(Response):
    """A provider's own answer, event by event, until the fault."""

    __slots__ = (
        "_events", "_fault", "_is_over", "_passed", "_pause_s", "_real", "_rest", "_scanner",
        "_script", "_sent", "_simulator",
    )  # fmt: skip
    flows = False

    def __init__(
        self,
        real: Response,
        simulator: Simulator,
        fault: SimulatedFault,
        scanner: Scanner | None,
        script: Script,
    ) -> None:
        # No connection of its own: everything that the base class does with one is replaced.
        self.status = real.status
        self.headers = real.headers
        self._real = real
        self._simulator = simulator
        self._fault = fault
        self._scanner = scanner
        self._script = script
        self._pause_s = fault.ttft_ms / 1000
        self._events: list[bytes] = []  # the next one last
        self._rest = b""  # of an event that has not ended yet
        self._passed = 0  # of those with content
        self._sent = 0
        self._is_over = False

    def header(self, name: bytes) -> bytes | None:
        # What is read here is unpacked already.
        return None if name == b"content-encoding" else self._real.header(name)

    async def read(self, deadline: float) -> bytes:
        if self._is_over:
            return b""
        await self._simulator.wait(self._pause_s, deadline)
        self._pause_s = self._fault.gap_ms / 1000
        while not self._events:
            data = await self._real.read(deadline)
            if not data:
                rest, self._rest = self._rest, b""
                return rest
            data = self._rest + data
            self._events = _EVENT.findall(data)[::-1]
            self._rest = data[sum(map(len, self._events)) :]
        event = self._events.pop()
        if not self._may_pass(event):
            return self._end()
        self._sent += 1
        return event

    async def read_all(self, deadline: float) -> bytes:
        await self._simulator.wait(self._pause_s, deadline)
        return await self._real.read_all(deadline)

    def close(self) -> None:
        self._is_over = True
        self._events.clear()
        self._real.close()

    def _may_pass(self, event: bytes) -> bool:
        if self._fault.kind == "slow" or self._scanner is None:
            return True
        self._scanner.feed(event)
        if self._scanner.has_content:
            self._passed += 1
        return self._passed <= self._fault.after

    def _end(self) -> bytes:
        """What comes instead of the next event; the provider is told that we have gone."""
        self.close()
        if self._fault.kind == "cut":
            raise ConnectionReset("simulated: the connection was reset")
        if self._fault.kind != "error_event":
            return b""
        return self._script.error_event(self._simulator.name, self._sent)
