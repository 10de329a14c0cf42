"""Rows 76, 83 and 84: callers that go away, and callers that send nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults import says
from tests.faults.caller import Caller
from tests.faults.field import Case, Field
from tests.faults.provider import HANG, Call, Flood
from tests.faults.says import BEGUN, ROLE, SSE, dump, event, head, piece, whole
from tests.support.processes import wait_for

REFUSAL = dump({"error": {"message": "'n' must be at most 128", "type": "invalid_request_error",
                          "param": "n", "code": "integer_above_max_value"}})  # fmt: skip
CASES = {
    "row-76-before-the-headers": Case(script=(HANG,)),
    "row-76-before-the-content": Case(script=(head(SSE) + ROLE, HANG)),
    "row-76-after-the-content": Case(script=(head(SSE) + BEGUN, HANG)),
    "row-76-while-it-flows": Case(
        script=(head(SSE) + BEGUN, Flood(event(piece({"content": "x"})), pause_s=0.01))
    ),
    "row-76-in-a-body": Case(script=(head(content_length="9000") + b'{"id":', HANG)),
    "row-83-well": Case(script=(whole(dump(says.reply())),)),
    "row-84-refused": Case(script=(whole(REFUSAL, status="400 Bad Request"),)),
}


def call_of(field: Field, name: str) -> Call | None:
    """The provider's view of the last request, once it has come."""
    return next((call for call in reversed(field.provider.calls) if call.provider == name), None)


@pytest.mark.parametrize(
    ("name", "kind", "marker"),
    [
        ("row-76-before-the-headers", "plain", b""),
        ("row-76-before-the-headers", "stream", b""),
        ("row-76-before-the-content", "stream", b""),
        ("row-76-after-the-content", "stream", b" from"),
        ("row-76-while-it-flows", "stream", b'"x"'),
        ("row-76-in-a-body", "plain", b""),
    ],
)
def test_row_76_a_hang_up_closes_the_upstream_calls_nobody_else_and_moves_no_health(
    field: Field, name: str, kind: str, marker: bytes
) -> None:
    for _turn in range(4):  # one more than would bench a provider that failed
        asked = field.new_request()
        first = len(field.provider.calls)
        with Caller(field.gateway.url) as caller:
            caller.send(field.request(field.body(name, stream=kind == "stream"), asked))
            wait_for(lambda first=first: len(field.provider.calls) > first, what="the call")  # type: ignore[misc]
            if marker:
                caller.until(marker)
        call = field.provider.calls[first]
        wait_for(lambda call=call: call.gone_at, what="the upstream to be closed", limit_s=3)  # type: ignore[misc]
        asked.calls = [each.provider for each in field.provider.calls[first:]]
        assert asked.calls == [name]

    assert field.record(asked)["outcome"] == "abandoned"
    assert not field.is_benched(name)


@pytest.mark.parametrize("whole_request", [False, True])
def test_row_76_a_hang_up_before_the_request_is_whole_calls_nobody(
    field: Field, whole_request: bool
) -> None:
    """A reset in the middle of the body; and, to know the difference, none."""
    before = len(field.provider.calls)
    if whole_request:
        assert field.ask("row-83-well").calls == ["row-83-well"]
        return
    asked = field.new_request()
    with Caller(field.gateway.url) as caller:
        caller.send(field.request(field.body("row-83-well", stream=False), asked)[:-9])
    field.record(asked)
    assert len(field.provider.calls) == before


