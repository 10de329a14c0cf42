"""Answers of Messages and of chat, each told in the other's words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import Failure, Fault
from providers.protocols import PROTOCOLS, Problem, Reply, Usage
from providers.protocols.canonical import (
    Answer,
    Begin,
    Block,
    CallBegin,
    CallDelta,
    CallEnd,
    Done,
    Finish,
    Media,
    Raw,
    Reasoning,
    ReasoningDelta,
    ReasoningEnd,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
)
from providers.protocols.messages import MESSAGES
from providers.protocols.messages.usage import usage_of, usage_told
from providers.protocols.pieces import answer_of, events_of
from providers.protocols.protocol import Target
from providers.protocols.sealing import unseal
from providers.protocols.translating import Translated
from tests.support.messages_stream import ToldMessage, read_message, read_messages
from tests.support.validator import Told, read_stream
from tests.support.wire import JUDGE, asked

pytestmark = pytest.mark.pure

WIRE = Path("tests/wire")
OWN = sorted(WIRE.glob("anthropic_messages/*/facts.json"))
CHATS = sorted(WIRE.glob("openai_chat/*/facts.json"))
JSON_TYPE = b"application/json"


def names(cases: list[Path]) -> list[str]:
    return [case.parent.name for case in cases]


def translated(caller: str, provider: str, **members: Any) -> Translated:
    return Translated(asked(caller, **members), PROTOCOLS[provider], Target(model="their-model"))


def through(
    caller: str, provider: str, pieces: list[bytes]
) -> tuple[bytes, Failure | None, Usage | None]:
    members = {"stream_options": {"include_usage": True}} if caller == "openai_chat" else {}
    scanner = translated(caller, provider, stream=True, **members).scanner(JUDGE)
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    assert scanner.finished == (failure is None)
    told = re.sub(rb'"created":[0-9]+', b'"created":1', passed + last)  # if nobody said when
    told = re.sub(rb"call_[0-9a-f]{16,}", b"call_1", told)
    told = re.sub(rb'"msg_[0-9a-f]{16,}"', b'"msg_1"', told)
    return told, failure, scanner.usage


def read_as(caller: str, told: bytes) -> Told | ToldMessage:
    if caller == "openai_chat":
        return read_stream(told, wants_usage=True)
    return read_messages(told)


@pytest.mark.parametrize("caller", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("case", OWN, ids=names(OWN))
def test_every_recorded_stream_of_messages_is_a_strict_one_in_other_words(
    case: Path, caller: str
) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()

    told, failure, usage = through(caller, "anthropic_messages", [upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        found = read_as(caller, told)
        why = re.findall(rb'"explanation":"(\w+)"', upstream)
        refusal = b"".join(why).decode() if caller == "anthropic_messages" else ""
        assert found.text == text_of(upstream) + refusal
        assert (usage.output_tokens if usage else None) == (facts["usage"] or {}).get(
            "output_tokens"
        )
    for cut in range(1, len(upstream), 29):
        again, _, _ = through(caller, "anthropic_messages", [upstream[:cut], upstream[cut:]])
        assert again == told, cut


def text_of(stream: bytes) -> str:
    """What the text deltas of a recorded stream add up to, up to its end."""
    plain = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").partition(b"message_stop")[0]
    found = re.findall(rb'"text_delta", ?"text": ?("(?:[^"\\]|\\.)*")', plain)
    return "".join(json.loads(piece) for piece in found)


@pytest.mark.parametrize("case", CHATS, ids=names(CHATS))
def test_every_recorded_stream_of_chat_is_a_strict_one_of_messages(case: Path) -> None:
    facts = json.loads(case.read_text())
    upstream = (case.parent / "upstream.sse").read_bytes()

    told, failure, _ = through("anthropic_messages", "openai_chat", [upstream])

    assert (failure.fault.value if failure else None) == facts["fault"]
    if failure is None:
        native, _, _ = through("openai_chat", "openai_chat", [upstream])
        chat, found = read_stream(native, wants_usage=True), read_messages(told)
        choice = chat.choices[0]
        assert found.text == choice.text + choice.refusal
        assert found.thinking == choice.reasoning
        assert len(found.calls) == len(choice.calls)
    for cut in range(1, len(upstream), 29):
        again, _, _ = through("anthropic_messages", "openai_chat", [upstream[:cut], upstream[cut:]])
        assert again == told, cut


# Whole answers

CONTENT = [
    {"type": "thinking", "thinking": "hm", "signature": "EqQB+/="},
    {"type": "text", "text": "hi"},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1.5}},
    {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
]
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
    "content": CONTENT, "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {"input_tokens": 4, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 6,
              "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 3}},
}  # fmt: skip
CALLS = [
    {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1.5}'}},
    {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]


def read(caller: str, provider: str, document: Any, **members: Any) -> Any:
    body = json.dumps(document).encode()
    return translated(caller, provider, **members).read(JSON_TYPE, body, JUDGE)


def test_a_message_is_told_to_a_caller_of_chat() -> None:
    reply = read("openai_chat", "anthropic_messages", MESSAGE)

    assert isinstance(reply, Reply)
    told = json.loads(reply.body)
    [choice] = told["choices"]
    assert (told["model"], choice["finish_reason"]) == ("claude-x", "tool_calls")
    assert choice["message"]["content"] == "hi"
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["message"]["tool_calls"] == CALLS
    usage = told["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        12, 9, 21,
    )  # fmt: skip
    assert usage["prompt_tokens_details"] == {"cached_tokens": 6, "cache_write_tokens": 2}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 3}


def completion(finish: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {
        "prompt_tokens": 12, "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    return {"id": "c1", "model": "m-1", "choices": [choice], "usage": usage}


def test_a_completion_is_told_to_a_caller_of_messages() -> None:
    document = completion("tool_calls", content="hi", reasoning_content="hm", tool_calls=CALLS)
    reply = read("anthropic_messages", "openai_chat", document)

    assert isinstance(reply, Reply)
    told = read_message(reply.body)
    assert (told["id"], told["model"], told["stop_reason"]) == ("msg_c1", "m-1", "tool_use")
    assert told["content"][1:] == CONTENT[1:]
    assert told["content"][0]["thinking"] == "hm"
    assert told["usage"] == MESSAGE["usage"]


def test_a_thought_that_comes_back_through_chat_is_the_same_to_the_byte() -> None:
    """Bug 5: without its signature a thought is worth nothing, or a 400."""
    reply = read("openai_chat", "anthropic_messages", MESSAGE)
    said = json.loads(reply.body)["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": f"toolu_{n}", "content": "1"} for n in (1, 2)]
    history = [{"role": "user", "content": "x"}, said, *results]
    again = translated("openai_chat", "anthropic_messages", messages=history)
    assert json.loads(again.encode(""))["messages"][1]["content"] == CONTENT


def test_a_thought_of_another_comes_back_through_messages_to_its_maker_alone() -> None:
    made = Reasoning(text="hm", encrypted="gAAA", id="rs_1", origin="openai_responses")
    answer = Answer(id="r", model="m", parts=(made, Text(text="hi")), finish=Finish.STOP)
    told = read_message(MESSAGES.codec.reply(answer, asked("anthropic_messages")))
    history = [{"role": "user", "content": "x"},
               {"role": "assistant", "content": told["content"]},
               {"role": "user", "content": "y"}]  # fmt: skip
    prompt = MESSAGES.codec.prompt(asked("anthropic_messages", messages=history))
    assert prompt.turns[1].parts == (made, Text(text="hi"))
    own = translated("anthropic_messages", "anthropic_messages", messages=history, max_tokens=9)
    assert own.written().dropped == ("thinking",)
    assert b"hm" not in own.encode("")


ENDS = [
    ("end_turn", "stop", "end_turn"),
    ("max_tokens", "length", "max_tokens"),
    ("stop_sequence", "stop", "end_turn"),
    ("model_context_window_exceeded", "length", "max_tokens"),
    ("refusal", "content_filter", "refusal"),
    ("pause_turn", "stop", "end_turn"),
    ("compaction", "length", "max_tokens"),
    ("a_new_one", "stop", "end_turn"),
    ("tool_use", "stop", "end_turn"),  # without a call
]


@pytest.mark.parametrize(("reason", "finish", "back"), ENDS)
@pytest.mark.parametrize("stream", [False, True])
def test_each_end_has_its_word(reason: str, finish: str, back: str, stream: bool) -> None:
    document = {**MESSAGE, "content": [{"type": "text", "text": "hi"}], "stop_reason": reason}
    reply = read("openai_chat", "anthropic_messages", document, stream=stream)
    body = reply.body
    if stream:
        assert read_stream(body).finish == finish
    else:
        assert json.loads(body)["choices"][0]["finish_reason"] == finish
    reply = read("anthropic_messages", "openai_chat", completion(finish, content="hi"))
    assert read_message(reply.body)["stop_reason"] == back


@pytest.mark.parametrize("reason", ["error", "network_error", "MALFORMED_FUNCTION_CALL"])
def test_an_end_that_is_a_failure_is_no_answer(reason: str) -> None:
    """Bug 11."""
    end = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {}}
    start = {"type": "message_start", "message": {"id": "m"}}
    stream = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (start, end))
    _, failure, _ = through("openai_chat", "anthropic_messages", [stream])
    assert failure is not None
    assert failure.fault is Fault.BAD_STREAM
    assert isinstance(
        read("openai_chat", "anthropic_messages", {"content": [], "stop_reason": reason}), Failure
    )
    piece = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    _, failure, _ = through(
        "anthropic_messages", "openai_chat", [b"data: " + json.dumps(piece).encode() + b"\n\n"]
    )
    assert failure is not None


def test_which_stop_string_was_hit_is_told_among_messages() -> None:
    answer = Answer(id="1", model="m", parts=(Text(text="a"),), finish=Finish.STOP_STRING, stop="E")
    told = read_message(MESSAGES.codec.reply(answer, asked("anthropic_messages")))
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "E")
    stream = MESSAGES.codec.encoder(asked("anthropic_messages")).write(events_of(answer))
    found = read_messages(stream)
    assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", "E")


def test_a_refusal_and_why_survive_both_ways() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "not that"}
    document = {**MESSAGE, "content": [], "stop_reason": "refusal", "stop_details": details}
    told = json.loads(read("openai_chat", "anthropic_messages", document).body)["choices"][0]
    assert (told["message"]["refusal"], told["finish_reason"]) == ("not that", "content_filter")

    refused = completion("stop", content=None, refusal="not that")
    back = read_message(read("anthropic_messages", "openai_chat", refused).body)
    assert back["stop_reason"] == "refusal"
    assert back["stop_details"]["explanation"] == "not that"
    assert back["content"] == [{"type": "text", "text": "not that"}]
    stream = read("anthropic_messages", "openai_chat", refused, stream=True)
    found = read_messages(stream.body)
    assert (found.text, found.stop_reason) == ("not that", "refusal")
    assert found.stop_details == back["stop_details"]


@given(st.tuples(*[st.integers(0, 1000)] * 5))
def test_usage_keeps_its_sums_there_and_back(counts: tuple[int, ...]) -> None:
    plain, read_, written, output, reasoning = counts
    usage = Usage(
        input_tokens=plain + read_ + written, output_tokens=output + reasoning,
        cached_tokens=read_, cache_write_tokens=written, reasoning_tokens=reasoning,
    )  # fmt: skip
    told = usage_told(usage)
    assert told["input_tokens"] == plain
    found = usage_of(told)
    assert found is not None
    assert found.input_tokens == usage.input_tokens
    assert (found.reasoning_tokens or 0) == reasoning


# Streams, event by event


def encoded(*events: Any) -> ToldMessage:
    encoder = MESSAGES.codec.encoder(asked("anthropic_messages"))
    begun = [Begin(id="1", model="m"), *events]
    if not isinstance(events[-1], Done):
        begun.append(Done(finish=Finish.STOP))
    return read_messages(b"".join(encoder.write([event]) for event in begun))


def called(index: int, arguments: str = "", **more: Any) -> CallBegin:
    call = ToolCall(id=f"c{index}", name="f", arguments=arguments, **more)
    return CallBegin(index=index, call=call)


def more(index: int, arguments: str) -> CallDelta:
    return CallDelta(index=index, arguments=arguments)


def test_what_the_first_piece_of_a_call_carries_is_told() -> None:
    """Bug 1."""
    told = encoded(called(0, '{"a":'), more(0, "1}"), CallEnd(index=0))
    assert told.calls == [{"type": "tool_use", "id": "c0", "name": "f", "input": {"a": 1}}]
    assert encoded(called(0, '{"a":1}')).calls[0]["input"] == {"a": 1}


def test_calls_that_come_interleaved_are_told_one_after_the_other() -> None:
    """Bug 8: the first as it comes, the rest in order, and none of them cut in two."""
    told = encoded(
        called(0), called(1, "{"), more(0, '{"a"'), more(1, '"b":2'), called(2),
        more(0, ":1}"), CallEnd(index=0), more(1, "}"), CallEnd(index=1), more(2, "{}"),
    )  # fmt: skip
    assert [call["input"] for call in told.calls] == [{"a": 1}, {"b": 2}, {}]


def test_a_call_that_is_whole_makes_way_before_its_end_is_stated() -> None:
    """Chat states the end of all calls at its own end: the second is to be told as it comes."""
    encoder = MESSAGES.codec.encoder(asked("anthropic_messages"))
    encoder.write([Begin(id="1", model="m"), called(0, '{"a":1}'), called(1, '{"b"')])
    assert b'"partial_json":":2"' in encoder.write([more(1, ":2")])


@settings(max_examples=100)
@given(st.data())
def test_however_calls_are_mixed_each_keeps_its_arguments(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    wanted = [{"n": n, "s": "}" * n + '"'} for n in range(count)]
    queues: list[list[Any]] = []
    for index, value in enumerate(wanted):
        text = json.dumps(value)
        cut = data.draw(st.integers(0, len(text)))
        queues.append(
            [called(index, text[:cut]), more(index, text[cut:]), CallEnd(index=index),
             TextDelta(text="t"), ReasoningDelta(text="r")]
        )  # fmt: skip
    events: list[Any] = []
    begun = 0
    while any(queues):
        ready = [n for n in range(count) if queues[n] and n <= begun]
        chosen = data.draw(st.sampled_from(ready))
        events.append(queues[chosen].pop(0))
        begun = max(begun, chosen + 1)
    told = encoded(*events)
    assert sorted(call["input"]["n"] for call in told.calls) == list(range(count))
    assert all(call["input"] == wanted[call["input"]["n"]] for call in told.calls)
    assert (told.text, told.thinking) == ("t" * count, "r" * count)


def test_text_behind_a_call_is_a_block_of_its_own() -> None:
    told = encoded(TextDelta(text="a"), called(0, "{}"), CallEnd(index=0), TextDelta(text="b"))
    assert [block["type"] for block in told.blocks] == ["text", "tool_use", "text"]


def test_a_thought_has_a_block_of_its_own_with_one_signature_at_its_end() -> None:
    """Bugs 2, 3 and 4."""
    own = Reasoning(text="hm, so", signature="EqQB+/=", origin="anthropic_messages")
    told = encoded(
        ReasoningDelta(text="hm,"), ReasoningDelta(text=" so"), ReasoningEnd(part=own),
        TextDelta(text="hi"),
    )  # fmt: skip
    assert told.blocks == [
        {"type": "thinking", "thinking": "hm, so", "signature": "EqQB+/="},
        {"type": "text", "text": "hi"},
    ]


def test_a_thought_without_a_signature_gets_one_that_is_known_again() -> None:
    told = encoded(ReasoningDelta(text="hm"), TextDelta(text="hi"))
    assert unseal(told.blocks[0]["signature"], "hm") == Reasoning(text="hm")
    made = Reasoning(text="hm", encrypted="gA", id="rs", origin="openai_responses")
    told = encoded(ReasoningDelta(text="hm"), ReasoningEnd(part=made), TextDelta(text="hi"))
    assert unseal(told.blocks[0]["signature"], "hm") == made


def test_a_thought_that_is_not_to_be_read_is_a_signature_alone() -> None:
    hidden = Reasoning(encrypted="gA", origin="openai_responses")
    [first, second] = encoded(ReasoningEnd(part=hidden), TextDelta(text="hi")).blocks
    assert (first["thinking"], unseal(first["signature"])) == ("", hidden)
    redacted = Reasoning(encrypted="Em", origin="anthropic_messages")
    [first, second] = encoded(ReasoningEnd(part=redacted), TextDelta(text="hi")).blocks
    assert first == {"type": "redacted_thinking", "data": "Em"}
    assert second["text"] == "hi"


@pytest.mark.parametrize("is_early", [True, False])
def test_the_signature_of_a_call_is_a_thought_beside_it(is_early: bool) -> None:
    signature = {"signature": "sig"} if is_early else {}
    end = CallEnd(index=0, signature="" if is_early else "sig")
    told = encoded(TextDelta(text="a"), called(0, "{}", **signature), end)
    [thought] = [block for block in told.blocks if block["type"] == "thinking"]
    assert unseal(thought["signature"]) == Reasoning(
        origin="gemini_generate", signature="sig", call_id="c0"
    )
    answer = Answer(
        id="1", model="m", finish=Finish.TOOL_CALLS,
        parts=(ToolCall(id="a:b", name="f", signature="sig"),),
    )  # fmt: skip
    [first, call] = read_message(
        MESSAGES.codec.reply(answer, asked("anthropic_messages"))
    )["content"]  # fmt: skip
    back = unseal(first["signature"])
    assert back is not None
    assert back.call_id == call["id"] != "a:b"


def test_what_a_provider_ran_itself_is_told_as_it_came_and_anothers_not_at_all() -> None:
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    told = encoded(
        TextDelta(text="a"), Block(part=Raw(origin="anthropic_messages", value=result)),
        Block(part=Raw(origin="openai_responses", value={"type": "web_search_call"})),
        Block(part=Media(kind="image", media_type="image/png", data="AA")),
        Block(part=Media(kind="image", url="https://h/a.png")),
    )  # fmt: skip
    assert told.blocks[1] == result
    assert len(told.blocks) == 4
    assert "image/png" in told.blocks[2]["text"]
    assert told.blocks[3]["text"] == "![image](https://h/a.png)"


def test_the_estimate_at_the_start_is_corrected_at_the_end() -> None:
    request = asked("anthropic_messages", messages=[{"role": "user", "content": "x" * 400}])
    encoder = MESSAGES.codec.encoder(request)
    start = encoder.write([Begin(id="1", model="m")])
    assert b'"input_tokens":%d,' % request.estimated_input_tokens in start
    usage = Usage(input_tokens=90, output_tokens=3)
    told = read_messages(start + encoder.write([Done(finish=Finish.STOP, usage=usage)]))
    assert (told.usage["input_tokens"], told.usage["output_tokens"]) == (90, 3)


def test_where_nobody_stated_usage_the_estimate_stays() -> None:
    told = encoded(TextDelta(text="hi"))
    assert told.usage["input_tokens"] == told.message["usage"]["input_tokens"] > 0


# Arguments that are no object


@pytest.mark.parametrize("arguments", ["{oops", "[1]", '{"a":1}}', "null", '{"a":NaN}'])
def test_arguments_that_are_no_object_are_no_answer(arguments: str) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    document = completion("tool_calls", content="hi", tool_calls=[call])
    for stream in (False, True):
        failure = read("anthropic_messages", "openai_chat", document, stream=stream)
        assert isinstance(failure, Failure)
        assert failure.fault is Fault.BAD_REPLY
        assert "a call of f" in failure.message


@pytest.mark.parametrize("tail", [["}"], ['"x"'], ['"b":2}']])
def test_a_stream_with_such_arguments_ends_with_an_error(tail: list[str]) -> None:
    def piece(**delta: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"

    def call(arguments: str) -> bytes:
        return piece(tool_calls=[{"index": 0, "id": "a", "function": {
            "name": "f", "arguments": arguments}}])  # fmt: skip

    stream = piece(content="hi") + call('{"a":1}') + b"".join(map(call, tail))
    stream += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    scanner = translated("anthropic_messages", "openai_chat", stream=True).scanner(JUDGE)

    passed = scanner.feed(stream) + scanner.feed(b"data: [DONE]\n\n")

    assert scanner.failure is not None
    assert (scanner.failure.fault, scanner.is_over) == (Fault.INTERRUPTED, True)
    assert not scanner.finished
    assert scanner.feed(stream) == b""
    assert scanner.end() == (b"", scanner.failure)
    problem = Problem(status=502, message="broken", type="server_error", code="stream_interrupted")
    told = read_messages(passed + scanner.error_event(problem))
    assert (told.text, told.error and told.error["type"]) == ("hi", "api_error")


def test_a_call_without_an_id_gets_one() -> None:
    """Bug 7."""
    document = {**MESSAGE, "content": [{"type": "tool_use", "name": "f", "input": {}}]}
    told = json.loads(read("openai_chat", "anthropic_messages", document).body)
    assert told["choices"][0]["message"]["tool_calls"][0]["id"]
    case = (WIRE / "anthropic_messages/tool_use/upstream.sse").read_bytes()
    told_stream, failure, _ = through(
        "openai_chat", "anthropic_messages", [case.replace(b'"id":"toolu_1",', b"")]
    )
    assert failure is None
    assert read_stream(told_stream, wants_usage=True).choices[0].calls[0]["id"]


def test_a_call_that_is_told_whole_where_it_starts_keeps_its_arguments() -> None:
    case = (WIRE / "anthropic_messages/input_at_the_start/upstream.sse").read_bytes()
    told, _, _ = through("openai_chat", "anthropic_messages", [case])
    assert read_stream(told, wants_usage=True).choices[0].calls[0]["arguments"] == '{"a":1}'


def test_an_error_after_content_ends_a_translated_stream_in_the_callers_words() -> None:
    """Bug 10: no message_stop, and no [DONE]."""
    case = (WIRE / "anthropic_messages/error_after_content/upstream.sse").read_bytes()
    scanner = translated("openai_chat", "anthropic_messages", stream=True).scanner(JUDGE)
    passed = scanner.feed(case)
    assert scanner.failure is not None
    problem = Problem(status=502, message="broken", type="server_error", code="stream_interrupted")
    told = read_stream(passed + scanner.error_event(problem))
    assert (told.text, told.error and told.error["code"]) == ("Hello", "stream_interrupted")


@pytest.mark.parametrize("depth", [70, *range(940, 1000, 3)])
def test_what_is_nested_to_the_bounds_of_the_decoder_raises_nothing(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    text = json.dumps(deep)
    blocks = (
        '{"type":"tool_use","id":"a","name":"f","input":HERE}'.replace("HERE", deep),
        '{"type":"thinking","thinking":"x","signature":"E","new":HERE}'.replace("HERE", deep),
        '{"type":"hologram","cells":HERE}'.replace("HERE", deep),
    )
    start = b'data: {"type":"message_start","message":{"id":"m"}}\n\n'
    end = b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
    for block in blocks:
        whole = (
            '{"id":"m","content":[HERE],"stop_reason":"end_turn"}'.replace("HERE", block)
        ).encode()
        opened = 'data: {"type":"content_block_start","index":0,"content_block":HERE}\n\n'.replace(
            "HERE", block
        )
        piece = (
            'data: {"type":"content_block_delta","index":0,'
            '"delta":{"type":"input_json_delta","partial_json":HERE}}\n\n'.replace("HERE", text)
        )
        stop = b'data: {"type":"content_block_stop","index":0}\n\n'
        stream = start + opened.encode() + stop + end
        longer = start + opened.encode() + piece.encode() + stop + end
        for stream_asked in (False, True):
            for request in (
                asked("anthropic_messages", stream=stream_asked),
                translated("openai_chat", "anthropic_messages", stream=stream_asked),
                translated("anthropic_messages", "anthropic_messages", stream=stream_asked),
            ):
                for kind, body in (
                    (JSON_TYPE, whole), (b"text/event-stream", stream),
                    (b"text/event-stream", longer),
                ):  # fmt: skip
                    assert isinstance(request.read(kind, body, JUDGE), (Reply, Failure))
                if stream_asked:
                    scanner = request.scanner(JUDGE)
                    scanner.feed(longer)
                    scanner.end()
                    assert scanner.is_over
    call = '{"id":"a","type":"function","function":{"name":"f","arguments":HERE}}'.replace(
        "HERE", text
    )
    chat = '{"choices":[{"message":{"tool_calls":[HERE]},"finish_reason":"stop"}]}'.replace(
        "HERE", call
    )
    for stream_asked in (False, True):
        request = translated("anthropic_messages", "openai_chat", stream=stream_asked)
        assert isinstance(request.read(JSON_TYPE, chat.encode(), JUDGE), (Reply, Failure))


# Any answer

PART = st.one_of(
    st.builds(lambda text: Text(text=text), st.text(min_size=1)),
    st.builds(
        lambda text, signature: Reasoning(
            text=text, signature=signature, origin="anthropic_messages",
            raw={"type": "thinking", "thinking": text, "signature": signature},
        ),
        st.text(min_size=1), st.text(min_size=1).filter(lambda text: not text.startswith("gw1.")),
    ),
    st.builds(
        lambda name, value: ToolCall(
            id="a", name=name, arguments=json.dumps(value, separators=(",", ":"))
        ),
        st.text("abc", min_size=1), st.dictionaries(st.text("xyz"), st.integers(-9, 9)),
    ),
    st.builds(
        lambda cells: Raw(origin="anthropic_messages", value={"type": "hologram", "cells": cells}),
        st.lists(st.integers(0, 9)),
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(PART, max_size=5))
def test_an_answer_means_the_same_when_it_is_read_back(parts: list[Any]) -> None:
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    answer = Answer(
        id="msg_1", model="m", parts=tuple(parts), usage=Usage(input_tokens=3, output_tokens=2),
        finish=Finish.TOOL_CALLS if has_calls else Finish.LENGTH,
    )  # fmt: skip
    codec = MESSAGES.codec
    whole = codec.answer(json.loads(codec.reply(answer, asked("anthropic_messages"))), JUDGE)
    assert isinstance(whole, Answer)
    assert (whole.parts, whole.finish) == (answer.parts, answer.finish)

    stream = codec.encoder(asked("anthropic_messages")).write(events_of(answer))
    read_messages(stream)
    decoder = codec.decoder(JUDGE)
    decoder.feed(stream)
    assert decoder.end() == (b"", None)
    again = answer_of(decoder.take())
    assert again is not None
    assert _joined(again.parts) == _joined(answer.parts)
    assert (again.id, again.finish, again.usage.output_tokens) == ("msg_1", answer.finish, 2)


def _joined(parts: tuple[Any, ...]) -> list[Any]:
    """Texts side by side are one text in a stream."""
    found: list[Any] = []
    for part in parts:
        if found and isinstance(part, Text) and isinstance(found[-1], Text):
            found[-1] = Text(text=found[-1].text + part.text)
        else:
            found.append(part)
    return found


def test_a_refusal_of_another_is_a_block_of_text() -> None:
    answer = Answer(id="1", model="m", parts=(Refusal(text="no"),), finish=Finish.STOP)
    told = read_message(MESSAGES.codec.reply(answer, asked("anthropic_messages")))
    assert told["content"] == [{"type": "text", "text": "no"}]
