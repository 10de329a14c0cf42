"""
Asks this host's control child from anywhere in Django: to publish now, and about benches.

Everything works without one, only later: a control child looks at the database by itself.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from django.conf import settings

from routing.gateway.link.channel import line, socket_path

_is_the_hub = False


def this_process_is_the_hub() -> None:
    """Make publish_now do nothing: the control child would wait for itself."""
    global _is_the_hub  # noqa: PLW0603 - a fact about the process, set once at its start
    _is_the_hub = True


def publish_now() -> None:
    """Return when every local worker serves what the database says, or after two seconds."""
    if not _is_the_hub:
        hub_request({"op": "publish"})


def hub_request(message: dict[str, Any], timeout_s: float = 2.0) -> dict[str, Any] | None:
    """
    The answer of this host's control child; None if none runs, or it does not answer in time.

    It waits up to two seconds for its workers before it answers, hence the added half second.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s + 0.5)
        try:
            connection.connect(str(socket_path(settings.DATA_DIR)))
            connection.sendall(line(message))
            with connection.makefile("rb") as replies:
                raw = replies.readline()
            answer = json.loads(raw)
        except (OSError, ValueError):
            return None  # nobody there, or gone in mid-answer: the caller's "no answer"
    return answer if isinstance(answer, dict) else None
