"""Values as long JSON."""

from __future__ import annotations

from typing import Any, Final

from providers.protocols import halves
from providers.protocols.slices.turns import SLICE, breathe, joined

_SMALL: Final = 4096
_FLAT: Final = (str, int, float, bool, type(None))


def encode(value: Any) -> bytes:
    """`value` as JSON."""
    pieces: list[bytes] = []
    _write(value, pieces)
    return joined(pieces)


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
