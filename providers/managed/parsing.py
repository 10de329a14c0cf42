"""Bodies of the API: JSON whose text and numbers can be stored, and written into an answer."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from providers.validation import NO_TEXT, UNSTORABLE

DEEPEST: Final = 64
MOST_VALUES: Final = 20_000
LARGEST: Final = 2**63 - 1
TOO_DEEP: Final = f"The body is nested too deep; allowed are {DEEPEST} levels."
TOO_MANY: Final = f"The body has too many values; allowed are {MOST_VALUES:,}."
TOO_LARGE: Final = f"A number is too large; allowed are whole numbers up to {LARGEST}."


class StorableJSONParser(JSONParser):
    """
    Refuses what no object of ours has and no database holds, anywhere in names and values: a 400,
    told once. NUL, half a surrogate pair, a number beyond 64 bits, and nesting without end.
    """

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        del media_type, parser_context  # JSON is UTF-8, whatever it is called (RFC 8259, 8.1)
        try:
            value = json.loads(stream.read().decode("utf-8-sig"), parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except RecursionError:
            raise ParseError(TOO_DEEP) from None
        except ValueError as error:
            raise ParseError(f"JSON parse error - {str(error)[:200]}") from None
        _check(value)
        return value


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _check(root: Any) -> None:
    """Raises ParseError. A loop, so that depth is bounded by us and not by Python."""
    level, depth, number = [root], 0, 0
    while level:
        if depth > DEEPEST:
            raise ParseError(TOO_DEEP)
        number += len(level)
        if number > MOST_VALUES:
            raise ParseError(TOO_MANY)
        following: list[Any] = []
        for value in level:
            if isinstance(value, str):
                if UNSTORABLE.search(value):
                    raise ParseError(f"{NO_TEXT.capitalize()}.")
            elif isinstance(value, dict):
                following += value.keys()
                following += value.values()
            elif isinstance(value, list):
                following += value
            elif _is_too_large(value):
                raise ParseError(TOO_LARGE)
        level, depth = following, depth + 1


def _is_too_large(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) > LARGEST
    return isinstance(value, float) and not math.isfinite(value)
