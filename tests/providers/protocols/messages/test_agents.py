"""What Claude Code sends and relies on: forwarded untouched, and served by who speaks chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.protocols import Reply
from providers.protocols.chat import CHAT
from providers.protocols.messages import MESSAGES
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.messages_stream import read_messages
from tests.support.validator import read_stream
from tests.support.wire import JUDGE

pytestmark = pytest.mark.pure

EPHEMERAL = {"type": "ephemeral"}
ATTRIBUTION = {
    "type": "text",
    "text": "x-anthropic-billing-header: cc_version=2.1.0; cc_entrypoint=cli;",
}
SIGNATURE = "EqQBCkYIBxgCKkA+/zaBc012=="
# As the client builds it, with fields in its order, and some that nobody here knows.
ASKED: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>be careful</system-reminder>"},
            {"type": "text", "text": "List the files.", "cache_control": EPHEMERAL},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I should look.", "signature": SIGNATURE},
            {"type": "tool_use", "id": "toolu_01", "name": "Bash",
             "input": {"command": "ls", "description": "List files"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_01", "content": "a.py\nb.py",
             "is_error": False, "cache_control": EPHEMERAL},
        ]},
    ],
    "system": [
        ATTRIBUTION,
        {"type": "text", "text": "You are Claude Code.", "cache_control": EPHEMERAL},
    ],
    "tools": [
        {"name": "Bash", "description": "Runs a command.",
         "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema",
                          "type": "object", "properties": {"command": {"type": "string"}},
                          "required": ["command"], "additionalProperties": False},
         "eager_input_streaming": True},
    ],
    "metadata": {"user_id": "user_" + "0" * 120},
    "max_tokens": 32000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "stream": True,
}  # fmt: skip
BODY = json.dumps(ASKED, separators=(",", ":")).encode()
TARGET = "/v1/messages?beta=true"


def translated() -> Translated:
    return Translated(MESSAGES.parse(BODY, TARGET), CHAT, Target(model="gpt-x"))


def test_a_forwarded_request_is_the_same_but_for_its_model() -> None:
    request = MESSAGES.parse(BODY, TARGET)
    sent = request.encode("claude-opus-4-7")
    assert sent == BODY.replace(b"claude-sonnet-4-6", b"claude-opus-4-7", 1)
    assert request.upstream_path("claude-opus-4-7") == "/messages?beta=true"
    assert request.needs == {"streaming", "tools", "reasoning"}


def test_the_attribution_block_stays_first_and_one_of_its_own() -> None:
    prompt = MESSAGES.codec.prompt(MESSAGES.parse(BODY, TARGET))
    assert prompt.system[0].text == ATTRIBUTION["text"]
    assert len(prompt.system) == 2
    body = json.loads(MESSAGES.codec.write(prompt, Target(model="claude-opus-4-6")).body)
    assert body["system"] == ASKED["system"]
    assert body["messages"] == [
        ASKED["messages"][0],
        ASKED["messages"][1],
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_01", "cache_control": EPHEMERAL,
             "content": [{"type": "text", "text": "a.py\nb.py"}]},
        ]},
    ]  # fmt: skip


def test_who_speaks_chat_gets_all_but_what_is_told() -> None:
    request = translated()
    body = json.loads(request.encode(""))
    assert [message["role"] for message in body["messages"]] == [
        "system", "user", "assistant", "tool",
    ]  # fmt: skip
    assert body["messages"][2]["tool_calls"][0]["function"]["name"] == "Bash"
    assert body["reasoning_effort"] == "medium"
    assert len(body["user"]) == 64
    assert set(request.written().dropped) == {
        "cache_control", "context_management", "eager_input_streaming", "thinking",
    }  # fmt: skip
    assert SIGNATURE not in request.encode("").decode()


CHUNKS: list[dict[str, Any]] = [
    {"delta": {"role": "assistant", "content": ""}},
    {"delta": {"reasoning_content": "Two files."}},
    {"delta": {"content": "There are two. "}},
    {"delta": {"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                               "function": {"name": "Bash", "arguments": '{"comm'}}]}},
    {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": 'and":"cat a.py"}'}}]}},
    {"delta": {}, "finish_reason": "tool_calls"},
]  # fmt: skip


def test_it_gets_a_stream_that_it_can_send_back_to_anybody() -> None:
    scanner = translated().scanner(JUDGE)
    passed = b"".join(
        scanner.feed(
            b"data: " + json.dumps({"id": "c", "model": "gpt-x", "choices": [chunk]}).encode()
            + b"\n\n"
        )
        for chunk in CHUNKS
    ) + scanner.feed(b"data: [DONE]\n\n")  # fmt: skip
    told = read_messages(passed)
    assert [block["type"] for block in told.blocks] == ["thinking", "text", "tool_use"]
    assert told.calls[0]["input"] == {"command": "cat a.py"}
    assert (told.stop_reason, told.blocks[0]["thinking"]) == ("tool_use", "Two files.")

    history = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": told.blocks},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": told.calls[0]["id"], "content": "print()"}]},
    ]  # fmt: skip
    again = MESSAGES.parse(json.dumps({**ASKED, "messages": history}).encode(), TARGET)
    for spoken, model in ((CHAT, "gpt-x"), (MESSAGES, "claude-opus-4-6")):
        request = Translated(again, spoken, Target(model=model))
        spoken.parse(request.encode(""))
        assert "thinking" in request.written().dropped
        assert b"gw1." not in request.encode("")


def test_a_caller_of_chat_is_served_by_who_speaks_messages_in_a_loop_of_tools() -> None:
    """The other way round: the thought that called the tool is back where it has to be."""
    content = ASKED["messages"][1]["content"]
    answer = {"id": "msg_1", "content": content, "stop_reason": "tool_use", "usage": {}}
    tool = {"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}}}
    first = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [tool],
             "reasoning_effort": "high"}  # fmt: skip
    target = Target(model="claude-sonnet-4-5", max_output_tokens=64000)
    request = Translated(CHAT.parse(json.dumps(first).encode()), MESSAGES, target)
    reply = request.read(b"application/json", json.dumps(answer).encode(), JUDGE)
    assert isinstance(reply, Reply)
    said = json.loads(reply.body)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "toolu_01", "content": "a.py"}
    second = {**first, "messages": [*first["messages"], said, result], "stream": True}
    request = Translated(CHAT.parse(json.dumps(second).encode()), MESSAGES, target)
    body = json.loads(request.encode(""))
    assert body["messages"][1]["content"] == content
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}

    whole = request.read(b"application/json", json.dumps(answer).encode(), JUDGE)
    assert isinstance(whole, Reply)
    told = read_stream(whole.body)
    assert told.choices[0].calls[0]["name"] == "Bash"
