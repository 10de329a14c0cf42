"""
Rows 1 to 38: whatever a provider does before its first content, the caller gets the spare's answer,
and never learns of it but from the headers.
"""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from tests.faults import says
from tests.faults.field import Case, Field
from tests.faults.provider import HANG, REFUSED, RESET, Flood
from tests.faults.says import (
    BEGUN,
    DONE,
    ERROR,
    PAGE,
    ROLE,
    SSE,
    chunked,
    dump,
    event,
    head,
    piece,
    whole,
)
from tests.faults.tongues import SPARE_TEXT

SHORT = {"first_token_s": 0.4, "total_s": 0.4, "connect_s": 0.4}
GOOD = dump(says.reply())


def bomb(size: int) -> bytes:
    """What unpacks to so many zeros; nobody who is well gets to its check sum, which is wrong."""
    packer = zlib.compressobj(9, wbits=31)
    blank = bytes(1 << 20)
    first = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)  # stands by itself
    return first + again * ((size >> 20) - 1) + packer.flush()


def broken(**members: object) -> tuple[bytes]:
    return (whole(dump(says.reply() | members)),)


def ended(message: dict[str, object], finish: str) -> tuple[bytes]:
    return (whole(dump(says.reply(message, choice={"finish_reason": finish}))),)


# To callers of both kinds.
BOTH = {
    "row-1-connect-refused": Case(base_url=REFUSED, unlogged=1),
    "row-3-no-such-host": Case(base_url="http://nobody.invalid/v1", unlogged=1),
    "row-6-reset-before-a-byte": Case(script=(RESET,)),
    "row-6-close-before-a-byte": Case(script=()),
    "row-14-no-headers": Case(script=(HANG,), timeouts=SHORT),
    "row-15-slow-headers": Case(
        script=(b"HTTP/1.1 200 OK\r\nx: ", Flood(b"y", pause_s=0.05)), timeouts=SHORT
    ),
    "row-20-html": Case(script=(whole(PAGE, "text/html"),)),
    "row-20-html-that-claims-json": Case(script=(whole(PAGE),)),
    "row-20-html-that-claims-events": Case(script=(whole(PAGE, SSE),)),
    "row-20-html-that-claims-nothing": Case(script=(whole(PAGE, None),)),
    "row-21-empty": Case(script=(whole(b""),)),
    "row-21-empty-events": Case(script=(whole(b"", SSE),)),
    "row-21-only-white-space": Case(script=(whole(b" \r\n\r\n"),)),
    "row-22-error-object": Case(script=(whole(dump({"error": ERROR})),)),
    "row-22-error-text": Case(script=(whole(b'{"error":"out of order"}'),)),
    "row-25-events-without-one": Case(script=(chunked(kind=SSE),)),
    "row-26-only-comments": Case(script=(chunked(b": ping\n\n", b": ping\n\n"),)),
    "row-27-only-a-role": Case(script=(chunked(ROLE),)),
    "row-27-role-and-terminator": Case(script=(chunked(ROLE, DONE),)),
    "row-28-error-first": Case(script=(chunked(event({"error": ERROR})),)),
    "row-28-error-after-the-role": Case(script=(chunked(ROLE, event({"error": ERROR})),)),
    "row-29-first-event-no-json": Case(script=(chunked(b"data: {hello\n\n", BEGUN),)),
    "row-29-first-event-no-utf-8": Case(script=(chunked(says.says("x").replace(b"x", b"\xff")),)),
    "row-29-nul": Case(script=(chunked(b"data: \0\n\n", BEGUN),)),
    "row-30-truncated-json": Case(script=(whole(GOOD[:-9]),)),
    "row-31-cut-by-length": Case(script=(whole(GOOD)[:-9],)),
    "row-31-cut-by-chunk": Case(
        script=(chunked(GOOD, kind="application/json", is_ended=False),)
    ),
    "row-31-reset-in-the-body": Case(script=(whole(GOOD)[:-9], RESET)),
    "row-32-no-choices": Case(script=(whole(b'{"id":"x","object":"chat.completion"}'),)),
    "row-32-empty-choices": Case(script=broken(choices=[])),
    "row-32-null-content": Case(script=ended({"content": None}, "stop")),
    "row-32-a-list": Case(script=(whole(b"[" + GOOD + b"]"),)),
    "row-33-finish-error": Case(script=ended({"content": ""}, "error")),
    "row-33-finish-network-error": Case(script=ended({"content": ""}, "network_error")),
    "row-34-brotli": Case(script=(whole(GOOD, content_encoding="br"),)),
    "row-34-zstandard": Case(script=(whole(GOOD, content_encoding="zstd"),)),
    "row-34-corrupt-gzip": Case(
        script=(whole(gzip.compress(GOOD)[:-6] + b"\0" * 6, content_encoding="gzip"),)
    ),
    "row-34-cut-gzip": Case(script=(whole(gzip.compress(GOOD)[:-9], content_encoding="gzip"),)),
    "row-34-corrupt-gzip-events": Case(
        script=(whole(gzip.compress(says.STREAM)[:12], SSE, content_encoding="gzip"),)
    ),
    "row-35-plain-that-claims-gzip": Case(script=(whole(GOOD, content_encoding="gzip"),)),
    "row-35-plain-that-claims-deflate": Case(script=(whole(GOOD, content_encoding="deflate"),)),
    "row-36-a-byte-at-a-time": Case(
        script=(head(content_length="9000"), Flood(b" ", pause_s=0.05)), timeouts=SHORT
    ),
    "row-38-an-undeclared-charset": Case(
        script=(whole(dump(says.reply({"content": "grüße"})).decode().encode("latin-1")),)
    ),
}  # fmt: skip
# To callers of streams: what comes before the content, then a silence or an end.
STREAMED = {
    "row-14-headers-and-no-content": Case(script=(head(SSE), HANG), timeouts=SHORT),
    "row-26-comments-for-ever": Case(
        script=(head(SSE), Flood(b": ping\n\n", pause_s=0.02)), timeouts=SHORT
    ),
    "row-26-a-flood-of-comments": Case(
        script=(head(SSE), Flood(b": ping\n\n" * 5000)), timeouts=SHORT
    ),
    "row-27-a-role-for-ever": Case(script=(head(SSE) + ROLE, HANG), timeouts=SHORT),
    "row-31-reset-before-content": Case(script=(chunked(ROLE, is_ended=False), RESET)),
    "row-33-finish-error-alone": Case(script=(chunked(ROLE, event(piece({}, "error"))),)),
}
CAUGHT = [(name, kind) for name in BOTH for kind in ("plain", "stream")] + [
    (name, "stream") for name in STREAMED
]

