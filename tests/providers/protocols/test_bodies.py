"""Bodies of megabytes are looked through quickly, and say what small ones say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.protocols import bodies
from providers.protocols.gemini.parts import plain_base64
from providers.protocols.nesting import MAX_DEPTH, is_too_deep
from providers.protocols.reading import media_of_url, without_spaces

pytestmark = pytest.mark.pure

LONG = "A" * 300_000
URL = "data:image/png;base64,"


@pytest.mark.parametrize("size", [40, 200_000])
@pytest.mark.parametrize("pad", ["", "text " * 30_000])
def test_media_count_the_same_whatever_their_size(size: int, pad: str) -> None:
    data = "A" * size
    value: list[Any] = [
        pad, {"url": URL + data}, {"type": "base64", "data": data}, {"data" : data, "x": pad},
    ]  # fmt: skip
    for text in (json.dumps(value), json.dumps(value, separators=(",", ":"))):
        counted = bodies.estimate(text.encode()) - len(text.replace(data, "")) // 4
        assert counted in range(3000, 3003)


def test_a_long_text_counts_by_its_size_whatever_stands_before_it() -> None:
    value = {"data": "x", "text": LONG, "more": LONG, "end": "base64," + LONG}
    assert bodies.estimate(json.dumps(value).encode()) > 900_000 // 4


@given(st.lists(st.sampled_from(['"data":"', '"', ";base64,", "A" * 70_000, "\\", "\ud83d", "é"])))
def test_texts_that_look_like_media_are_counted_all_the_same(pieces: list[str]) -> None:
    text = json.dumps([{"data": "".join(pieces)}, *pieces, {"x": "".join(pieces)}]).encode()
    assert 0 <= bodies.estimate(text) <= len(text) // 4 + 1000 * (3 * len(pieces) + 1)


@pytest.mark.parametrize("pad", ["", LONG])
@pytest.mark.parametrize(("begin", "end"), ["[]", ('{"a":', "}"), ('[{"a":', "}]")])
def test_long_texts_may_be_nested_as_deep_as_short_ones(pad: str, begin: str, end: str) -> None:
    levels = begin.count("[") + begin.count("{")
    most = MAX_DEPTH // levels
    text = begin * most + json.dumps(pad) + end * most
    assert not is_too_deep(text.encode())
    assert not is_too_deep(("[" + text + "," + text + "]").encode()) or levels * most == MAX_DEPTH
    assert is_too_deep(("[" + text + "]").encode())


@pytest.mark.parametrize("data", ["QUJD\nREVG", " QUJD REVG\r\n", "QUJDREVG"])
def test_base64_comes_out_in_one_line(data: str) -> None:
    assert without_spaces(data) == "QUJDREVG"
    assert media_of_url(URL + data, "image", "x").data == "QUJDREVG"
    assert plain_base64(data) == "QUJDREVG"


@pytest.mark.parametrize("data", ["QU!D", "é" * 70_000, LONG + "A", "!" + LONG])
def test_what_is_no_base64_is_none(data: str) -> None:
    assert plain_base64(data) is None
