"""
One inference worker: `python -m routing.gateway.worker --fd N --data-dir DIR --plane inference`.

Serves the gateway on the listening socket that it inherits as file descriptor N. This module and
all it imports are free of Django; a plane that has it as well is handed in by `--app`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from routing.gateway import lifeline
from routing.gateway.app import Gateway
from routing.gateway.live import Live

ASGI = Callable[[Any, Any, Any], Awaitable[None]]

KEEP_ALIVE_S = 75
BACKLOG = 2048


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`: uvicorn would raise them again before it cleans up."""
        yield


async def serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    gateway = Gateway.from_environment(os.environ, arguments.data_dir, loop.time)
    app: ASGI = gateway
    if arguments.app:
        app = _load(arguments.app)(gateway, arguments.plane)
    server = _Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=arguments.drain,
            backlog=BACKLOG,
        )
    )

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        gateway.draining = True

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    live = Live(gateway, arguments.data_dir, worker=arguments.worker, plane=arguments.plane)
    live.load_from_disk()
    await gateway.startup()
    live.start()
    try:
        await server.serve(sockets=[socket.socket(fileno=arguments.fd)])
    finally:
        await live.aclose()
        await gateway.shutdown()


def _load(target: str) -> Callable[[Gateway, str], ASGI]:
    """The function that `module:name` names: given gateway and plane, it makes the ASGI app."""
    module, _, name = target.partition(":")
    mount: Callable[[Gateway, str], ASGI] = getattr(importlib.import_module(module), name)
    return mount


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m routing.gateway.worker", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="listening socket")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--plane", choices=["both", "inference", "admin"], default="inference")
    parser.add_argument("--app", default="", help="module:function that mounts more planes")
    parser.add_argument("--worker", default="1", help="name of this worker in status and logs")
    parser.add_argument("--drain", type=int, default=30, help="seconds that running requests get")
    parser.add_argument("--parent-fd", type=int, help="pipe whose end means the parent is gone")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    arguments = _arguments(argv)
    if arguments.parent_fd is not None:
        lifeline.hold(arguments.parent_fd, limit_s=arguments.drain + 2)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
