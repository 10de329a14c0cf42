"""What Django is handed at most, of each process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """
    A `body` of the API, or a form, has so many bytes at most (nothing is uploaded otherwise), a
    `strangers_body`, which signs somebody in, so many. It has to be there within `upload_s`.

    `at_once` requests of people and keys run, `each` of them for one of those, and `strangers` of
    everybody else; `waiting` more of each kind wait for at most `wait_s`, and the rest is told to
    come again.

    After `silence_s` without a word of an answer the database is asked whether it is there; it has
    `database_s` to say so.
    """

    body: int = 4 << 20
    strangers_body: int = 16 << 10
    upload_s: float = 30.0
    at_once: int = 16
    each: int = 8
    strangers: int = 4
    waiting: int = 128
    wait_s: float = 30.0
    silence_s: float = 3.5
    database_s: float = 1.0
