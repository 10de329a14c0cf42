"""
Password hashers that compute in one thread of their own, at a low priority.

Hashing is slow on purpose. In the threads of views, a hundred sign-ins at once took every core from
the callers of this worker; here one is computed at a time, a few wait, and the rest is told so.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.contrib.auth import hashers

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING: Final = 8
_NICENESS: Final = 10

Result = TypeVar("Result")


class Busy(Exception):
    """More passwords are being checked than may wait. The text is for the person."""

    def __init__(self) -> None:
        super().__init__("Too many people sign in at this moment; try again in a few seconds.")


def _step_back() -> None:
    """Let everything else in this process go first; Linux has a priority for each thread."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


_thread = ThreadPoolExecutor(1, thread_name_prefix="hashing", initializer=_step_back)
_room = threading.BoundedSemaphore(1 + WAITING)


def apart(work: Callable[..., Result], *arguments: Any) -> Result:
    """The result of `work`, computed there. Raises Busy."""
    if not _room.acquire(blocking=False):
        raise Busy
    try:
        return _thread.submit(work, *arguments).result()
    finally:
        _room.release()


class Argon2(hashers.Argon2PasswordHasher):
    """One lane and 19 MiB, as OWASP has it (2025-10): Django's eight lanes are eight threads."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return apart(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        return apart(super().verify, password, encoded)


class PBKDF2(hashers.PBKDF2PasswordHasher):
    """Verifying encodes, so it is enough to have that done apart."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        return apart(super().encode, password, salt, iterations)


class Scrypt(hashers.ScryptPasswordHasher):
    def encode(
        self,
        password: str,
        salt: str,
        n: int | None = None,
        r: int | None = None,
        p: int | None = None,
    ) -> str:
        return apart(super().encode, password, salt, n, r, p)