MEMBERS = '"model":"row-83-well-plain","messages":[{"role":"user","content":"%s"}]'
MALFORMED = {
    "invalid-utf-8": ("{" + MEMBERS + "}").encode() % b"\xff",
    "overlong-utf-8": ("{" + MEMBERS + "}").encode() % b"\xc0\xaf",
    "a-surrogate-in-utf-8": ("{" + MEMBERS + "}").encode() % b"\xed\xa0\x80",
    "a-control-character": ("{" + MEMBERS + "}").encode() % b"\x01",
    "nan": ("{" + MEMBERS % "x" + ',"temperature":NaN}').encode(),
    "infinity": ("{" + MEMBERS % "x" + ',"temperature":-Infinity}').encode(),
    "a-leading-zero": ("{" + MEMBERS % "x" + ',"n":01}').encode(),
    "a-trailing-comma": ("{" + MEMBERS % "x" + ",}").encode(),
    "something-behind": ("{" + MEMBERS % "x" + "}}").encode(),
    "a-byte-order-mark": b"\xef\xbb\xbf{" + (MEMBERS % "x").encode() + b"}",
    "utf-16": ("{" + MEMBERS % "x" + "}").encode("utf-16"),
    "nested-deeply": ("{" + MEMBERS % "x" + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}").encode(),
    "nothing": b"",
    "a-list": b"[]",
    "a-number": b"7",
    "cut-off": ("{" + MEMBERS % "x").encode(),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_row_83_a_body_that_is_no_json_object_is_a_400_and_reaches_nobody(
    field: Field, name: str
) -> None:
    asked = field.ask_raw(MALFORMED[name])

    assert asked.answer is not None
    assert asked.answer.status == 400
    assert json.loads(asked.answer.body)["error"]["type"] == "invalid_request_error"
    assert asked.calls == []


@pytest.mark.parametrize("half", [r"\ud800", r"\udc00", r"\ud83d and more"])
def test_row_83_half_a_surrogate_pair_is_json_and_reaches_the_provider(
    field: Field, half: str
) -> None:
    asked = field.ask_raw(("{" + MEMBERS % half + "}").encode(), primary="row-83-well")

    assert asked.answer is not None
    assert asked.answer.status == 200
    call = call_of(field, "row-83-well")
    assert call is not None
    assert half.encode() in call.body


DIGITS = "7" * 1_000_000


@pytest.mark.parametrize("member", [f'"seed":{DIGITS}', '"temperature":1e999999', '"x":-0.0'])
def test_row_83_a_number_that_only_the_provider_can_judge_reaches_it_unchanged(
    field: Field, member: str
) -> None:
    asked = field.ask_raw(
        ("{" + MEMBERS % "x" + f",{member}" + "}").encode(), primary="row-83-well"
    )

    assert asked.answer is not None
    assert asked.answer.status == 200
    call = call_of(field, "row-83-well")
    assert call is not None
    assert member.encode() in call.body.replace(b" ", b"")


def test_row_83_of_equal_members_the_last_counts_here_and_at_the_provider(field: Field) -> None:
    """What we route by is what it gets: nobody can smuggle a second model past its key's rights."""
    body = '{"model":"nobody-has-it",' + MEMBERS % "x" + ',"n":1,"n":2}'
    asked = field.ask_raw(body.encode(), primary="row-83-well")

    assert asked.answer is not None
    assert asked.answer.status == 200
    call = call_of(field, "row-83-well")
    assert call is not None
    pairs: list[tuple[str, Any]] = []
    json.loads(call.body, object_pairs_hook=pairs.extend)
    members = [(name, value) for name, value in pairs if name in ("model", "n")]
    assert members == [("model", "m-plain"), ("n", 2)]


@pytest.mark.parametrize(
    "more",
    [{"n": 10**9}, {"max_tokens": -1}, {"max_tokens": "many"}, {"temperature": 10**400}],
    ids=["huge-n", "negative-max-tokens", "max-tokens-no-number", "temperature-beyond-floats"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_row_84_what_the_provider_finds_wrong_comes_back_in_its_words(
    field: Field, more: dict[str, Any], stream: bool
) -> None:
    body = field.body("row-84-refused", stream=stream, **more)
    asked = field.ask_raw(body, primary="row-84-refused")

    assert asked.answer is not None
    assert asked.answer.status == 400
    assert asked.answer.body == REFUSAL
    assert asked.calls == ["row-84-refused"]
    call = call_of(field, "row-84-refused")
    assert call is not None
    ((name, value),) = more.items()
    assert json.loads(call.body)[name] == value


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "no-such-model", "messages": [{}]}, 404, "model"),
        ({"model": "row-83-well-plain", "messages": []}, 400, "messages"),
        ({"model": "row-83-well-plain"}, 400, "messages"),
        ({"model": "row-83-well-plain", "messages": "hello"}, 400, "messages"),
        ({"model": "", "messages": [{}]}, 400, "model"),
        ({"model": 7, "messages": [{}]}, 400, "model"),
        ({"model": "row-83-well-plain", "messages": [{}], "stream": "yes"}, 400, "stream"),
    ],
    ids=["unknown-model", "empty-messages", "no-messages", "messages-no-list", "empty-model",
         "model-no-string", "stream-no-boolean"],
)  # fmt: skip
def test_row_84_what_routing_needs_is_named_when_it_is_wrong(
    field: Field, body: dict[str, Any], status: int, param: str
) -> None:
    asked = field.ask_raw(body)

    assert asked.answer is not None
    assert asked.answer.status == status
    error = json.loads(asked.answer.body)["error"]
    assert error["param"] == param
    assert asked.calls == []
