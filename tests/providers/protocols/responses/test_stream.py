"""What the scanner does beyond the recorded streams of tests/wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Fault
from providers.protocols import Problem
from tests.support.responses_stream import read_as_codex, read_stream
from tests.support.wire import scanner_of

pytestmark = pytest.mark.pure

CASES = Path("tests/wire/openai_responses")
PLAIN = (CASES / "plain_text" / "upstream.sse").read_bytes()
PROBLEM = Problem(status=502, message="cut", type="server_error", code="upstream_failed")


def event(kind: str, **members: Any) -> bytes:
    told = json.dumps({"type": kind, **members}, ensure_ascii=False)
    return f"event: {kind}\ndata: {told}\n\n".encode()


def delta(text: str, number: int = 0) -> bytes:
    return event("response.output_text.delta", output_index=0, delta=text, sequence_number=number)


def test_the_common_event_is_passed_on_without_a_copy() -> None:
    scanner = scanner_of("openai_responses")
    scanner.feed(delta("a"))
    piece = delta("b")
    assert scanner.feed(piece) is piece


@settings(max_examples=50)
@given(st.lists(st.text(), min_size=1, max_size=5), st.data())
def test_any_text_arrives_whole_however_it_is_cut(texts: list[str], data: st.DataObject) -> None:
    end = event("response.completed", response={"id": "r", "status": "completed", "output": []})
    stream = b"".join([*(delta(text or "x") for text in texts), end])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    scanner = scanner_of("openai_responses")
    passed = b"".join(
        scanner.feed(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )
    assert scanner.end() == (b"", None)
    assert passed == stream


def test_a_stream_that_breaks_ends_as_the_response_that_has_begun() -> None:
    events = PLAIN.split(b"\n\n")
    for count in range(1, len(events) - 1):
        scanner = scanner_of("openai_responses")
        passed = scanner.feed(b"\n\n".join(events[:count]) + b"\n\n")
        assert scanner.end()[1] is not None

        told = read_stream(passed + scanner.error_event(PROBLEM))

        assert told.error is not None
        assert (told.error["code"], told.error["message"]) == ("upstream_failed", "cut")
        assert told.response["id"] == "resp_1"
        codex = read_as_codex(passed + scanner.error_event(PROBLEM))
        assert codex.error is not None
        assert codex.error["code"] == "upstream_failed"


def test_a_stream_that_breaks_before_it_has_begun_ends_with_a_flat_error() -> None:
    scanner = scanner_of("openai_responses")
    told = read_stream(scanner.error_event(PROBLEM))
    assert told.error is not None
    assert told.error["code"] == "upstream_failed"


def test_the_last_number_follows_that_of_the_provider() -> None:
    scanner = scanner_of("openai_responses")
    scanner.feed(event("response.created", response={"id": "r"}, sequence_number=40))
    scanner.feed(delta("a", 41))
    scanner.feed(delta("b", 42))
    told = json.loads(scanner.error_event(PROBLEM).partition(b"data: ")[2])
    assert told["sequence_number"] == 43


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"type":"response.output_text.delta","delta":7,"output_index":{}}\n\n',
        b'data: {"type":"response.completed"}\n\n',
        b'data: {"type":"response.created","response":[],"sequence_number":"x"}\n\n',
        b'data: {"type":"response.output_item.added","item":3}\n\n',
        b'data: {"type":"a b\\nc","x":1}\n\n',
        b'data: {"type":["x"],"sequence_number":-1}\n\n',
        b'data: {"x":1}\n\n',
    ],
)
def test_foreign_json_neither_breaks_nor_counts(odd: bytes) -> None:
    scanner = scanner_of("openai_responses")
    scanner.feed(odd)
    assert not scanner.has_content
    assert scanner.failure is None
    scanner.feed(delta("a"))
    scanner.feed(odd)
    assert scanner.failure is None
    assert not scanner.finished


def test_an_error_without_a_type_is_an_error() -> None:
    scanner = scanner_of("openai_responses")
    scanner.feed(b'data: {"detail":"Not today"}\n\n')
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.BAD_STREAM
    assert scanner.failure.message == "Not today"


def test_nothing_follows_the_end() -> None:
    scanner = scanner_of("openai_responses")
    assert scanner.feed(PLAIN + delta("more")) == PLAIN
    assert scanner.feed(delta("more")) == b""
    assert scanner.finished


def test_the_strict_reader_takes_what_openai_documents() -> None:
    told = read_stream(PLAIN)
    assert told.text == "Hello"
    assert read_as_codex(PLAIN).is_complete
