"""
Rows 1 to 38, and the breaks after content, for callers and providers of the other protocols.

What only bytes of HTTP decide (rows 2 to 19) is one code for all: one of each kind stands here.
"""

from __future__ import annotations

import gzip

import pytest

from tests.faults import says
from tests.faults.field import Case, Field
from tests.faults.provider import GATE, HANG, REFUSED, RESET, Flood, Step
from tests.faults.says import PAGE, SSE, chunked, dump, head, whole
from tests.faults.tongues import MESSAGES, RESPONSES, SPARE_TEXT, TONGUES, Tongue

SHORT = {"first_token_s": 0.4, "total_s": 0.4, "connect_s": 0.4}
OTHERS = TONGUES[1:]


def before(t: Tongue) -> dict[str, Case]:
    """What comes instead of an answer, to callers of both kinds."""
    packed = gzip.compress(t.good)
    return {
        "row-1-connect-refused": Case(base_url=REFUSED, unlogged=1),
        "row-6-reset-before-a-byte": Case(script=(RESET,)),
        "row-14-no-headers": Case(script=(HANG,), timeouts=SHORT),
        "row-19-redirect": Case(
            script=(head(status="307 Moved", location="http://x.invalid/", content_length="0"),)
        ),
        "row-20-html": Case(script=(whole(PAGE, "text/html"),)),
        "row-20-html-that-claims-json": Case(script=(whole(PAGE),)),
        "row-20-html-that-claims-events": Case(script=(whole(PAGE, SSE),)),
        "row-21-empty": Case(script=(whole(b""),)),
        "row-21-empty-events": Case(script=(whole(b"", SSE),)),
        "row-22-error-object": Case(script=(whole(dump({"error": says.ERROR})),)),
        "row-25-events-without-one": Case(script=(chunked(kind=SSE),)),
        "row-26-only-comments": Case(script=(chunked(b": ping\n\n", b": ping\n\n"),)),
        "row-27-only-the-opening": Case(script=(chunked(t.role),)),
        "row-27-opening-and-terminator": Case(script=(chunked(t.role, t.done),)),
        "row-28-error-first": Case(script=(chunked(t.error),)),
        "row-28-error-after-the-opening": Case(script=(chunked(t.role, t.error),)),
        "row-29-first-event-no-json": Case(script=(chunked(b"data: {hello\n\n", t.begun),)),
        "row-29-first-event-no-utf-8": Case(
            script=(chunked(t.role + t.text("xyz").replace(b"xyz", b"\xff")),)
        ),
        "row-30-truncated-json": Case(script=(whole(t.good[:-9]),)),
        "row-31-cut-by-length": Case(script=(whole(t.good)[:-9],)),
        "row-31-reset-in-the-body": Case(script=(whole(t.good)[:-9], RESET)),
        "row-32-a-list": Case(script=(whole(b"[" + t.good + b",7]"),)),
        "row-34-brotli": Case(script=(whole(t.good, content_encoding="br"),)),
        "row-34-cut-gzip": Case(script=(whole(packed[:-9], content_encoding="gzip"),)),
        "row-35-plain-that-claims-gzip": Case(script=(whole(t.good, content_encoding="gzip"),)),
        "row-36-a-byte-at-a-time": Case(
            script=(head(content_length="9000"), Flood(b" ", pause_s=0.05)), timeouts=SHORT
        ),
        "row-37-64-mib-and-a-byte": Case(
            script=(head(content_length=str((64 << 20) + 1)), Flood(bytes(1 << 20), limit=65))
        ),
        "row-38-an-undeclared-charset": Case(
            script=(whole(dump(t.reply("grüße")).decode().encode("latin-1")),)
        ),
    } | {f"row-32-33-{name}": Case(script=(whole(dump(reply)),)) for name, reply in t.empty.items()}


def opened(t: Tongue) -> dict[str, Case]:
    """To callers of streams: what comes before the content, then a silence or an end."""
    return {
        "row-14-headers-and-no-content": Case(script=(head(SSE), HANG), timeouts=SHORT),
        "row-26-comments-for-ever": Case(
            script=(head(SSE), Flood(b": ping\n\n", pause_s=0.02)), timeouts=SHORT
        ),
        "row-27-the-opening-for-ever": Case(script=(head(SSE) + t.role, HANG), timeouts=SHORT),
        "row-31-reset-before-content": Case(script=(chunked(t.role, is_ended=False), RESET)),
    }


