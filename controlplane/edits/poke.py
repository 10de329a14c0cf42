"""
Asks this host's control child from anywhere in Django: to publish now, and about benches.

Everything works without one, only later: a control child looks at the database by itself.
"""

from __future__ import annotations

import socket
from typing import TypeVar

from django.conf import settings

from routing.gateway.link.channel import (
    Publish,
    Published,
    ToClient,
    ToHub,
    line,
    read_by_client,
    socket_path,
)

_Told = TypeVar("_Told", bound=ToClient)

_is_the_hub = False


def this_process_is_the_hub() -> None:
    """Make publish_now do nothing: the control child would wait for itself."""
    global _is_the_hub  # noqa: PLW0603 - a fact about the process, set once at its start
    _is_the_hub = True


def publish_now() -> None:
    """Return when every local worker serves what the database says, or after two seconds."""
    if not _is_the_hub:
        hub_request(Publish(), Published)


def hub_request(message: ToHub, kind: type[_Told], timeout_s: float = 2.0) -> _Told | None:
    """
    The answer of this host's control child, which is of this `kind`; None if none runs, or it does
    not answer in time.

    It waits up to two seconds for its workers before it answers, hence the added half second.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s + 0.5)
        try:
            connection.connect(str(socket_path(settings.DATA_DIR)))
            connection.sendall(line(message))
            with connection.makefile("rb") as replies:
                raw = replies.readline()
            return read_by_client(raw, kind)
        except (OSError, ValueError):
            return None  # nobody there, or gone in mid-answer: the caller's "no answer"
