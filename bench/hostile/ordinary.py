"""
`python -m bench.hostile.ordinary URL BESIDE`: the ordinary caller, until its input ends.

It asks the gateway and, in turn, the upstream itself: what both wait for is the machine's fault.
A line for each answer: when it was asked for (time.monotonic), `through` or `beside`, and the
milliseconds that it took, -1 if it was none.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import Final

import uvloop

from bench import scene
from bench.hostile.world import ORDINARY, ORDINARY_MODEL
from bench.load.callers import Caller, Target, dial

PER_SECOND: Final = 50.0
CONNECTIONS: Final = 8
REQUESTS_EACH: Final = 50  # on one connection; then another is opened, perhaps to another worker
PATIENCE_S: Final = 20.0


class Asker:
    """One that has a few connections, and uses them in turn."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._target = Target.of(url, [("authorization", f"Bearer {ORDINARY}")])
        self._request = self._target.request(scene.body(ORDINARY_MODEL))
        self._free: deque[tuple[Caller | None, int]] = deque([(None, 0)] * CONNECTIONS)

    async def ask(self) -> None:
        began = time.monotonic()
        caller, asked = self._free.popleft() if self._free else (None, 0)
        took_ms = -1.0
        try:
            async with asyncio.timeout(PATIENCE_S):
                if caller is None or not caller.is_open or asked >= REQUESTS_EACH:
                    if caller is not None:
                        caller.close()
                    caller, asked = await dial(self._target), 0
                if await caller.ask(self._request):
                    took_ms = (time.monotonic() - began) * 1000
        except (OSError, TimeoutError):
            pass
        if took_ms < 0 and caller is not None:
            caller.close()
        self._free.append((caller, asked + 1))
        sys.stdout.write(f"{began:.6f} {self._name} {took_ms:.3f}\n")


async def main(url: str, beside: str) -> None:
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    askers = (Asker("through", url), Asker("beside", beside))
    asking: set[asyncio.Task[None]] = set()
    began, number = time.monotonic(), 0
    while not ended.done():
        await asyncio.sleep(began + number / PER_SECOND / 2 - time.monotonic())
        task = asyncio.create_task(askers[number % 2].ask())
        asking.add(task)
        task.add_done_callback(asking.discard)
        number += 1
        if number % 10 == 0:
            sys.stdout.flush()
    await asyncio.gather(*asking)
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:3]))
