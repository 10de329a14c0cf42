"""`manage.py run`: what `make run` does once everything is installed."""

from __future__ import annotations

import logging
import os
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from controlplane import first_run
from controlplane.control.supervisor import (
    CannotListen,
    Supervisor,
    WorkerSpec,
    control_child,
    job_worker,
    listen,
    origin,
)
from routing.gateway.telemetry import logs

FIRST_PORT, PORTS = 8000, 100
LOOK_EVERY_S = 0.05
READY_WITHIN_S = 60.0


class Command(BaseCommand):
    help = "Migrate, make a login and a demo pool on the first start, and serve until Ctrl-C."
    requires_system_checks = ()  # a start takes seconds; tests run the checks

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            logs.configure(os.environ, process="run", level=logging.WARNING)
        except logs.BadLogFormat as error:
            raise CommandError(str(error)) from error
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", verbosity=0)
        login = first_run.prepare()
        connection.close()
        listener = _listen_on_next_free()
        url = origin(listener)
        greeting = threading.Thread(target=self._greet, args=(url, login), daemon=True)
        worker = WorkerSpec(listener=listener, data_dir=settings.DATA_DIR, plane="both")
        greeting.start()
        Supervisor(
            control_child(is_quiet=True),
            worker,
            cwd=settings.BASE_DIR,
            beside=(job_worker(is_quiet=True),),
        ).run()
        if login is not None and greeting.is_alive():
            self._say(url, login)  # stopped before it was ready; it cannot be shown later

    def _greet(self, url: str, login: first_run.FirstLogin | None) -> None:
        if not _wait_until_ready(url):
            self.stderr.write(f"{url}/readyz is not 200 yet; see the log above.")
        self._say(url, login)

    def _say(self, url: str, login: first_run.FirstLogin | None) -> None:
        lines = []
        if login is None:
            lines += [
                f"Switchyard runs at {url}",
                f"Admin: {url}/admin/ (login and key were shown at the first start)",
            ]
        else:
            lines += [
                f"Switchyard runs at {url}",
                f"Admin:    {url}/admin/",
                f"Login:    {login.username}",
                f"Password: {login.password}",
                f"API key:  {login.key}",
                "Password and key are not shown again. Try it:",
                "",
                first_run.curl_line(url, login.key),
            ]
        lines += ["", "Ctrl-C stops it."]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _listen_on_next_free() -> Any:
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        try:
            return listen("127.0.0.1", port)
        except CannotListen as error:
            last = error
    raise CommandError(f"no free port from {FIRST_PORT} on: {last}")


def _wait_until_ready(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            with opener.open(f"{url}/readyz", timeout=5) as reply:
                if reply.status == 200:
                    return True
        except (OSError, urllib.error.URLError):
            pass  # not yet
        time.sleep(LOOK_EVERY_S)
    return False
