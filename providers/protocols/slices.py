"""
Long JSON, read and written in slices, beside the event loop.

Nothing that decodes or searches lets another thread run before it is done: 31 MiB of short
members, of escapes or of numbers hold every caller of a worker for 0.2 to 2 s, whichever thread
reads them. So a long text is cut at commas, and each piece, closed by the brackets that are open
at its ends, is JSON of its own for the decoder: what it says of all pieces is true of the whole.
`apart` is what has such work done; between two slices the event loop gets its turn.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from providers.errors import ProtocolError
from providers.protocols import halves
from providers.protocols.nesting import MAX_DEPTH, steps_of

# Up to here a body is read at once: the worst that was found takes 15 ms.
LONG: Final = 256 << 10
SLICE: Final = 128 << 10
WORK_S: Final = 6.0  # of CPU for one body; the worst that was found takes 3
MAX_MEMBERS: Final = 1024
MAX_CONTAINERS: Final = 500_000
MAX_VALUES: Final = 1_000_000  # that are made into objects, for another protocol
_NAME: Final = 64 << 10
_OVERLAP: Final = 1 << 10
_CARRIED: Final = 8 * SLICE
_PAIR: Final = 12  # bytes of an escaped surrogate pair

_CHECK: Final = msgspec.json.Decoder(Raw)
_NO_MARKS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_MARK: Final = re.compile(rb"[\[\]{},]")
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_KEY: Final = re.compile(rb'[ \t\n\r]*+("(?:[^"\\]|\\.)*+")[ \t\n\r]*+:', re.DOTALL)
_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_SPACES: Final = b" \t\n\r"
_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
# What an escape stands for: one byte of UTF-8, at most two, or half of four.
_ONE: Final = re.compile(rb"\\u00[0-7]")
_TWO: Final = re.compile(rb"\\u0[0-7]")
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_WHERE: Final = re.compile(r" \(byte \d+\)")
_CLOSERS: Final = bytes.maketrans(b"[{", b"]}")
_SMALL: Final = 4096
_FLAT: Final = (str, int, float, bool, type(None))

Result = TypeVar("Result")
_work = threading.local()


def is_apart() -> bool:
    """Whether this is done beside the event loop."""
    return getattr(_work, "until", None) is not None


def apart(work: Callable[[], Result]) -> Result:
    """Do `work` in this thread, which is not the event loop's. Raises what it raises."""
    _work.until = time.thread_time() + WORK_S
    try:
        return work()
    finally:
        _work.until = None


def breathe() -> None:
    """Let the event loop go on. Raises ProtocolError for a body that takes too much work."""
    until = getattr(_work, "until", None)
    if until is None:
        return
    time.sleep(0)
    if time.thread_time() > until:
        message = "The request body takes too long to read; send less, or fewer and longer values."
        raise ProtocolError(message, code="invalid_json")


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


def members_of(text: bytes) -> dict[str, Raw]:
    """
    The members of an object, which is checked as a whole.

    Raises ValueError for what is no JSON, NoObject, RecursionError, or TooMany.
    """
    begin = _past_space(text, 0)
    if text[begin : begin + 1] not in (b"{", b""):
        raise NoObject
    found = _Walk(text, is_checked=True, most=MAX_MEMBERS).outline()
    return dict(_members(text, found))


def parts_of(text: bytes) -> list[bytes]:
    """The items of a list that is known to be sound, each as it came."""
    found = _Walk(text, most=MAX_VALUES).outline()
    return [text[begin:end] for begin, end in _parts(text, found)]


def lists_of(text: bytes) -> Iterator[bytes]:
    """The items of a list that is known to be sound, as lists of some of them, or of a long one."""
    for begin, end in _parts(text, _Walk(text).outline()):
        yield b"[" + text[begin:end] + b"]"
        breathe()


def check(text: bytes) -> None:
    """Raises ValueError for what is no JSON, RecursionError, or TooMany."""
    _Walk(text, is_checked=True).outline()


def decode(text: bytes) -> Any:
    """A sound text as values. Raises TooMany, or ValueError for a number that nothing holds."""
    return _Values().of(text)


def encode(value: Any) -> bytes:
    """`value` as JSON."""
    pieces: list[bytes] = []
    _write(value, pieces)
    return b"".join(pieces)


def search(pattern: re.Pattern[bytes], text: bytes) -> bool:
    """Whether `pattern` is somewhere in `text`. What it matches has at most 1 KiB."""
    return next(found_in(pattern, text), None) is not None


