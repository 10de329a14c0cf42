"""A long text as values."""

from __future__ import annotations

import io
from typing import Any, Final

from msgspec import Raw

from providers.protocols import halves
from providers.protocols.slices.members import name_at, past_space, spans_of
from providers.protocols.slices.turns import SLICE, breathe
from providers.protocols.slices.walk import (
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    Outline,
    TooMany,
    Walk,
    end_of_string,
)

MAX_VALUES: Final = 1_000_000


def decode(text: bytes | Raw | memoryview) -> Any:
    """A sound text as values. Raises TooMany, or ValueError for a number that nothing holds."""
    return _Values().of(memoryview(text))


class _Values:
    """Makes values of a text, and counts them."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def of(self, text: memoryview) -> Any:
        if len(text) <= SLICE:
            return halves.decode(bytes(text))
        begin = past_space(text, 0)
        first = text[begin]
        if first == QUOTE:
            words = io.StringIO()
            end_of_string(text, begin, into=lambda p: words.write(halves.decode(b'"%b"' % p)))
            return words.getvalue()
        if first not in (OPEN_LIST, OPEN_OBJECT):
            return halves.decode(bytes(text))
        found = Walk(text, values=self._count).outline()
        if first == OPEN_LIST:
            return self._list(text, found)
        return self._object(text, found)

    def _list(self, text: memoryview, found: Outline) -> list[Any]:
        values: list[Any] = []
        for begin, end in spans_of(text, found):
            if end - begin > SLICE:
                values.append(self.of(text[begin:end]))
            else:
                values += halves.decode(b"".join([b"[", text[begin:end], b"]"]))
            breathe()
        return values

    def _object(self, text: memoryview, found: Outline) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for begin, end in spans_of(text, found):
            if end - begin > SLICE:
                name, at = name_at(text, begin)
                values[name] = self.of(text[at:end])
            else:
                values |= halves.decode(b"".join([b"{", text[begin:end], b"}"]))
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
