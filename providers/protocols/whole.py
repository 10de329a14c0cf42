"""Whole answers of any protocol in JSON: read, or told why they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies, slices
from providers.protocols.protocol import Judge
from providers.protocols.usage import Usage
from providers.secrets.redaction import safe_text

_LONG: Final = 4 << 20  # read at once, it takes 20 ms at most
Quick = Callable[[bytes], Usage | None]


def decoded(
    content_type: bytes | None,
    body: bytes,
    judge: Judge,
    quick: Quick | None = None,
    *,
    has_slices: bool = False,
) -> dict[str, Any] | Usage | Failure:
    """
    The object in a 200; the Failure if it is none, or states an error.

    `quick` gives the Usage of a plain sound body at once. It may raise ValueError.
    `has_slices`: it reads long ones in slices itself.
    """
    if not body.strip():
        return no_answer("the reply is empty")
    if content_type is not None and not _is_json(content_type):
        kind = safe_text(content_type.decode("latin-1"))[:60]
        return no_answer(f"the reply is {kind}, not JSON")
    is_long = slices.is_apart() and len(body) > _LONG
    if quick is not None and (not is_long or has_slices):
        try:
            if (usage := quick(body)) is not None:
                return usage
        except (ValueError, RecursionError):
            pass  # whatever it is, the whole decoder says so below
    try:
        if is_long:
            slices.check(body)
            document = slices.decode(body)
        else:
            document = bodies.decode(body)
    except (ValueError, RecursionError):
        return no_answer("the reply is not whole JSON")
    except slices.TooMany:
        return no_answer("the reply has more values than any answer")
    failure = judge.error_in(document, body, otherwise=Fault.BAD_REPLY)
    if failure is not None:
        return failure
    if not isinstance(document, dict):
        return no_answer("the reply is not a JSON object")
    return document


def no_answer(problem: str) -> Failure:
    return Failure(fault=Fault.BAD_REPLY, message=problem, status=200)


def _is_json(content_type: bytes) -> bool:
    kind = content_type.split(b";", 1)[0].strip().lower()
    return kind == b"application/json" or (
        kind.startswith(b"application/") and kind.endswith(b"+json")
    )
