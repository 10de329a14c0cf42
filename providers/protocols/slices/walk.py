"""One way through a long text, slice by slice: whether it is JSON, and where its parts are."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Final

import msgspec
from msgspec import Raw, Struct

from providers.errors import ProtocolError
from providers.protocols import halves
from providers.protocols.nesting import MAX_DEPTH, steps_of
from providers.protocols.slices.turns import SLICE, breathe

MAX_MEMBERS: Final = 1024
MAX_CONTAINERS: Final = 500_000
_CARRIED: Final = 16 * SLICE
_MANY: Final = 4096  # marks, which take a while to go through
_PAIR: Final = 12  # bytes of an escaped surrogate pair
OPEN_LIST, OPEN_OBJECT, QUOTE = b'[{"'  # as numbers

_CHECK: Final = msgspec.json.Decoder(Raw)
_NO_MARKS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_MARK: Final = re.compile(rb"[\[\]{},]")
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_WHERE: Final = re.compile(r" \(byte \d+\)")
_CLOSERS: Final = bytes.maketrans(b"[{", b"]}")


class TooMany(ProtocolError):
    """The text is sound perhaps, but of more parts than anybody needs."""


def too_many(most: int) -> TooMany:
    words = f"The request body, or a part of it, has more than {most:,} members."
    return TooMany(words, code="invalid_json")


class NoObject(ValueError):
    """The text begins with what no object begins with."""


class Outline(Struct):
    """
    The outermost list or object of a text: where it begins and ends, and `commas` between its
    parts; of each slice perhaps only the first and the last.
    """

    begin: int = -1
    end: int = -1
    commas: list[int] = []


class Walk:
    """
    One way through a text, slice by slice.

    `is_checked`: it may be no JSON, which is then said by ValueError. `most`: how many commas the
    outermost list or object may have; None if the first and last of each slice are enough.
    """

    def __init__(
        self,
        text: memoryview,
        *,
        is_checked: bool = False,
        most: int | None = None,
        values: Callable[[int], None] | None = None,
    ) -> None:
        self._text = text
        self._is_checked = is_checked
        self._most = most
        self._values = values
        self._found = Outline(commas=[])
        self._stack = bytearray()  # brackets that are open
        self._opened = b""  # those at the last cut
        self._cut_at = 0
        self._is_first = True
        self._carried: list[bytes] = []  # what came since the last cut
        self._containers = 0

    def outline(self) -> Outline:
        text, position, size = self._text, 0, len(self._text)
        while position < size:
            breathe()
            piece = bytes(text[position : position + SLICE])
            segments = _without_escapes(piece).split(b'"')
            used = len(piece)
            if len(segments) % 2 == 0:  # it ends in a string
                used -= len(segments.pop()) + 1
                if used == 0:
                    self._carried.append(b'""')
                    position = end_of_string(text, position, is_checked=self._is_checked)
                    continue
            self._take(position, piece, used, segments)
            position += used
        if self._is_checked:
            self._check(b"", b"")
        return self._found

    def _take(self, start: int, piece: bytes, used: int, segments: list[bytes]) -> None:
        """`used` bytes of `piece`, which `segments` are without quotes and escapes."""
        self._look_at(start, segments)
        place = _last_comma(segments) if self._is_checked else None
        if place is None:
            self._move(b"".join(segments[::2]))
            if self._is_checked:
                self._carry(piece[:used])
            return
        number, comma = place
        segment, behind = segments[number], segments[number + 2 :: 2]
        cut = used - sum(map(len, segments[number:])) - (len(segments) - 1 - number) + comma
        self._move(b"".join([*segments[:number:2], segment[:comma]]))
        self._check(piece[:cut], bytes(self._stack))
        self._opened, self._is_first, self._cut_at = bytes(self._stack), False, start + cut
        self._carried = []
        self._move(b"".join([segment[comma + 1 :], *behind]))
        self._carry(piece[cut + 1 : used])

    def _carry(self, piece: bytes) -> None:
        self._carried.append(b" " if piece.isspace() else piece)
        if sum(map(len, self._carried)) > _CARRIED:
            raise ValueError(f"there is no end of a value near byte {self._cut_at}")

    def _move(self, structure: bytes) -> None:
        """Open and close what `structure` does. Raises RecursionError or TooMany."""
        brackets = structure.translate(None, _NO_MARKS)
        self._containers += len(brackets)
        if self._containers > 2 * MAX_CONTAINERS:
            raise TooMany(
                f"The request body has more than {MAX_CONTAINERS:,} lists and objects.",
                code="invalid_json",
            )
        if self._values is not None:
            self._values(len(brackets) // 2 + structure.count(b","))
        stack = self._stack
        if len(stack) + len(brackets) > MAX_DEPTH:
            deepest = max(accumulate(steps_of(brackets)), default=0)
            if len(stack) + deepest > MAX_DEPTH:
                raise RecursionError
        while True:
            if len(brackets) > _MANY:
                breathe()
            shorter = brackets.replace(b"[]", b"").replace(b"{}", b"")
            if len(shorter) == len(brackets):
                break
            brackets = shorter
        for bracket in brackets:
            if bracket in b"[{":
                stack.append(bracket)
            elif not stack:
                raise ValueError(f"a bracket is closed that was not opened, {self._near}")
            else:
                stack.pop()

    def _check(self, piece: bytes, opened: bytes) -> None:
        """What came since the last cut, up to here where `opened` is open. Raises ValueError."""
        begin = b"" if self._is_first else _opening(self._opened)
        text = b"".join([begin, *self._carried, piece, _closing(opened)])
        try:
            _CHECK.decode(text)
        except msgspec.DecodeError as error:
            if not halves.may_hold_one(text):
                raise ValueError(f"{_reason(error)}, {self._near}") from error
            halves.SLOW.decode(text.decode())

    @property
    def _near(self) -> str:
        return f"near byte {self._cut_at}"

    def _look_at(self, start: int, segments: list[bytes]) -> None:
        """Note where the outermost list or object begins and ends, and its commas."""
        found, depth, position = self._found, len(self._stack), start
        if depth > 1 and not _comes_out(b"".join(segments[::2]), depth):
            return
        commas = found.commas
        known = len(commas)
        has_all = self._most is not None
        for number, segment in enumerate(segments):
            if number % 2 == 0:
                if _BRACKET.search(segment) is None:
                    if depth == 1 and b"," in segment:
                        if has_all:
                            commas += [position + m.start() for m in _MARK.finditer(segment)]
                        else:
                            commas.append(position + segment.index(b","))
                            commas.append(position + segment.rindex(b","))
                else:
                    for marks, mark in enumerate(_MARK.finditer(segment), 1):
                        if marks % _MANY == 0:
                            breathe()
                        word = mark[0]
                        if word == b",":
                            if depth == 1:
                                commas.append(position + mark.start())
                        elif word in b"[{":
                            depth += 1
                            if depth == 1 and found.begin < 0:
                                found.begin = position + mark.start()
                        else:
                            depth -= 1
                            if depth == 0:
                                found.end = position + mark.start()
            position += len(segment) + 1
        if self._most is not None and len(commas) >= self._most:
            raise too_many(self._most)
        if not has_all and len(commas) > known + 2:
            commas[known + 1 : -1] = []


def end_of_string(
    text: memoryview,
    quote: int,
    *,
    is_checked: bool = False,
    into: Callable[[bytes], object] | None = None,
) -> int:
    """Where the string that begins at `quote` has ended. `into` gets what it is made of."""
    position = quote + 1
    while True:
        piece = bytes(text[position : position + SLICE])
        plain = _without_escapes(piece)
        end = plain.find(b'"')
        is_last = end >= 0
        if not is_last:
            if position + len(piece) >= len(text):
                raise ValueError("it ends too early, in a string")
            end = _whole_characters(plain, text, position)
        piece = piece[:end]
        if is_checked:
            _check_string(piece, position)
        if into is not None:
            into(piece)
        position += end
        breathe()
        if is_last:
            return position + 1


def _whole_characters(plain: bytes, text: memoryview, position: int) -> int:
    """Where a piece of a string may end: not inside an escape, a pair or a character."""
    end = len(plain)
    escape = plain.rfind(b"\\", end - 5)
    if escape >= 0:
        end = escape
    if _HIGH.search(plain, end - _PAIR, end):
        end -= _PAIR // 2
    while text[position + end] & 0xC0 == 0x80:  # inside a character of UTF-8
        end -= 1
    return end


def _check_string(piece: bytes, position: int) -> None:
    text = b'"' + piece + b'"'
    try:
        _CHECK.decode(text)
    except msgspec.DecodeError as error:
        if not halves.may_hold_one(text):
            raise ValueError(f"{_reason(error)}, near byte {position}") from error
        halves.SLOW.decode(text.decode())


def _without_escapes(piece: bytes) -> bytes:
    """`piece`, as long as it was, with no quote in it that is escaped. It begins at no escape."""
    if b"\\" not in piece:
        return piece
    # Pairs of backslashes first, from the left: what is then left before a quote escapes it.
    return piece.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def _last_comma(segments: list[bytes]) -> tuple[int, int] | None:
    """In which segment outside of strings the last comma is, and where in it."""
    for number in range((len(segments) - 1) & ~1, -1, -2):
        if (comma := segments[number].rfind(b",")) >= 0:
            return number, comma
    return None


def _comes_out(structure: bytes, depth: int) -> bool:
    """Whether what is `depth` deep comes back to the outermost list or object somewhere."""
    if structure.count(b"]") + structure.count(b"}") < depth - 1:
        return False
    return min(accumulate(steps_of(structure.translate(None, _NO_MARKS)))) + depth <= 1


def _opening(opened: bytes) -> bytes:
    """What stands for all that came before a comma inside `opened`."""
    outer = [b'{"":' if bracket == OPEN_OBJECT else b"[" for bracket in opened[:-1]]
    if not opened:
        return b"0,"  # a comma outside of everything, which is no JSON
    return b"".join([*outer, b'{"":0,' if opened[-1] == OPEN_OBJECT else b"[0,"])


def _closing(opened: bytes) -> bytes:
    """What stands for all that comes behind a comma inside `opened`, and the comma."""
    if not opened:
        return b""
    another = b',"":0' if opened[-1] == OPEN_OBJECT else b",0"
    return another + opened[::-1].translate(_CLOSERS)


def _reason(error: msgspec.DecodeError) -> str:
    return _WHERE.sub("", str(error)).removeprefix("JSON is malformed: ")
