"""Bodies of the API: JSON whose text can be stored, and written into an answer."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from providers.validation import NO_TEXT, is_storable


class StorableJSONParser(JSONParser):
    """Refuses NUL and half surrogate pairs anywhere, in names and values: a 400, told once."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        value = super().parse(stream, media_type, parser_context)
        if not is_storable(value):
            raise ParseError(f"{NO_TEXT.capitalize()}.")
        return value
