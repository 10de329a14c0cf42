"""`manage.py serve`: the web process, with its control child and workers, until Ctrl-C."""

from __future__ import annotations

import argparse
import ipaddress
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.control.supervisor import (
    CannotListen,
    Supervisor,
    WorkerSpec,
    control_child,
    listen,
    origin,
)
from providers.saying.counting import counted
from routing.gateway.limits import NAMES, limits_of
from routing.gateway.telemetry import logs

GRACE_S, DRAIN_S = 5.0, 30.0
DRAIN_MAX_S = 600.0


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= DRAIN_MAX_S:
        raise argparse.ArgumentTypeError(f"must be 0 to {DRAIN_MAX_S:g}")
    return seconds


def _limit(text: str) -> str:
    try:
        limits_of([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


class Command(BaseCommand):
    help = (
        "Serve callers and operators. Ctrl-C lets running requests finish, twice leaves them 5 s."
    )
    # The control child looks at the database; a broken one must not keep callers from the last
    # good snapshot.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="0 takes any free one")
        parser.add_argument("--workers", type=_count, default=1, help="inference workers")
        parser.add_argument(
            "--plane",
            choices=["both", "inference", "admin"],
            default="both",
            help="what to serve; inference alone runs without Django",
        )
        parser.add_argument(
            "--grace",
            type=_seconds,
            default=GRACE_S,
            metavar="SECONDS",
            help="how long to accept at the end, while /readyz says 503 already",
        )
        parser.add_argument(
            "--drain",
            type=_seconds,
            default=DRAIN_S,
            metavar="SECONDS",
            help="how long running requests get after that",
        )
        parser.add_argument(
            "--limit",
            type=_limit,
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=f"what a worker allows its callers, again for each: {', '.join(NAMES)}",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            logs.configure(os.environ, process="serve")
        except logs.BadLogFormat as error:
            raise CommandError(str(error)) from error
        plane, workers = options["plane"], options["workers"]
        try:
            listener = listen(options["host"], options["port"])
        except CannotListen as error:
            raise CommandError(str(error)) from error
        try:
            refuse_debug_for_others(options["host"], listener.getsockname()[0])
        except CommandError:
            listener.close()
            raise
        worker = WorkerSpec(
            listener=listener,
            data_dir=settings.DATA_DIR,
            plane=plane,
            grace_s=options["grace"],
            drain_s=options["drain"],
            limits=tuple(options["limit"]),
            workers=workers,
        )
        self.stdout.write(
            f"Switchyard listens on {origin(listener)}"
            f" (plane {plane}, {counted(workers, 'worker')})."
        )
        self.stdout.flush()
        Supervisor(control_child(), worker, cwd=settings.BASE_DIR).run()


def refuse_debug_for_others(host: str, address: str) -> None:
    """Raises CommandError where others could reach `address` while DEBUG is on."""
    if settings.DEBUG and not ipaddress.ip_address(address).is_loopback:
        raise CommandError(
            f"DEBUG is on and the address is {host}: its pages of errors show settings and code to"
            " everybody. Allowed with DEBUG are addresses of this machine alone, such as 127.0.0.1."
        )
