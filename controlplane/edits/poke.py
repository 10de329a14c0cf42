"""
Asks this host's control child from anywhere in Django: to publish now, and about benches.

Everything works without one, only later: a control child looks at the database by itself. What
keeps an edit from being live when its answer goes out is told there (`hearing`).
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar

from django.conf import settings

from providers.adapters.own_address import LISTENS
from routing.gateway.link.channel import (
    Publish,
    Published,
    ToClient,
    ToHub,
    line,
    read_by_client,
    socket_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER_WITHIN_S: Final = 2.0
AGAIN_S: Final = 0.05
NOT_CONFIRMED: Final = (
    "The edit is saved, but this host's control child has not confirmed within 2 s that it is "
    "live; it will be as soon as one runs again."
)
PUBLISHED_ALONE: Final = (
    "The edit is saved and published, but no control child runs on this host to confirm that its "
    "workers have it; they look for it twice a second."
)

_Told = TypeVar("_Told", bound=ToClient)

_is_the_hub = False
_heard: ContextVar[list[str] | None] = ContextVar("what the host's processes said", default=None)
# Publishes by itself, if no control child could; False if one may. Set by controlplane.apps.
publish_alone: Callable[[], bool] = lambda: False  # noqa: E731


def this_process_is_the_hub() -> None:
    """Make publish_now do nothing: the control child would wait for itself."""
    global _is_the_hub  # noqa: PLW0603 - a fact about the process, set once at its start
    _is_the_hub = True


@contextmanager
def hearing() -> Iterator[list[str]]:
    """What keeps the edits that are made meanwhile from being live; empty if they are."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def publish_now() -> None:
    """
    Return when every local worker serves what the database says, or after two seconds.

    Who is `hearing` is told of what is not as it should be. Where no host is served, as in a
    command on another machine, there is nobody to ask and nothing to tell.
    """
    if _is_the_hub:
        return
    heard = _heard.get()
    if heard is not None and NOT_CONFIRMED in heard:
        said: tuple[str, ...] = ()  # one request with many edits waits once
    else:
        said = _publish()
    if heard is not None:
        heard += [text for text in said if text not in heard]


def _publish() -> tuple[str, ...]:
    until = time.monotonic() + ANSWER_WITHIN_S
    is_published = False
    while True:
        told = _ask(Publish(), Published, until + 0.5 - time.monotonic())
        if isinstance(told, Published):
            return tuple(f"The edit is saved, but not live everywhere: {w}" for w in told.refused)
        if told is _NO_ANSWER:
            return (NOT_CONFIRMED,)
        if LISTENS not in os.environ:
            return ()  # nobody is served from here
        # It has died a moment ago, most likely, and its successor takes a while to load.
        is_published = is_published or publish_alone()
        if time.monotonic() >= until:
            return (PUBLISHED_ALONE if is_published else NOT_CONFIRMED,)
        time.sleep(AGAIN_S)


def hub_request(message: ToHub, kind: type[_Told], timeout_s: float = 2.0) -> _Told | None:
    """
    The answer of this host's control child, which is of this `kind`; None if none runs, or it does
    not answer in time.

    It waits up to two seconds for its workers before it answers, hence the added half second.
    """
    told = _ask(message, kind, timeout_s + 0.5)
    return None if told is _NOBODY or told is _NO_ANSWER else told  # type: ignore[return-value]


_NOBODY, _NO_ANSWER = object(), object()


def _ask(message: ToHub, kind: type[_Told], timeout_s: float) -> _Told | object:
    """The answer, or one of the two reasons why there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(timeout_s, AGAIN_S))
        try:
            connection.connect(str(socket_path(settings.DATA_DIR)))
        except (FileNotFoundError, ConnectionRefusedError):
            return _NOBODY
        except OSError:
            return _NO_ANSWER
        try:
            connection.sendall(line(message))
            with connection.makefile("rb") as replies:
                raw = replies.readline()
            if not raw:
                return _NOBODY  # gone in mid-answer
            return read_by_client(raw, kind)
        except ConnectionError:
            return _NOBODY
        except (OSError, ValueError):
            return _NO_ANSWER
