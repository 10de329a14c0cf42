"""How deep a JSON text is nested, without decoding it."""

from __future__ import annotations

MAX_DEPTH = 64

# Everything but brackets and quotes goes, and both kinds of bracket become one: whether they pair
# up is the decoder's question, not ours.
_KEEP = b'[]{}"'
_DELETE = bytes(byte for byte in range(256) if byte not in _KEEP)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_too_deep(text: bytes) -> bool:
    """
    Whether `text` nests arrays and objects deeper than MAX_DEPTH; brackets in strings don't count.

    Whole-buffer operations only, so that a 5 MB image costs about a millisecond and a long chat a
    few hundred microseconds; most bodies do not even have 64 brackets.
    """
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    if b"\\" in text:
        # Pairs of backslashes first, from the left: what is then left before a quote escapes it.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = text.translate(_ONE_KIND, _DELETE)
    brackets = b"".join(structure.split(b'"')[::2])
    too_many = b"[" * (MAX_DEPTH + 1)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        # A run of opening brackets longer than the limit decides at once; without this test a
        # hostile body of brackets alone would be copied 64 times.
        if too_many in brackets:
            return True
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            return False  # not balanced: not JSON, and the decoder says where
        brackets = inner
    return bool(brackets)
