"""What holds of every pair of protocols, whoever asks and whoever answers."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from providers.errors import Failure, Fault, ProtocolError
from providers.protocols import PROTOCOLS
from providers.protocols.canonical import (
    Begin,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Event,
    Finish,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    RefusalDelta,
    Text,
    TextDelta,
    ToolCall,
    Unfit,
)
from providers.protocols.pieces import answer_of, events_of
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import JUDGE, asked, parse

pytestmark = pytest.mark.pure

CODED = [protocol for protocol in PROTOCOLS.values() if protocol.codec is not None]
PAIRS = [(a.name, b.name) for a in CODED for b in CODED if a is not b]
SEALED = "gw1." + urlsafe_b64encode(b'["anthropic_messages","s"]').decode()


def translated(caller: str, spoken: str, **members: Any) -> Translated:
    return Translated(asked(caller, **members), PROTOCOLS[spoken], Target(model="m"))


@pytest.mark.parametrize("protocol", CODED, ids=lambda protocol: protocol.name)
def test_a_number_that_no_float_holds_is_refused_in_words(protocol: Any) -> None:
    body = json.dumps({"model": "m", **protocol.example, "tools": [7]}).encode()
    request = parse(protocol.name, body.replace(b"[7]", b'["\\u00e9",2e308]'))
    assert request.estimated_input_tokens > 0
    assert b"2e308" in request.encode("other")
    with pytest.raises(ProtocolError, match="tools"):
        protocol.codec.prompt(request)


def test_such_a_number_beside_a_sealed_thought_goes_on_as_it_came() -> None:
    item = {"type": "reasoning", "encrypted_content": SEALED, "summary": [], "odd": 7}
    body = json.dumps({"model": "m", "input": [item]}).encode().replace(b"7", b"2e308")
    assert b"2e308" in parse("openai_responses", body).encode("other")


@pytest.mark.parametrize(("caller", "spoken"), PAIRS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_without_a_name_is_the_providers_failure(
    caller: str, spoken: str, *, stream: bool
) -> None:
    codec = PROTOCOLS[spoken].codec
    assert codec is not None
    events: list[Event] = [
        Begin(id="a", model="m"),
        TextDelta(text="Hi"),
        CallBegin(index=0, call=ToolCall(id="c", name="f", arguments="{}")),
        CallEnd(index=0),
        Done(finish=Finish.TOOL_CALLS),
    ]
    answer = answer_of(events)
    assert answer is not None
    if not stream:
        reply = codec.reply(answer, asked(spoken)).replace(b'"name":"f"', b'"name":""')
        found = translated(caller, spoken).read(b"application/json", reply, JUDGE)
    else:
        told = codec.encoder(asked(spoken, stream=True)).write(events_of(answer))
        scanner = translated(caller, spoken, stream=True).scanner(JUDGE)
        scanner.feed(told.replace(b'"name":"f"', b'"name":""'))
        found = scanner.end()[1]
        assert scanner.failure == found
    if spoken == "gemini_generate":  # a block that nobody else understands
        assert not isinstance(found, Failure)
        return
    assert isinstance(found, Failure)
    assert found.fault is (Fault.INTERRUPTED if stream else Fault.BAD_REPLY)


@pytest.mark.parametrize(("name", "shown"), [("", '""'), ("x" * 500, "x" * 60)])
def test_what_a_caller_has_made_up_is_told_by_a_short_name(name: str, shown: str) -> None:
    request = translated("openai_chat", "openai_responses", **{name: 1})
    assert request.written().dropped == (shown,)
    item = {"type": name, "call_id": "c"}
    with pytest.raises(Unfit) as unfit:
        translated("openai_responses", "openai_chat", input=[item]).written()
    assert unfit.value.what == shown


def test_a_stream_adds_up_to_its_parts_in_order() -> None:
    thought = Reasoning(text="hm", signature="s", origin="x")
    events: list[Event] = [
        Begin(id="a", model="m"),
        ReasoningDelta(text="un"),
        ReasoningDelta(text="signed"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        ReasoningEnd(part=thought),
        ReasoningDelta(text="h"),
        ReasoningDelta(text="m"),
        ReasoningEnd(part=thought),
        CallBegin(index=0, call=ToolCall(id="a", name="f", arguments="")),
        CallBegin(index=1, call=ToolCall(id="b", name="f", arguments="{")),
        CallDelta(index=1, arguments="}"),
        TextDelta(text="!"),
        RefusalDelta(text="No"),
        RefusalDelta(text="."),
        CallEnd(index=0, signature="t"),
        Done(finish=Finish.STOP),
    ]
    answer = answer_of(events)
    assert answer is not None
    assert answer.parts == (
        Reasoning(text="unsigned"),
        Text(text="Hello"),
        thought,
        thought,
        ToolCall(id="a", name="f", arguments="{}", signature="t"),
        ToolCall(id="b", name="f", arguments="{}"),
        Text(text="!"),
        Refusal(text="No."),
    )
    assert answer_of(events[:-1]) is None
