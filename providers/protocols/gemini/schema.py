"""Google's Schema, a part of OpenAPI 3.0, as the JSON Schema that everybody else takes."""

from __future__ import annotations

from typing import Any, Final

from providers.protocols.gemini.parts import snake

_TYPES: Final = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
# Members that hold schemas: one, a list of them, or some by name.
_ONE: Final = frozenset({"items", "additionalProperties"})
_LIST: Final = frozenset({"anyOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "defs"})
# Counts are 64 bits wide, which protobuf spells as strings.
_COUNTS: Final = (
    "maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties",
)  # fmt: skip
_CAMEL: Final = {
    snake(name): name for name in (*_ONE, *_LIST, *_NAMED, *_COUNTS, "propertyOrdering")
}
_RENAMED: Final = {"defs": "$defs", "ref": "$ref"}


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Step by step, not by recursion: how deep a schema is nested is the caller's to choose."""
    whole: dict[str, Any] = {}
    todo = [(schema, whole)]
    while todo:
        given, told = todo.pop()
        for word, value in given.items():
            name = _CAMEL.get(word, word)
            if name in _ONE and isinstance(value, dict):
                told[name] = {}
                todo.append((value, told[name]))
            elif name in _LIST and isinstance(value, list):
                inner = [each for each in value if isinstance(each, dict)]
                told[name] = [{} for _ in inner]
                todo += zip(inner, told[name], strict=True)
            elif name in _NAMED and isinstance(value, dict):
                named = {key: each for key, each in value.items() if isinstance(each, dict)}
                into: dict[str, dict[str, Any]] = {key: {} for key in named}
                told[_RENAMED.get(name, name)] = into
                todo += [(each, into[key]) for key, each in named.items()]
            elif name not in ("nullable", "propertyOrdering", "type"):
                told[_RENAMED.get(name, name)] = _counted(name, value)
        _add_type(told, given)
    return whole


def _add_type(told: dict[str, Any], given: dict[str, Any]) -> None:
    kind = given.get("type")
    if kind == "TYPE_UNSPECIFIED":
        kind = None
    if isinstance(kind, str) and kind.upper() in _TYPES:
        kind = kind.lower()
    if given.get("nullable") is not True:
        if kind is not None:
            told["type"] = kind
        return
    if isinstance(kind, str):
        told["type"] = [kind, "null"]
        if isinstance(told.get("enum"), list):
            told["enum"] = [*told["enum"], None]
    elif isinstance(told.get("anyOf"), list):
        told["anyOf"].append({"type": "null"})


def _counted(name: str, value: Any) -> Any:
    if name in _COUNTS and isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return int(value)
    return value