# A sound answer, if one looks.
STREAM_AS_WHOLE = says.STREAM + says.USED + DONE
CALLS = [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
LATIN = dump(says.reply({"content": "grüße"})).decode().encode("latin-1")
MENDED = {
    "row-23-json-instead-of-events": Case(script=(whole(GOOD),)),
    "row-23-tool-calls-instead-of-events": Case(
        script=ended({"content": None, "tool_calls": CALLS}, "tool_calls")
    ),
    "row-24-events-instead-of-json": Case(script=(whole(STREAM_AS_WHOLE, SSE),)),
    "row-24-events-in-chunks": Case(script=(chunked(*[bytes([b]) for b in STREAM_AS_WHOLE]),)),
    "row-24-events-that-claim-json": Case(script=(whole(STREAM_AS_WHOLE),)),
    "row-29-a-byte-order-mark": Case(script=(whole(b"\xef\xbb\xbf" + STREAM_AS_WHOLE, SSE),)),
    "row-34-gzip": Case(script=(whole(gzip.compress(GOOD), content_encoding="gzip"),)),
    "row-34-deflate": Case(script=(whole(zlib.compress(GOOD), content_encoding="deflate"),)),
    "row-34-gzip-events": Case(
        script=(whole(gzip.compress(STREAM_AS_WHOLE), SSE, content_encoding="gzip"),)
    ),
    "row-38-latin-1": Case(script=(whole(LATIN, "application/json; charset=ISO-8859-1"),)),
}  # fmt: skip
FOUND = [(name, kind) for name in MENDED for kind in ("plain", "stream")]

OTHERS = {
    **{f"row-19-redirect-{status}": Case() for status in (301, 302, 307, 308)},
    "row-34-bomb": Case(script=(whole(bomb(1 << 30), content_encoding="gzip"),)),
    "row-34-bomb-of-events": Case(script=(whole(bomb(1 << 30), SSE, content_encoding="gzip"),)),
    "row-37-64-mib-and-a-byte": Case(
        script=(head(content_length=str((64 << 20) + 1)), Flood(bytes(1 << 20), limit=65))
    ),
    "row-37-chunks-without-end": Case(
        script=(
            head(transfer_encoding="chunked"),
            Flood(b"100000\r\n" + bytes(1 << 20) + b"\r\n", limit=80),
        )
    ),
}
MANY = {f"x_ratelimit_{i}": "7" * 500 if i % 2 else "7" for i in range(80)}
OTHERS |= {
    "row-17-odd-headers-plain": Case(
        script=(
            head("application/json; \xff", content_length=str(len(GOOD)), **MANY).replace(
                b"x-ratelimit-0: 7", b"x-ratelimit-0: \xff"
            )
            + GOOD,
        )
    ),
    "row-17-odd-headers-stream": Case(
        script=(head(SSE, x_request_id="ü" * 9, **MANY) + says.STREAM + DONE,)
    ),
}
CASES = BOTH | STREAMED | MENDED | OTHERS


@pytest.mark.parametrize(("name", "kind"), CAUGHT, ids=[f"{n}-{k}" for n, k in CAUGHT])
def test_the_spare_answers_after_a_fault_before_the_first_content(
    field: Field, name: str, kind: str
) -> None:
    asked = field.ask(name, stream=kind == "stream")

    assert asked.answer is not None
    assert asked.answer.status == 200
    assert asked.answer.headers["x-switchyard-failover"] == "true"
    assert len(asked.calls) + asked.unlogged == 2
    if asked.told is not None:
        assert (asked.told.text, asked.told.finish) == (SPARE_TEXT, "stop")
    else:
        assert SPARE_TEXT.encode() in asked.answer.body


@pytest.mark.parametrize(("name", "kind"), FOUND, ids=[f"{n}-{k}" for n, k in FOUND])
def test_a_sound_answer_in_an_odd_dress_is_the_answer(field: Field, name: str, kind: str) -> None:
    asked = field.ask(name, stream=kind == "stream", usage=kind == "stream")

    assert asked.answer is not None
    assert asked.calls == [name]
    if asked.told is not None:
        choice = asked.told.choices[0]
        assert asked.told.error is None
        said, calls, usage = choice.text, choice.calls, asked.told.usage
    else:
        document = json.loads(asked.answer.body)
        message = document["choices"][0]["message"]
        said, usage = message["content"], document["usage"]
        calls = [{"id": c["id"], **c["function"]} for c in message.get("tool_calls", [])]
    assert usage == says.USAGE
    if "tool" in name:
        assert calls == [{"id": "t1", "name": "f", "arguments": '{"a":1}'}]
    else:
        assert said == ("grüße" if "latin" in name else says.TEXT)


@pytest.mark.parametrize("kind", ["plain", "stream"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_row_19_a_redirect_is_not_followed_and_no_key_goes_elsewhere(
    field: Field, status: int, kind: str
) -> None:
    elsewhere = field.provider.base_url("elsewhere")
    name = f"row-19-redirect-{status}"
    field.provider.scripts[name] = (
        head(
            status=f"{status} Moved", location=f"{elsewhere}/chat/completions", content_length="0"
        ),
    )

    asked = field.ask(name, stream=kind == "stream")

    assert asked.calls == [name, "spare" if kind == "plain" else "spare-stream"]


@pytest.mark.parametrize("kind", ["plain", "stream"])
def test_row_17_few_and_modest_headers_of_the_provider_reach_the_caller(
    field: Field, kind: str
) -> None:
    asked = field.ask(f"row-17-odd-headers-{kind}", stream=kind == "stream")

    assert asked.answer is not None
    assert asked.answer.status == 200
    reflected = {n: v for n, v in asked.answer.headers.items() if n.startswith("x-ratelimit-")}
    assert set(reflected.values()) == {"7"}
    assert 0 < len(reflected) <= 32
    assert "x-switchyard-upstream-request-id" not in asked.answer.headers


@pytest.mark.parametrize("kind", ["plain", "stream"])
@pytest.mark.parametrize(
    "name",
    [
        "row-34-bomb",
        "row-34-bomb-of-events",
        "row-37-64-mib-and-a-byte",
        "row-37-chunks-without-end",
    ],
)
def test_a_body_beyond_every_bound_costs_bounded_memory(field: Field, name: str, kind: str) -> None:
    field.forget_peak()
    before = field.peak_kb()

    asked = field.ask(name, stream=kind == "stream")

    assert asked.answer is not None
    assert asked.answer.status == 200
    assert asked.calls[0] == name
    assert asked.calls[-1].startswith("spare")
    assert field.peak_kb() - before < (64 + 16) << 10
