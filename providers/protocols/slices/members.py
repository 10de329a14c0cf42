"""The members of a long object and the items of a long list, each as it came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Raw

from providers.protocols import halves
from providers.protocols.slices.turns import SLICE, breathe
from providers.protocols.slices.walk import (
    MAX_MEMBERS,
    OPEN_OBJECT,
    NoObject,
    Outline,
    TooMany,
    Walk,
)

MAX_ITEMS: Final = 1_000_000
_NAME: Final = 64 << 10
_KEY: Final = re.compile(rb'[ \t\n\r]*+("(?:[^"\\]|\\.)*+")[ \t\n\r]*+:', re.DOTALL)
_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_SPACES: Final = b" \t\n\r"


def members_of(text: bytes | Raw) -> dict[str, Raw]:
    """
    The members of an object, which is checked as a whole.

    Raises ValueError for what is no JSON, NoObject, RecursionError, or TooMany.
    """
    view = memoryview(text)
    begin = past_space(view, 0)
    if begin < len(view) and view[begin] != OPEN_OBJECT:
        raise NoObject
    return dict(_members(view, Walk(view, is_checked=True, most=MAX_MEMBERS).outline()))


def parts_of(text: bytes | Raw) -> list[memoryview]:
    """The items of a list that is known to be sound, each as it came."""
    view = memoryview(text)
    found = Walk(view, most=MAX_ITEMS).outline()
    return [view[begin:end] for begin, end in spans_of(view, found)]


def lists_of(text: bytes | Raw) -> Iterator[bytes]:
    """The items of a list that is known to be sound, as lists of some of them, or of a long one."""
    view = memoryview(text)
    for begin, end in spans_of(view, Walk(view).outline()):
        yield b"".join([b"[", view[begin:end], b"]"])
        breathe()


def check(text: bytes | Raw) -> None:
    """Raises ValueError for what is no JSON, RecursionError, or TooMany."""
    Walk(memoryview(text), is_checked=True).outline()


def spans_of(text: memoryview, found: Outline) -> Iterator[tuple[int, int]]:
    """Begin and end of what stands between the commas."""
    if found.begin < 0 or found.end < 0:
        return
    begin = found.begin + 1
    if not found.commas and past_space(text, begin) >= found.end:
        return  # it is empty
    for end in [*found.commas, found.end]:
        if end >= begin:  # the first comma of a slice may be its last as well
            yield begin, end
        begin = end + 1


def _members(text: memoryview, found: Outline) -> Iterator[tuple[str, Raw]]:
    for begin, end in spans_of(text, found):
        name, at = name_at(text, begin)
        yield name, Raw(text[past_space(text, at) : _before_space(text, at, end)])


def name_at(text: memoryview, begin: int) -> tuple[str, int]:
    """A member's name, and where what is behind its colon begins."""
    begin = past_space(text, begin)
    key = _KEY.match(text, begin, begin + _NAME)
    if key is None:
        raise TooMany(
            f"A member's name in the request body is longer than {_NAME} bytes.",
            code="invalid_json",
        )
    name: str = halves.decode(key[1])
    return name, key.end()


def past_space(text: memoryview, position: int) -> int:
    while True:
        end = position + SLICE
        found = _SPACE.match(text, position, end)
        position = found.end() if found is not None else position
        if position < end:
            return position
        breathe()


def _before_space(text: memoryview, begin: int, end: int) -> int:
    while end > begin:
        start = max(begin, end - SLICE)
        kept = bytes(text[start:end]).rstrip(_SPACES)
        if kept:
            return start + len(kept)
        end = start
        breathe()
    return end