def mended(t: Tongue) -> dict[str, Case]:
    """A sound answer, if one looks."""
    return {
        "row-23-json-instead-of-events": Case(script=(whole(t.good),)),
        "row-24-events-instead-of-json": Case(script=(whole(t.stream, SSE),)),
        "row-24-events-that-claim-json": Case(script=(whole(t.stream),)),
        "row-29-a-byte-order-mark": Case(script=(whole(b"\xef\xbb\xbf" + t.stream, SSE),)),
        "row-34-gzip": Case(script=(whole(gzip.compress(t.good), content_encoding="gzip"),)),
        "row-34-gzip-events": Case(
            script=(whole(gzip.compress(t.stream), SSE, content_encoding="gzip"),)
        ),
    }


def broken(t: Tongue) -> dict[str, Case]:
    """What comes after content has gone out."""

    def after(*steps: Step, **more: object) -> Case:
        return Case(
            script=(chunked(t.begun, is_ended=False), GATE, *steps),
            **more,  # type: ignore[arg-type]
        )

    def goes_on(event: bytes) -> Case:
        return after(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))

    return {
        "row-61-reset": after(RESET),
        "row-63-clean-end-without-finish": after(b"0\r\n\r\n"),
        "row-64-stall": after(HANG, timeouts={"idle_s": 0.4}),
        "row-66-error-event": goes_on(t.error),
        "row-67-no-json": goes_on(b"data: {oops}\n\n"),
    }


def named(t: Tongue, cases: dict[str, Case]) -> dict[str, Case]:
    """The cases of one protocol, by names that no other has."""
    return {
        f"{t.protocol}-{name}": Case(
            script=case.script,
            timeouts=case.timeouts,
            base_url=case.base_url,
            unlogged=case.unlogged,
            tongue=t,
        )
        for name, case in cases.items()
    }


BEFORE = {n: c for t in OTHERS for n, c in named(t, before(t)).items()}
OPENED = {n: c for t in OTHERS for n, c in named(t, opened(t)).items()}
MENDED = {n: c for t in OTHERS for n, c in named(t, mended(t)).items()}
BROKEN = {n: c for t in OTHERS for n, c in named(t, broken(t)).items()}
CASES = BEFORE | OPENED | MENDED | BROKEN
BOTH_KINDS = [(n, kind) for n in BEFORE for kind in ("plain", "stream")]
CAUGHT = BOTH_KINDS + [(n, "stream") for n in OPENED]
FOUND = [(n, kind) for n in MENDED for kind in ("plain", "stream")]


@pytest.mark.parametrize(("name", "kind"), CAUGHT, ids=[f"{n}-{k}" for n, k in CAUGHT])
def test_the_spare_answers_after_a_fault_before_the_first_content(
    field: Field, name: str, kind: str
) -> None:
    tongue = CASES[name].tongue

    asked = field.ask_in(tongue, name, stream=kind == "stream")

    assert asked.answer is not None
    assert asked.heard is not None
    assert asked.answer.headers["x-switchyard-failover"] == "true"
    assert len(asked.calls) + asked.unlogged == 2
    assert (asked.heard.text, asked.heard.finish) == (SPARE_TEXT, tongue.stop)


@pytest.mark.parametrize(("name", "kind"), FOUND, ids=[f"{n}-{k}" for n, k in FOUND])
def test_a_sound_answer_in_an_odd_dress_is_the_answer(field: Field, name: str, kind: str) -> None:
    tongue = CASES[name].tongue

    asked = field.ask_in(tongue, name, stream=kind == "stream")

    assert asked.calls == [name]
    assert asked.heard is not None
    assert (asked.heard.text, asked.heard.finish) == (says.TEXT, tongue.stop)


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_after_content_ends_in_an_error_event(field: Field, name: str) -> None:
    tongue = CASES[name].tongue

    asked = field.ask_in(tongue, name, stream=True)

    assert asked.calls == [name]  # nobody else is asked to go on
    assert asked.heard is not None
    assert asked.heard.error is not None
    assert name in str(asked.heard.error["message"])  # the provider's name is the case's
    if tongue is MESSAGES:
        assert asked.heard.error["type"] == "api_error"
    elif tongue is RESPONSES:
        assert asked.heard.error["code"] == "stream_interrupted"
    else:
        assert asked.heard.text == "Hello from"
