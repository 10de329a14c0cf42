"""How deep a JSON text is nested, without decoding it."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 64
# Far beyond any request; it bounds the time that a hostile body of brackets can take to 0.1 s.
MAX_BRACKETS: Final = 2_000_000

_LONG: Final = 64 << 10
_NO_MARKS: Final = bytes(byte for byte in range(256) if byte not in b'[]{}"')
# +1 and -1 as signed bytes; whether both kinds pair up is the decoder's question, not ours.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def steps_of(brackets: bytes) -> memoryview:
    """+1 or -1 for each of `brackets`, which is nothing else."""
    return memoryview(brackets.translate(_STEPS)).cast("b")


def _has_few(text: bytes) -> bool:
    """Whether a long text has no more brackets than levels: it is not counted through."""
    left = MAX_DEPTH
    for bracket in (b"[", b"{"):
        position = text.find(bracket)
        while position >= 0:
            if left == 0:
                return False
            left -= 1
            position = text.find(bracket, position + 1)
    return True


def is_too_deep(text: bytes) -> bool:
    """
    Whether `text` nests arrays and objects deeper than MAX_DEPTH; brackets in strings don't count.

    Most bodies do not even have 64 brackets. Others are searched in whole-buffer steps: a chat of
    400 messages and 470 kB takes about a third of a millisecond, 31 MiB of nothing but escapes or
    short strings up to 0.3 s.
    """
    if len(text) < _LONG:
        if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
            return False
    elif _has_few(text):
        return False
    if b'\\"' in text:
        # Pairs of backslashes first, from the left: what is then left before a quote escapes it.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A bracket is in a string if the number of quotes before it is odd: quotes side by side may go.
    marks = text.translate(None, _NO_MARKS).replace(b'""', b"")
    if marks.count(b'"') > MAX_BRACKETS:  # and so as many brackets, in strings and between them
        return True
    steps = b"".join(marks.split(b'"')[::2]).translate(_STEPS)
    if len(steps) > MAX_BRACKETS:
        return True
    return max(accumulate(memoryview(steps).cast("b")), default=0) > MAX_DEPTH
