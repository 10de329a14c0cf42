"""Odd scalars at every key of the schema: refused with a line, or good to be published."""

from __future__ import annotations

import json
from copy import deepcopy
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from controlplane.config.document import parse
from controlplane.config.mirror import mirror
from controlplane.config.schema import ConfigurationBlock
from controlplane.config.yaml import ConfigErrors
from controlplane.publishing.publisher import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Place = tuple[str | int, ...]

ENVIRON = {"ODD": ".inf", "B": "b"}
TIER = {"above_input_tokens": 5}
SOUND: dict[str, Any] = {
    "providers": {
        "lab": {
            "kind": "openai",
            "models": [{"id": "a", "metadata": {"pricing": {"tiers": [TIER]}}}],
        }
    },
    "routing": {
        "model_pools": {
            "small": {"candidates": [{"provider": "lab", "model": "a"}]},
            "large": {"candidates": [{"provider": "lab", "model": "b"}]},
        }
    },
    "aliases": {"own": {"targets": [{"provider": "lab", "model": "a"}]}},
    "failover": {"rules": {"small": ["large"]}},
    "keys": [{"name": "k", "key": "sy_0123456789abcdef"}],
}  # fmt: skip
NAMES = {"providers": "lab", "model_pools": "small", "aliases": "own", "rules": "small"}
ODD = [
    ".inf", "-.Inf", ".NaN", "1e400", "1e308", "1e-320", "-0.0", "0", "-1", "1", "0.5", "1.0",
    "502", "2147483647", "2147483648", "9223372036854775808", "1" * 5000, "0x_", "0b2", "0o9",
    "+5", "1_0",
    "!!int three", "!!bool maybe", "!!float ''", "!!int ''", "yes", "!!bool yes", "true", "null",
    "''", "' '", "99999999d", "3650d", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    "9000-12-31T23:59:59-23:59", "1970-01-01T00:00:00+23:59", "2030-W01-1", r'"\ud83d\ude00"',
    r'"\ud83d"', r'"\0"', r'"\x85"', r'"\u2028"', r'"\U0010ffff"', "x" * 100, "x" * 501,
    "'${A:-${B}}'", "'${NO}'", "'${ODD}'", "'$${'", "'${'", "[]", "{}", "[[]]", "[1, 1]", "[null]",
    "{a: .inf}", "!!binary eA==", "!x y", "*nope", "&a [*a]", "'*'", "'[1m]'", "'http://[::1'",
    "'http://x:99999999/'", "'http://\u2100'", "lab/a", "small", "1:30", "=", "<<",
]  # fmt: skip


class _Yaml(str):
    """Stands in the file as it is."""

    __slots__ = ()


def _without_null(kind: Any) -> Any:
    """`kind` without Annotated and None."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    return kind


def _places(kind: Any, place: Place = ()) -> Iterator[Place]:
    """Every key of the schema at or below `place`."""
    kind = _without_null(kind)
    if place:
        yield place
    if get_origin(kind) is dict:
        name = NAMES.get(str(place[-1]), "x")
        yield from _places(get_args(kind)[1], (*place, name))
    elif get_origin(kind) is list:
        yield from _places(get_args(kind)[0], (*place, 0))
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from _places(field.annotation, (*place, name))


PLACES = list(_places(ConfigurationBlock))


def _with(place: Place, value: Any, into: Any) -> Any:
    """`into`, a mapping or list, with `value` at `place`."""
    key, *rest = place
    if rest:
        there = into.get(key) if isinstance(into, dict) else (into or [None])[0]
        empty: Any = [] if isinstance(rest[0], int) else {}
        value = _with(tuple(rest), value, there if isinstance(there, type(empty)) else empty)
    return {**into, key: value} if isinstance(into, dict) else [value, *into[1:]]


def _file(place: Place, odd: str) -> str:
    root = _with(place, _Yaml(odd), deepcopy(SOUND))
    if place == ("aliases", "own", "target"):
        del root["aliases"]["own"]["targets"]
    return _text(root)


def _text(value: Any) -> str:
    if isinstance(value, _Yaml):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value)


def _mistakes(text: str) -> tuple[str, ...]:
    try:
        parse(text, filename="c.yaml", environ=ENVIRON)
    except ConfigErrors as refused:
        return refused.errors
    return ()


def test_what_surrounds_the_odd_scalars_is_sound() -> None:
    assert _mistakes(_text(SOUND)) == ()


@pytest.mark.parametrize("odd", [r'"\ud83d"', "!x y"])
def test_no_key_takes_what_nothing_can_hold(odd: str) -> None:
    assert [place for place in PLACES if not _mistakes(_file(place, odd))] == []


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(place=st.sampled_from(PLACES), odd=st.sampled_from(ODD))
def test_an_odd_scalar_is_a_mistake_with_its_line_or_can_be_published(
    tmp_path: Path, place: Place, odd: str
) -> None:
    text = _file(place, odd)
    mistakes = _mistakes(text)
    assert all(line.startswith("c.yaml:1: ") for line in mistakes), mistakes
    if mistakes:
        return
    with transaction.atomic():
        mirror(parse(text, filename="c.yaml", environ=ENVIRON))

        # It compiles what it publishes, as the workers do.
        assert publish(tmp_path).generation > 0
        transaction.set_rollback(True)
