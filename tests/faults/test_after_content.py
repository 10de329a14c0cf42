"""
Rows 61 to 75: once content has gone out nobody else can go on. What is sound goes to the end; what
breaks ends with an error event, and the caller is never told that it was whole.
"""

from __future__ import annotations

import zlib

import pytest

from tests.faults import says
from tests.faults.field import Case, Field
from tests.faults.provider import GATE, HANG, RESET, Flood, Step
from tests.faults.says import BEGUN, DONE, ERROR, FINISH, SSE, TEXT, chunked, event, head, piece
from tests.support.processes import wait_for
from tests.support.validator import Told

WHOLE = says.STREAM + DONE
SLOW = {"idle_s": 0.4}
MIB = 1 << 20


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def call(**function: str) -> bytes:
    """A piece of a tool call; the first one has a name."""
    named = {"id": "t1", "type": "function"} if "name" in function else {}
    return event(piece({"tool_calls": [{"index": 0, **named, "function": function}]}))


def of_choice(index: int, text: str, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return event(piece({}, choices=[choice]))


def after(begun: bytes, *steps: Step, **more: object) -> Case:
    """`begun` reaches the caller before the steps are taken."""
    return Case(script=(chunked(begun, is_ended=False), GATE, *steps), **more)  # type: ignore[arg-type]


def goes_on(*pieces: bytes) -> Case:
    """The same with more chunks, and a framing that ends well."""
    return after(BEGUN, b"".join(map(chunk, pieces)) + b"0\r\n\r\n")


def packed(begun: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(begun) + packer.flush(zlib.Z_SYNC_FLUSH)


CALLING = says.ROLE + call(name="f", arguments="") + call(arguments='{"a":')
BROKEN = {
    "row-34-gzip-that-goes-bad": Case(
        script=(head(SSE, content_encoding="gzip") + packed(BEGUN), GATE, b"no gzip" * 9)
    ),
    "row-61-reset": after(BEGUN, RESET),
    "row-62-cut-between-chunks": after(BEGUN),
    "row-62-cut-inside-a-chunk": after(BEGUN, chunk(says.says("!") + FINISH)[:-9]),
    "row-62-a-chunk-size-that-is-none": after(BEGUN, b"zz\r\n"),
    "row-63-clean-end-without-finish": goes_on(),
    "row-63-reset-without-terminator": after(BEGUN + FINISH, RESET),
    "row-63-close-without-framing": Case(script=(head(SSE) + BEGUN, GATE)),
    "row-63-end-inside-an-event": goes_on(b'data: {"id":'),
    "row-64-stall": after(BEGUN, HANG, timeouts=SLOW),
    "row-65-a-byte-at-a-time-for-ever": after(
        BEGUN, Flood(chunk(b":"), pause_s=0.02), timeouts=SLOW | {"stream_total_s": 0.8}
    ),
    "row-66-error-event": goes_on(event({"error": ERROR}), WHOLE),
    "row-66-named-error-event": goes_on(b"event: error\n" + event({"error": ERROR})),
    "row-66-finish-error": goes_on(event(piece({}, "error")), DONE),
    "row-67-no-json": goes_on(b"data: {oops}\n\n", WHOLE),
    "row-67-no-object": goes_on(b"data: 7\n\n", WHOLE),
    "row-67-no-utf-8": goes_on(says.says("x").replace(b"x", b"\xff"), WHOLE),
    "row-67-nul": goes_on(says.says("x").replace(b"x", b"\0"), WHOLE),
    "row-68-event-over-8-mib": goes_on(says.says("x" * 8 * MIB), WHOLE),
    "row-68-line-without-end": Case(
        script=(head(SSE) + BEGUN + b"data: ", GATE, Flood(b"x" * MIB, limit=100))
    ),
    "row-73-tool-call-cut-off": after(CALLING, b"0\r\n\r\n"),
    "row-75-terminator-without-finish": goes_on(DONE),
    "row-75-one-of-two-choices-finished": goes_on(of_choice(1, "b") + FINISH + DONE),
}  # fmt: skip


def crlf(stream: bytes) -> bytes:
    return stream.replace(b"\n", b"\r\n")


def by_byte(stream: bytes) -> bytes:
    return chunked(*[stream[i : i + 1] for i in range(len(stream))])


EMOJI = says.ROLE + says.says("grüße 🌍") + FINISH + DONE
TWO_LINES = WHOLE.replace(b',"object"', b',\ndata: "object"')
FIELDS = b"".join(
    b"id: 7\nevent: message\nretry: 1\n" + line + b"\n\n: comment\n\nevent: nothing\n\nretry: 1\n\n"
    for line in WHOLE.split(b"\n\n")[:-1]
)  # fmt: skip
SOUND = {
    "row-63-clean-end-without-terminator": Case(script=(chunked(WHOLE.removesuffix(DONE)),)),
    "row-65-a-byte-at-a-time": Case(
        script=(
            chunked(BEGUN, is_ended=False),
            *[part for byte in says.says("!") for part in (chunk(bytes([byte])), 0.004)],
            chunk(FINISH + DONE) + b"0\r\n\r\n",
        ),
        timeouts=SLOW,
    ),
    "row-69-utf-8-split-anywhere": Case(script=(by_byte(EMOJI),)),
    "row-69-crlf": Case(script=(chunked(crlf(WHOLE)),)),
    "row-69-crlf-split-anywhere": Case(script=(by_byte(crlf(WHOLE)),)),
    "row-69-cr": Case(script=(by_byte(WHOLE.replace(b"\n", b"\r")),)),
    "row-69-no-space": Case(script=(chunked(WHOLE.replace(b"data: ", b"data:")),)),
    "row-69-several-data-lines": Case(script=(by_byte(TWO_LINES),)),
    "row-70-other-fields-and-comments": Case(script=(chunked(FIELDS),)),
    "row-71-data-after-the-terminator": Case(script=(chunked(WHOLE, says.says("late")),)),
    "row-71-an-error-after-it": Case(script=(chunked(WHOLE + event({"error": ERROR})),)),
    "row-71-a-flood-after-the-terminator": Case(
        script=(head(SSE) + WHOLE, Flood(says.says("late") * 500))
    ),
    "row-71-silence-after-the-terminator": Case(script=(chunked(WHOLE, is_ended=False), HANG)),
    "row-71-reset-after-the-terminator": Case(script=(chunked(WHOLE, is_ended=False), RESET)),
    "row-72-two-terminators": Case(script=(chunked(WHOLE, DONE),)),
    "row-73-length": Case(
        script=(chunked(CALLING, event(piece({}, "length")), DONE),)
    ),
    "row-74-no-usage": Case(script=(chunked(WHOLE),)),
    "row-75-both-choices-finished": Case(
        script=(chunked(BEGUN + of_choice(1, "b") + FINISH + of_choice(1, "", "stop") + DONE),)
    ),
}  # fmt: skip
CASES = (
    BROKEN
    | SOUND
    | {
        "row-61-again-and-again": BROKEN["row-61-reset"],
        "row-66-error-event-at-once": Case(script=(chunked(BEGUN + event({"error": ERROR})),)),
        "row-75-terminator-without-finish-at-once": Case(script=(chunked(BEGUN + DONE),)),
    }
)


def told(field: Field, name: str, *, usage: bool = False) -> Told:
    more = {"n": 2} if "choice" in name else None
    asked = field.ask(name, stream=True, usage=usage, more=more)
    assert asked.answer is not None
    assert asked.answer.status == 200
    assert asked.calls == [name]  # nobody else is asked to go on
    assert asked.told is not None
    return asked.told


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_after_content_ends_in_an_error_event(field: Field, name: str) -> None:
    field.forget_peak()
    before = field.peak_kb()

    stream = told(field, name)

    assert stream.error is not None
    assert stream.error["code"] == "stream_interrupted"
    assert name in stream.error["message"]  # the provider's name is the case's
    if "tool" in name:
        assert stream.choices[0].calls == [{"id": "t1", "name": "f", "arguments": '{"a":'}]
    else:
        assert stream.text.startswith("Hello from")
    assert field.peak_kb() - before < 64 << 10


@pytest.mark.parametrize("name", SOUND)
def test_a_stream_of_odd_but_legal_bytes_arrives_whole(field: Field, name: str) -> None:
    stream = told(field, name, usage=name.startswith("row-74"))

    assert stream.error is None
    assert stream.finish == ("length" if name == "row-73-length" else "stop")
    expected = {
        "row-65-a-byte-at-a-time": "Hello from!",
        "row-69-utf-8-split-anywhere": "grüße 🌍",
        "row-73-length": "",
        "row-75-both-choices-finished": "Hello from",
    }
    assert stream.text == expected.get(name, TEXT)


def test_row_61_a_provider_that_breaks_again_and_again_is_benched(field: Field) -> None:
    name = "row-61-again-and-again"
    breaks = 0
    while (asked := field.ask(name, stream=True)).calls == [name]:
        assert asked.told is not None
        assert asked.told.error is not None
        breaks += 1

    assert breaks == 3
    assert asked.calls == ["spare-stream"]
    wait_for(lambda: field.is_benched(name), what="the bench to be on the board")


@pytest.mark.parametrize("name", ["row-66-error-event", "row-75-terminator-without-finish"])
def test_what_breaks_before_anything_was_sent_costs_the_caller_nothing(
    field: Field, name: str
) -> None:
    """Content and break come in one packet: nobody has seen a byte, so the spare may answer."""
    asked = field.ask(f"{name}-at-once", stream=True)

    assert asked.calls == [f"{name}-at-once", "spare-stream"]
    assert asked.told is not None
    assert asked.told.finish == "stop"


def test_row_74_without_usage_the_record_has_the_estimate_alone(field: Field) -> None:
    asked = field.ask("row-74-no-usage", stream=True, usage=True)

    row = field.record(asked)
    assert row["input_tokens"] is None
    assert row["output_tokens"] is None
    assert row["features"]["estimated_input_tokens"] > 0
