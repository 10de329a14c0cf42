"""What codecs of every protocol read alike: JSON of which nothing is certain, and its media."""

from __future__ import annotations

import time
from typing import Any, Final

from providers.errors import ProtocolError
from providers.protocols.canonical import Effort, Media

# Free-form text as the one argument of a function, where a provider knows functions alone.
INPUT_SCHEMA: Final = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_LEVELS: Final = ((2048, "low"), (8192, "medium"), (16384, "high"))


def text_of(value: Any) -> str:
    """The text itself; "" for whatever else stands where text should."""
    return value if isinstance(value, str) else ""


def dicts_of(value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else []
    return [item for item in found if isinstance(item, dict)]


def dict_of(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def flag_of(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def media_of_url(url: str, kind: str, where: str) -> Media:
    """A data: URL as what it holds, any other as the address that it is. Raises ProtocolError."""
    if not url.startswith("data:"):
        return Media(kind=kind, url=url)
    comma = url.find(",")
    media_type, *options = url[5:comma].split(";")
    if comma < 0 or "base64" not in options:
        raise problem(where, "a data: URL must hold base64 (data:TYPE;base64,…)")
    return Media(kind=kind, media_type=media_type, data=without_spaces(url[comma + 1 :]))


def without_spaces(data: str) -> str:
    """Base64 in one line: most comes so, and then costs a fifth of taking it apart."""
    return "".join(data.split()) if any(space in data for space in " \n\r\t") else data


def with_members(media: Media, **more: str) -> Media:
    fields = {name: getattr(media, name) for name in media.__struct_fields__}
    return Media(**{**fields, **more})


def level_of(effort: Effort) -> str:
    """The level of a budget, or what was said; "" where that is the provider's to choose."""
    if effort.level or effort.budget is None:
        return effort.level
    if effort.budget <= 0:
        return "none" if effort.budget == 0 else ""
    return next((level for most, level in _LEVELS if effort.budget < most), "xhigh")


def new_call_id(number: int) -> str:
    return f"call_{time.time_ns():x}{number:02x}"


def problem(where: str, words: str) -> ProtocolError:
    return ProtocolError(f"'{where}': {words}.", param=where)
