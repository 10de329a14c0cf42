"""What the scanner does beyond the recorded streams of tests/wire."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Fault
from providers.protocols import StreamScanner, forwarded_headers
from providers.protocols.stream import EVENT_LIMIT

pytestmark = pytest.mark.pure


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


@settings(max_examples=50)
@given(st.lists(st.text(), min_size=1, max_size=5), st.data())
def test_any_text_arrives_whole_however_it_is_cut(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join([*map(event, texts), event("", "stop"), DONE])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    scanner = StreamScanner("openai_chat")
    passed = b"".join(
        scanner.feed(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )
    assert scanner.end() is None
    assert passed == stream


def test_the_common_event_is_passed_on_without_a_copy() -> None:
    scanner = StreamScanner("openai_chat")
    scanner.feed(event("a"))
    piece = event("b")
    assert scanner.feed(piece) is piece


def test_an_event_of_8_mib_is_the_largest() -> None:
    head, tail = b'data: {"choices":[{"delta":{"content":"', b'"}}]}'
    fits = head + b"x" * (EVENT_LIMIT - len(head) - len(tail)) + tail
    scanner = StreamScanner("openai_chat")
    assert scanner.feed(fits + b"\n\n") == fits + b"\n\n"
    for stream in (fits.replace(b"xx", b"xxx", 1) + b"\n\n", b"data: " + b"x" * EVENT_LIMIT):
        for step in (len(stream), 3 << 20):
            scanner = StreamScanner("openai_chat")
            for start in range(0, len(stream), step):
                assert scanner.feed(stream[start : start + step]) == b""
            assert scanner.failure is not None
            assert scanner.failure.fault is Fault.BAD_STREAM
            assert "8 MiB" in scanner.failure.message


def test_what_came_before_a_failure_is_returned_with_it() -> None:
    scanner = StreamScanner("openai_chat")
    assert scanner.feed(event("a") + b"data: {oops}\n\n" + event("b")) == event("a")
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.INTERRUPTED
    assert scanner.feed(event("c")) == b""
    assert scanner.end() is scanner.failure


def test_nothing_follows_the_terminator() -> None:
    scanner = StreamScanner("openai_chat")
    assert scanner.feed(event("a", "stop") + DONE + event("b")) == event("a", "stop") + DONE
    assert scanner.feed(event("c")) == b""
    assert scanner.finished


def test_of_several_choices_each_has_to_finish() -> None:
    def of(index: int, text: str, finish: str | None = None) -> bytes:
        return event(text, finish).replace(b'"index": 0', b'"index": %d' % index)

    begun = of(0, "a") + of(0, "b") + of(1, "c") + of(0, "", "stop")
    scanner = StreamScanner("openai_chat", several=True)
    assert scanner.feed(begun + DONE) == begun
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.INTERRUPTED
    scanner = StreamScanner("openai_chat", several=True)
    whole = begun + of(1, "", "length") + of(0, "") + DONE
    assert scanner.feed(whole) == whole
    assert scanner.end() is None


def test_a_secret_in_an_error_event_is_taken_out() -> None:
    scanner = StreamScanner("openai_chat", secrets=("hush-hush",))
    scanner.feed(b'data: {"error":{"message":"key hush-hush is odd"}}\n\n')
    assert scanner.failure is not None
    assert scanner.failure.message == "key [redacted] is odd"


def test_foreign_json_neither_breaks_nor_counts() -> None:
    scanner = StreamScanner("openai_chat")
    odd = b'data: {"choices":[7,{"delta":"x","finish_reason":{}}],"usage":"none"}\n\n'
    assert scanner.feed(odd) == odd
    assert not scanner.has_content
    assert scanner.failure is None
    scanner.feed(event("a"))
    assert scanner.feed(odd) == odd
    assert scanner.failure is None


def test_only_the_openai_families_of_headers_go_upstream() -> None:
    kept = [(b"openai-beta", b"assistants=v2"), (b"x-stainless-lang", b"python")]
    dropped = [
        (name, b"x")
        for name in (
            b"authorization",
            b"x-api-key",
            b"api-key",
            b"cookie",
            b"host",
            b"content-length",
            b"connection",
            b"transfer-encoding",
            b"accept-encoding",
            b"forwarded",
            b"x-forwarded-for",
            b"x-switchyard-provider",
            b"user-agent",
            # The account is ours: another's would bench our credential with a 401.
            b"openai-organization",
            b"openai-project",
        )
    ]
    torn = [(b"openai-x", b"a\r\nhost: evil")]
    assert forwarded_headers([*dropped, *kept, *torn]) == kept
