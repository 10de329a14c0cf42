"""How a number of things is said."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """`number` of them: "1 model", "2,000 models". `many` is what is not `one` with an s."""
    return f"{number:,} {noun(number, one, many)}"


def noun(number: int, one: str, many: str = "") -> str:
    """What is counted alone, where the number stands otherwise."""
    return one if number == 1 else many or f"{one}s"
