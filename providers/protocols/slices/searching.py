"""What is somewhere in a long text, without a copy of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Raw

from providers.protocols.slices.turns import SLICE, breathe

_OVERLAP: Final = 1 << 10
_QUOTE: Final = re.compile(b'"')
# What an escape stands for: one byte of UTF-8, at most two, or half of four.
_ONE: Final = re.compile(rb"\\u00[0-7]")
_TWO: Final = re.compile(rb"\\u0[0-7]")
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_IS_DATA: Final = re.compile(rb'"data"\s*:\s*"\Z')
_HEAD: Final = 128  # bytes, within which a string says that it is base64

Span = tuple[int, int]


def search(pattern: re.Pattern[bytes], text: bytes | Raw | memoryview) -> bool:
    """Whether `pattern` is somewhere in `text`. What it matches has at most 1 KiB."""
    view = memoryview(text)
    return next(found_in(pattern, view, (0, len(view))), None) is not None


def words_of(text: bytes | Raw, pattern: re.Pattern[bytes]) -> set[bytes]:
    """What the group of `pattern` is wherever that matches, but for the insides of long base64."""
    view = memoryview(text)
    return {match[1] for span in kept(view) for match in found_in(pattern, view, span)}


def found_in(pattern: re.Pattern[bytes], view: memoryview, span: Span) -> Iterator[re.Match[bytes]]:
    """What `pattern` matches in a part of a text, where that has at most 1 KiB each."""
    position, last = span
    while position < last:
        end = min(position + SLICE, last)
        done = end
        for match in pattern.finditer(view, position, min(end + _OVERLAP, last)):
            if match.start() >= end:
                break
            yield match
            done = max(end, match.end())
        position = done
        breathe()


def kept(view: memoryview) -> Iterator[Span]:
    """The parts of a text that are left if of long base64 only the beginnings are."""
    begun, position, size = 0, SLICE, len(view)
    while position < size:
        breathe()
        if _QUOTE.search(view, position - SLICE, position) is not None:
            position += SLICE
            continue
        found = _QUOTE.search(view, position)
        if found is None:
            break
        start = _last_quote(view, position - SLICE) + 1
        head = start + _HEAD
        before, begin = bytes(view[max(start - _HEAD, 0) : start]), bytes(view[start:head])
        if _IS_DATA.search(before) or b";base64," in begin:
            yield begun, head
            begun = found.start()
        position = found.start() + SLICE
    yield begun, size


def size_of(view: memoryview, span: Span) -> int:
    """How long a part of a text would be without its \\u escapes."""
    begin, last = span
    size = last - begin
    for start in range(begin, last, SLICE):
        piece = bytes(view[start : min(start + SLICE, last)]).replace(b"\\\\", b"__")
        count = piece.count(b"\\u")
        if count:
            size -= 3 * count + len(_ONE.findall(piece))
            size -= len(_TWO.findall(piece)) + len(_HALF.findall(piece))
        breathe()
    return size


def _last_quote(view: memoryview, position: int) -> int:
    """Where the last quote before `position` is, -1 for none."""
    while position > 0:
        start = max(position - SLICE, 0)
        found = bytes(view[start:position]).rfind(b'"')
        if found >= 0:
            return start + found
        position = start
    return -1
