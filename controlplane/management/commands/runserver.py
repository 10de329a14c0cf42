"""Django's server for developers, which stands no more open than ours with `DEBUG`."""

from __future__ import annotations

import socket
from typing import Any

from django.contrib.staticfiles.management.commands.runserver import Command as Runserver
from django.core.management.base import CommandError

from controlplane.management.commands.serve import refuse_debug_for_others


class Command(Runserver):
    addr: str  # set by handle(), before it runs

    def run(self, **options: Any) -> None:
        try:
            found = socket.getaddrinfo(self.addr, None)
        except OSError as error:
            raise CommandError(f"{self.addr} is no address of this machine: {error}") from error
        for address in {each[4][0] for each in found}:
            refuse_debug_for_others(self.addr, str(address))
        super().run(**options)
