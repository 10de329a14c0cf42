"""What the scanner does beyond the recorded streams of tests/wire."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.judging import Judging
from providers.errors import Fault
from providers.protocols import PROTOCOLS
from providers.protocols.sse import EVENT_LIMIT
from tests.support.wire import scanner_of

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
    scanner = scanner_of("openai_chat")
    passed = b"".join(
        scanner.feed(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )
    assert scanner.end() == (b"", None)
    assert passed == stream


def test_the_common_event_is_passed_on_without_a_copy() -> None:
    scanner = scanner_of("openai_chat")
    scanner.feed(event("a"))
    piece = event("b")
    assert scanner.feed(piece) is piece


def test_an_event_of_8_mib_is_the_largest() -> None:
    head, tail = b'data: {"choices":[{"delta":{"content":"', b'"}}]}'
    fits = head + b"x" * (EVENT_LIMIT - len(head) - len(tail)) + tail
    scanner = scanner_of("openai_chat")
    assert scanner.feed(fits + b"\n\n") == fits + b"\n\n"
    for stream in (fits.replace(b"xx", b"xxx", 1) + b"\n\n", b"data: " + b"x" * EVENT_LIMIT):
        for step in (len(stream), 3 << 20):
            scanner = scanner_of("openai_chat")
            for start in range(0, len(stream), step):
                assert scanner.feed(stream[start : start + step]) == b""
            assert scanner.failure is not None
            assert scanner.failure.fault is Fault.BAD_STREAM
            assert "8 MiB" in scanner.failure.message


def test_what_came_before_a_failure_is_returned_with_it() -> None:
    scanner = scanner_of("openai_chat")
    assert scanner.feed(event("a") + b"data: {oops}\n\n" + event("b")) == event("a")
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.INTERRUPTED
    assert scanner.feed(event("c")) == b""
    assert scanner.end() == (b"", scanner.failure)


def test_nothing_follows_the_terminator() -> None:
    scanner = scanner_of("openai_chat")
    assert scanner.feed(event("a", "stop") + DONE + event("b")) == event("a", "stop") + DONE
    assert scanner.feed(event("c")) == b""
    assert scanner.finished


def test_of_several_choices_each_has_to_finish() -> None:
    def of(index: int, text: str, finish: str | None = None) -> bytes:
        return event(text, finish).replace(b'"index": 0', b'"index": %d' % index)

    begun = of(0, "a") + of(0, "b") + of(1, "c") + of(0, "", "stop")
    scanner = scanner_of("openai_chat", n=2)
    assert scanner.feed(begun + DONE) == begun
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.INTERRUPTED
    scanner = scanner_of("openai_chat", n=2)
    whole = begun + of(1, "", "length") + of(0, "") + DONE
    assert scanner.feed(whole) == whole
    assert scanner.end() == (b"", None)


def test_a_secret_in_an_error_event_is_taken_out() -> None:
    scanner = scanner_of("openai_chat", Judging(("hush-hush",)))
    scanner.feed(b'data: {"error":{"message":"key hush-hush is odd"}}\n\n')
    assert scanner.failure is not None
    assert scanner.failure.message == "key [redacted] is odd"


def test_foreign_json_neither_breaks_nor_counts() -> None:
    scanner = scanner_of("openai_chat")
    odd = b'data: {"choices":[7,{"delta":"x","finish_reason":{}}],"usage":"none"}\n\n'
    assert scanner.feed(odd) == odd
    assert not scanner.has_content
    assert scanner.failure is None
    scanner.feed(event("a"))
    assert scanner.feed(odd) == odd
    assert scanner.failure is None


def test_a_last_event_without_its_blank_line_counts_if_it_is_whole() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n'
    for rest, tokens in ((usage, 3), (usage[:-5], None)):
        scanner = scanner_of("openai_chat")
        passed = scanner.feed(event("a") + event("", "stop") + rest)
        last, failure = scanner.end()
        assert failure is None
        assert passed + last == event("a") + event("", "stop") + DONE
        assert (scanner.usage.input_tokens if scanner.usage else None) == tokens


def test_a_cut_event_before_the_finish_reason_is_a_broken_stream() -> None:
    scanner = scanner_of("openai_chat")
    scanner.feed(event("a") + event("", "stop")[:-10])
    last, failure = scanner.end()
    assert last == b""
    assert failure is not None
    assert failure.fault is Fault.INTERRUPTED


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_stream_without_text_that_says_why_is_an_answer(finish: str) -> None:
    scanner = scanner_of("openai_chat")
    whole = event("", finish) + DONE
    assert scanner.feed(whole) == whole
    assert scanner.end() == (b"", None)


def test_a_finish_reason_that_is_the_providers_fault_is_a_failure() -> None:
    scanner = scanner_of("openai_chat")
    assert scanner.feed(event("", "insufficient_system_resource") + DONE) == b""
    assert scanner.failure is not None
    assert scanner.failure.fault is Fault.BAD_STREAM


def test_half_a_surrogate_pair_in_a_delta_breaks_nothing() -> None:
    halves = [
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00"}}]}\n\n',
    ]
    whole = b"".join([*halves, event("", "stop"), DONE])
    scanner = scanner_of("openai_chat")
    assert b"".join(scanner.feed(piece) for piece in [*halves, event("", "stop"), DONE]) == whole
    assert scanner.end() == (b"", None)


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
    assert PROTOCOLS["openai_chat"].forwarded([*dropped, *kept, *torn]) == kept
