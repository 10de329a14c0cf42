"""
One inference worker: `python -m routing.gateway.serving.worker --fd N --data-dir DIR …`.

Serves the gateway on the listening socket that it inherits as file descriptor N. This module and
all it imports are free of Django; a plane that has it as well is handed in by `--app`.

SIGTERM: /readyz says 503, the socket accepts for `--grace`, what runs gets `--drain`; a second one
leaves 5 s, a third none. SIGHUP: another worker has come; make room without a word in /readyz.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from providers.files import UMASK
from routing.gateway.app import Gateway
from routing.gateway.limits import GatewayLimits, limits_of
from routing.gateway.link.live import LiveFeed
from routing.gateway.link.scraping import WorkerMetrics
from routing.gateway.serving import lifeline
from routing.gateway.serving.allocator import keep_read_buffers
from routing.gateway.serving.server import ASGI, Server, allow_many_files
from routing.gateway.telemetry import logs

FIRST_SNAPSHOT_S, LOOK_EVERY_S = 3.0, 0.02
QUIET_S = 1.0  # without a request for so long, a connection is not in use
SHORTENED_S = 5.0  # what a second SIGTERM leaves
GC_OBJECTS = 20_000  # about a millisecond's look
SWITCH_S = 0.0005
CUT_OFF_S = 5.0  # beyond grace and drain, when the parent is gone


async def serve(arguments: argparse.Namespace) -> None:
    async with lifeline.beating(os.environ):
        await _serve(arguments)


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    limits: GatewayLimits = arguments.limits
    gateway = Gateway.from_environment(
        os.environ,
        arguments.data_dir,
        loop.time,
        limits=limits,
        worker=arguments.worker,
        workers=arguments.workers,
    )
    app: ASGI = gateway
    if arguments.app:
        app = _load(arguments.app)(gateway, arguments.plane)
    server = Server(app, limits, cut=gateway.cut)
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        gateway.draining = True
        if asked == 1:
            grace_s = arguments.grace
            server.leave(grace_s=grace_s, drain_s=arguments.drain, quiet_s=min(QUIET_S, grace_s))
        else:
            server.leave(grace_s=0, drain_s=SHORTENED_S if asked == 2 else 0, quiet_s=0)

    def make_room() -> None:
        server.leave(grace_s=0, drain_s=arguments.drain, quiet_s=QUIET_S)

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    loop.add_signal_handler(signal.SIGHUP, make_room)
    counts = WorkerMetrics(gateway, arguments.data_dir, worker=arguments.worker)
    gateway.scrape = counts.scrape
    live = LiveFeed(
        gateway,
        arguments.data_dir,
        worker=arguments.worker,
        plane=arguments.plane,
        workers=arguments.workers,
        counts=counts,
    )
    await live.load_from_disk()
    await gateway.startup()
    live.start()
    try:
        await _wait_for_snapshot(gateway)
        spare_the_collector()
        await server.start(socket.socket(fileno=arguments.fd))
        if arguments.ready_fd is not None:
            os.write(arguments.ready_fd, b"1")
            os.close(arguments.ready_fd)
        await server.run()
    finally:
        await gateway.recorder.aclose()  # its last records are counted
        await live.aclose()
        await gateway.shutdown()


async def _wait_for_snapshot(gateway: Gateway) -> None:
    """
    Let no caller in before the first snapshot is here, for a moment.

    At the very first start the workers get it one after the other, and callers who were told by
    one that it is ready would meet another that is not. Without a snapshot after that moment it
    is better to answer, and to say so.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + FIRST_SNAPSHOT_S
    while gateway.table is None and loop.time() < until:  # noqa: ASYNC110 - LiveFeed sets no event
        await asyncio.sleep(LOOK_EVERY_S)


def share_the_interpreter() -> None:
    """
    Have threads beside the loop, pages above all, give the interpreter back soon.

    With Python's own 5 ms and four of them busy, a caller waited 35 to 45 ms for an echo; now it
    is 5, and the threads get as much done (2026-11-28).
    """
    sys.setswitchinterval(SWITCH_S)


def spare_the_collector() -> None:
    """
    Have Python's garbage collector look less often, and not at what is here already.

    A few dozen open requests and the records of a fifth of a second are more than the 700 objects
    after which it looks by default: it looked at the same ones again and again, for 5 % of the
    CPU time under load (now 0.5 %, by perf). A request leaves it nothing to find.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 20)


def _load(target: str) -> Callable[[Gateway, str], ASGI]:
    """The function that `module:name` names: given gateway and plane, it makes the ASGI app."""
    module, _, name = target.partition(":")
    mount: Callable[[Gateway, str], ASGI] = getattr(importlib.import_module(module), name)
    return mount


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m routing.gateway.serving.worker", description=__doc__
    )
    parser.add_argument("--fd", type=int, required=True, help="listening socket")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--plane", choices=["both", "inference", "admin"], default="inference")
    parser.add_argument("--app", default="", help="module:function that mounts more planes")
    parser.add_argument("--worker", default="1", help="name of this worker in status and logs")
    parser.add_argument("--workers", type=int, default=1, help="how many there are on this host")
    parser.add_argument("--grace", type=float, default=5, help="seconds to accept after SIGTERM")
    parser.add_argument("--drain", type=float, default=30, help="seconds that requests get then")
    parser.add_argument("--limit", action="append", default=[], help="NAME=VALUE of GatewayLimits")
    parser.add_argument("--ready-fd", type=int, help="pipe that is told when callers are served")
    parser.add_argument("--parent-fd", type=int, help="pipe whose end means the parent is gone")
    arguments = parser.parse_args(argv)
    try:
        arguments.limits = limits_of(arguments.limit)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def main(argv: Sequence[str]) -> None:
    os.umask(UMASK)
    arguments = _arguments(argv)
    if arguments.parent_fd is not None:
        lifeline.hold(arguments.parent_fd, limit_s=arguments.grace + arguments.drain + CUT_OFF_S)
    logs.configure(os.environ, process=f"worker {arguments.worker}")
    allow_many_files()
    keep_read_buffers()
    share_the_interpreter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
