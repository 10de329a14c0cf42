"""`manage.py worker`: the Celery worker, with beat, until Ctrl-C."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from celery.exceptions import SecurityWarning
from django.core.management.base import BaseCommand, CommandError

from controlplane.celery import app
from controlplane.jobs.beating import BeatThread, JobsWorker
from controlplane.jobs.schedule import SCHEDULE
from routing.gateway.serving import lifeline
from routing.gateway.telemetry import logs

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

CUT_OFF_S = 5.0
PROCESSES = 2  # so that a job of minutes does not keep health from being looked at


class Command(BaseCommand):
    help = "Look after health, model lists, suggestions, alerts and old rows, until Ctrl-C."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent-fd", type=int, help="pipe whose end: the parent is gone")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["parent_fd"] is not None:
            lifeline.hold(options["parent_fd"], limit_s=CUT_OFF_S)
        level = logging.WARNING if options["verbosity"] == 0 else logging.INFO
        try:
            logs.configure(os.environ, process="worker", level=level)
        except logs.BadLogFormat as error:
            raise CommandError(str(error)) from error
        os.environ["CELERY_SKIP_CHECKS"] = "yes"  # they would load every page; tests run them
        # Root is dangerous where messages are pickled; ours are JSON.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        app.steps["worker"].add(BeatThread)
        worker = JobsWorker(
            app=app,
            pool="prefork",
            concurrency=PROCESSES,
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        for spec in SCHEDULE.values():
            _ = spec.call  # what it needs is loaded once, for all children
        gc.collect()
        gc.freeze()  # so that the children go on sharing what is there already
        worker.start()
        sys.exit(worker.exitcode)
