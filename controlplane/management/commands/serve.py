"""`manage.py serve`: the web process, with its control child and workers, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.supervisor import (
    CannotListen,
    Supervisor,
    control_child,
    listen,
    origin,
    worker_child,
)

DRAIN_S = 30


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return count


class Command(BaseCommand):
    help = "Serve callers and operators. Ctrl-C lets running requests finish; twice ends at once."
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
            "--drain",
            type=int,
            default=DRAIN_S,
            metavar="SECONDS",
            help="how long running requests get at the end",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        plane, workers, drain_s = options["plane"], options["workers"], options["drain"]
        try:
            listener = listen(options["host"], options["port"])
        except CannotListen as error:
            raise CommandError(str(error)) from error
        children = [control_child()]
        children += [
            worker_child(number, listener, data_dir=settings.DATA_DIR, plane=plane, drain_s=drain_s)
            for number in range(1, workers + 1)
        ]
        noun = "worker" if workers == 1 else "workers"
        self.stdout.write(
            f"Switchyard listens on {origin(listener)} (plane {plane}, {workers} {noun})."
        )
        self.stdout.flush()
        Supervisor(children, listener, cwd=settings.BASE_DIR, drain_s=drain_s).run()
