"""`manage.py control`: the control child, which `serve` starts by itself."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand

from controlplane.control.child import control
from controlplane.edits.poke import this_process_is_the_hub
from routing.gateway.serving import lifeline
from routing.gateway.telemetry import logs

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

CUT_OFF_S = 5.0


class Command(BaseCommand):
    help = "Keep the published snapshot true. `serve` starts this by itself."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent-fd", type=int, help="pipe whose end: the parent is gone")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["parent_fd"] is not None:
            lifeline.hold(options["parent_fd"], limit_s=CUT_OFF_S)
        this_process_is_the_hub()
        level = logging.WARNING if options["verbosity"] == 0 else logging.INFO
        logs.configure(os.environ, process="control", level=level)
        asyncio.run(_run())


async def _run() -> None:
    async with lifeline.beating(os.environ):
        await control(settings.DATA_DIR, os.environ)
