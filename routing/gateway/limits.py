"""What a worker allows its callers. Each can be set by `--limit NAME=VALUE`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """
    `in_flight` requests at once, `waiting` more for at most `wait_s`; the rest is shed. Streams
    whose answer has begun to flow, up to `streams` of them, do not count as in flight.

    `bodies_mib` of request bodies are held at once, until their requests have ended, and
    `key_bodies_mib` for one key; of each the first is taken whatever its size.

    A request's head has to be there in `head_s`, its body in `upload_s`. A body, or a reader, that
    makes no progress for `body_s` or `stall_s` is given up. A connection without a request is kept
    for `keep_alive_s`.
    """

    in_flight: int = 512
    waiting: int = 64
    wait_s: float = 0.5
    streams: int = 5000
    bodies_mib: int = 128
    key_bodies_mib: int = 48
    head_s: float = 10.0
    body_s: float = 30.0
    upload_s: float = 600.0
    stall_s: float = 30.0
    keep_alive_s: float = 75.0


def limits_of(pairs: Iterable[str]) -> GatewayLimits:
    """The defaults with `NAME=VALUE` pairs put over them. Raises ValueError, in words."""
    given: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in NAMES:
            raise ValueError(f"{name!r} is no limit; there are {', '.join(NAMES)}")
        default = getattr(GatewayLimits(), name)
        try:
            value = int(text) if isinstance(default, int) else float(text)
        except ValueError:
            value = -1
        if not 0 < value < math.inf and not (name in MAY_BE_NONE and value == 0):
            kind = "a whole number" if isinstance(default, int) else "a number"
            raise ValueError(f"{name} is {text!r}; allowed is {kind} above 0")
        given[name] = value
    return GatewayLimits(**given)


MAY_BE_NONE = frozenset({"waiting", "streams"})
NAMES = tuple(field.name for field in dataclasses.fields(GatewayLimits))
