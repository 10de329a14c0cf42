"""Calls of tools in Messages: an id of its alphabet, and an object of arguments."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from providers.protocols import bodies
from providers.protocols.canonical import ToolCall

_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def outward_id(call_id: str) -> str:
    """`call_id`, or one that always stands for it where its characters are not allowed."""
    if _ID.fullmatch(call_id):
        return call_id
    return "toolu_" + hashlib.sha256(call_id.encode(errors="surrogatepass")).hexdigest()[:24]


def input_of(call: ToolCall) -> dict[str, Any] | None:
    """
    The arguments as the object that Messages tell; None if they are none.

    There is no place for arguments that are not JSON: a caller's tool would run on whatever stood
    in for them. A prompt with such goes elsewhere; of an answer, translating.py makes a failure.
    """
    if call.is_custom:
        return {"input": call.arguments}
    return object_of(call.arguments)


def arguments_of(given: Any) -> str:
    """An input as the text of its arguments."""
    try:
        return bodies.encode(given).decode() if isinstance(given, dict) else "{}"
    except RecursionError:  # it was decoded with a little more room on the stack
        return "null"


def object_of(text: str) -> dict[str, Any] | None:
    """The JSON object in `text`, an empty one for no text at all; None if it is none."""
    if not text.strip():
        return {}
    try:
        found = bodies.decode_text(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
