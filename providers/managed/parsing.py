"""Bodies of the API: JSON whose text can be stored, and written into an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text holds neither


class StorableJSONParser(JSONParser):
    """Refuses NUL and half surrogate pairs anywhere, in names and values: a 400, told once."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        value = super().parse(stream, media_type, parser_context)
        if not _is_storable(value):
            raise ParseError("Text must not hold NUL or half of a surrogate pair.")
        return value


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, Mapping):
        return all(_is_storable(key) and _is_storable(inner) for key, inner in value.items())
    return not isinstance(value, list) or all(map(_is_storable, value))