def found_in(pattern: re.Pattern[bytes], text: bytes) -> Iterator[re.Match[bytes]]:
    """What `pattern` matches in `text`, where that has at most 1 KiB each."""
    position, size = 0, len(text)
    while position < size:
        end = position + SLICE
        done = end
        for match in pattern.finditer(text, position, end + _OVERLAP):
            if match.start() >= end:
                break
            yield match
            done = max(end, match.end())
        position = done
        breathe()


def words_of(text: bytes, pattern: re.Pattern[bytes]) -> set[bytes]:
    return {match[1] for match in found_in(pattern, text)}


def unescaped_size(text: bytes) -> int:
    """How long `text` would be without its \\u escapes."""
    size = len(text)
    for start in range(0, len(text), SLICE):
        piece = text[start : start + SLICE].replace(b"\\\\", b"__")
        count = piece.count(b"\\u")
        if count:
            size -= 3 * count + len(_ONE.findall(piece))
            size -= len(_TWO.findall(piece)) + len(_HALF.findall(piece))
        breathe()
    return size


class _Walk:
    """
    One way through a text, slice by slice.

    `is_checked`: it may be no JSON, which is then said by ValueError. `most`: how many commas the
    outermost list or object may have; None if the first and last of each slice are enough.
    """

    def __init__(
        self,
        text: bytes,
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
            piece = text[position : position + SLICE]
            segments = _without_escapes(piece).split(b'"')
            used = len(piece)
            if len(segments) % 2 == 0:  # it ends in a string
                used -= len(segments.pop()) + 1
                if used == 0:
                    self._carried.append(b'""')
                    position = _end_of_string(text, position, is_checked=self._is_checked)
                    continue
            self._take(position, piece, used, segments)
            position += used
        if self._is_checked:
            self._check(b"", b"")
        return self._found

    def _take(self, start: int, piece: bytes, used: int, segments: list[bytes]) -> None:
        """`used` bytes of `piece`, which `segments` are without quotes and escapes."""
        self._look_at(start, segments)
        cut = _last_comma(segments) if self._is_checked else -1
        if cut < 0:
            self._move(b"".join(segments[::2]))
            if self._is_checked:
                self._carry(piece[:used])
            return
        before, after = _halved(segments, cut)
        self._move(before)
        self._check(piece[:cut], bytes(self._stack))
        self._opened, self._is_first, self._cut_at = bytes(self._stack), False, start + cut
        self._carried = []
        self._move(after)
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
                    for mark in _MARK.finditer(segment):
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


class _Values:
    """Makes values of a text, and counts them."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def of(self, text: bytes) -> Any:
        if len(text) <= SLICE:
            return halves.decode(text)
        begin = _past_space(text, 0)
        first = text[begin : begin + 1]
        if first == b'"':
            pieces = list[bytes]()
            _end_of_string(text, begin, pieces=pieces)
            return "".join([halves.decode(b'"' + piece + b'"') for piece in pieces])
        if first not in (b"[", b"{"):
            return halves.decode(text)
        found = _Walk(text, values=self._count).outline()
        if first == b"[":
            return self._list(text, found)
        return self._object(text, found)

    def _list(self, text: bytes, found: Outline) -> list[Any]:
        values: list[Any] = []
        for begin, end in _parts(text, found):
            if end - begin > SLICE:
                values.append(self.of(text[begin:end]))
            else:
                values += halves.decode(b"[" + text[begin:end] + b"]")
            breathe()
        return values

    def _object(self, text: bytes, found: Outline) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for begin, end in _parts(text, found):
            if end - begin > SLICE:
                name, at = _name_at(text, begin)
                values[name] = self.of(text[at:end])
            else:
                values |= halves.decode(b"{" + text[begin:end] + b"}")
            breathe()
        return values

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise TooMany(
                f"The request body has more than {MAX_VALUES:,} values, too many to be told to a "
                "provider of another protocol.",
                code="invalid_json",
            )


def _parts(text: bytes, found: Outline) -> Iterator[tuple[int, int]]:
    """Begin and end of what stands between the commas."""
    if found.begin < 0 or found.end < 0:
        return
    begin = found.begin + 1
    if not found.commas and _past_space(text, begin) >= found.end:
        return  # it is empty
    for end in [*found.commas, found.end]:
        if end >= begin:  # the first comma of a slice may be its last as well
            yield begin, end
        begin = end + 1


def _members(text: bytes, found: Outline) -> Iterator[tuple[str, Raw]]:
    view = memoryview(text)
    for begin, end in _parts(text, found):
        name, at = _name_at(text, begin)
        yield name, Raw(view[_past_space(text, at) : _before_space(text, at, end)])


def _name_at(text: bytes, begin: int) -> tuple[str, int]:
    """A member's name, and where what is behind its colon begins."""
    begin = _past_space(text, begin)
    key = _KEY.match(text, begin, begin + _NAME)
    if key is None:
        raise TooMany(
            f"A member's name in the request body is longer than {_NAME} bytes.",
            code="invalid_json",
        )
    name: str = halves.decode(key[1])
    return name, key.end()


def _past_space(text: bytes, position: int) -> int:
    while True:
        end = position + SLICE
        found = _SPACE.match(text, position, end)
        position = found.end() if found is not None else position
        if position < end:
            return position
        breathe()


def _before_space(text: bytes, begin: int, end: int) -> int:
    while end > begin:
        start = max(begin, end - SLICE)
        kept = text[start:end].rstrip(_SPACES)
        if kept:
            return start + len(kept)
        end = start
        breathe()
    return end


def _end_of_string(
    text: bytes, quote: int, *, is_checked: bool = False, pieces: list[bytes] | None = None
) -> int:
    """Where the string that begins at `quote` has ended. `pieces` gets what it is made of."""
    position = quote + 1
    while True:
        piece = text[position : position + SLICE]
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
        if pieces is not None:
            pieces.append(piece)
        position += end
        breathe()
        if is_last:
            return position + 1


def _whole_characters(plain: bytes, text: bytes, position: int) -> int:
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


def _last_comma(segments: list[bytes]) -> int:
    """Where the last comma outside of strings is, -1 for none."""
    end = sum(map(len, segments)) + len(segments) - 1
    for number in range(len(segments) - 1, -1, -1):
        start = end - len(segments[number])
        if number % 2 == 0 and (comma := segments[number].rfind(b",")) >= 0:
            return start + comma
        end = start - 1
    return -1


def _halved(segments: list[bytes], cut: int) -> tuple[bytes, bytes]:
    """What is outside of strings before and behind the comma at `cut`."""
    position = 0
    for number, segment in enumerate(segments):
        end = position + len(segment)
        if position <= cut < end and number % 2 == 0:
            before = b"".join([*segments[:number:2], segment[: cut - position]])
            return before, b"".join([segment[cut - position + 1 :], *segments[number + 2 :: 2]])
        position = end + 1
    raise AssertionError  # there is a comma


def _comes_out(structure: bytes, depth: int) -> bool:
    """Whether what is `depth` deep comes back to the outermost list or object somewhere."""
    if structure.count(b"]") + structure.count(b"}") < depth - 1:
        return False
    return min(accumulate(steps_of(structure.translate(None, _NO_MARKS)))) + depth <= 1


def _opening(opened: bytes) -> bytes:
    """What stands for all that came before a comma inside `opened`."""
    outer = [b'{"":' if bracket == 0x7B else b"[" for bracket in opened[:-1]]
    if not opened:
        return b"0,"  # a comma outside of everything, which is no JSON
    return b"".join([*outer, b'{"":0,' if opened[-1] == 0x7B else b"[0,"])


def _closing(opened: bytes) -> bytes:
    """What stands for all that comes behind a comma inside `opened`, and the comma."""
    if not opened:
        return b""
    another = b',"":0' if opened[-1] == 0x7B else b",0"
    return another + opened[::-1].translate(_CLOSERS)


def _reason(error: msgspec.DecodeError) -> str:
    return _WHERE.sub("", str(error)).removeprefix("JSON is malformed: ")


def _write(value: Any, pieces: list[bytes]) -> None:
    if isinstance(value, str) and len(value) > _SMALL:
        pieces.append(b'"')
        for start in range(0, len(value), SLICE):
            pieces.append(halves.encode(value[start : start + SLICE])[1:-1])
            breathe()
        pieces.append(b'"')
    elif isinstance(value, dict) and not _is_flat(value.values()):
        before = b"{"
        for name, member in value.items():
            pieces += (before, halves.encode(name), b":")
            _write(member, pieces)
            before = b","
        pieces.append(b"}")
    elif isinstance(value, (list, tuple)) and not _is_flat(value):
        before = b"["
        for number, member in enumerate(value):
            pieces.append(before)
            _write(member, pieces)
            before = b","
            if number % _SMALL == 0:
                breathe()
        pieces.append(b"]")
    else:
        pieces.append(halves.encode(value))


def _is_flat(values: Any) -> bool:
    """Whether a list, or an object's values, may be written at once."""
    if len(values) > _SMALL:
        return False
    return all(
        isinstance(each, _FLAT) and not (isinstance(each, str) and len(each) > _SMALL)
        for each in values
    )
