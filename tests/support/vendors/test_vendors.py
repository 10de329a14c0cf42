"""What the vendors refuse, in their words: a judge that lets all pass proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.vendors import chat, gemini, messages, responses
from tests.support.vendors.asked import RefusedError

pytestmark = pytest.mark.pure

HELLO = {"role": "user", "content": "Hello"}
KEY = {"authorization": "Bearer k"}
ANTHROPIC = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "k"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
FUNCTION_CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
PART = {"functionCall": {"name": "f", "args": {}}}
SIGNED = {**PART, "thoughtSignature": gemini._signature_of(PART)}
GOOGLE_HELLO = {"role": "user", "parts": [{"text": "Hello"}]}
ANSWER = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}


def of_chat(*said: Any, **more: Any) -> Any:
    return chat.read({"model": "m", "messages": [HELLO, *said], **more}, KEY, "/chat/v1")


def of_responses(*said: Any, **more: Any) -> Any:
    return responses.read({"model": "m", "input": [HELLO, *said], **more}, KEY, "/responses")


def of_messages(*said: Any, headers: dict[str, str] = ANTHROPIC, **more: Any) -> Any:
    body = {"model": "m", "max_tokens": 9, "messages": [HELLO, *said], **more}
    return messages.read({k: v for k, v in body.items() if v is not None}, headers, "/v1/messages")


def of_gemini(*said: Any, **more: Any) -> Any:
    path = "/gemini/v1beta/models/m:generateContent"
    return gemini.read({"contents": [GOOGLE_HELLO, *said], **more}, GOOGLE, path)


def called(role: str, part: Any) -> dict[str, Any]:
    return {"role": role, "parts": [part]}


REFUSED = {
    "chat: a call without its result": (
        lambda: of_chat({"role": "assistant", "tool_calls": [CALL]}, HELLO),
        "did not have response messages: call_1",
    ),
    "chat: a result without its call": (
        lambda: of_chat({"role": "tool", "tool_call_id": "call_1", "content": "x"}),
        "must be a response to a preceeding message",
    ),
    "chat: an id that is too long": (
        lambda: of_chat({"role": "assistant", "tool_calls": [{**CALL, "id": "c" * 41}]}),
        "maximum length 40",
    ),
    "chat: a field of others": (lambda: of_chat(top_k=1), "Unrecognized request argument"),
    "chat: a choice without tools": (lambda: of_chat(tool_choice="auto"), "only allowed when"),
    "responses: a call without its result": (
        lambda: of_responses(FUNCTION_CALL), "No tool output found for function call call_1",
    ),
    "responses: a result without its call": (
        lambda: of_responses(OUTPUT), "No tool call found for function call output",
    ),
    "responses: reasoning that it did not write": (
        lambda: of_responses(
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
        ),
        "could not be verified",
    ),
    "responses: a stop string": (lambda: of_responses(stop=["x"]), "Unknown parameter: 'stop'"),
    "responses: an id of another vendor": (
        lambda: of_responses({**FUNCTION_CALL, "id": "toolu_1"}), "begins with 'fc'",
    ),
    "messages: no max_tokens": (lambda: of_messages(max_tokens=None), "max_tokens"),
    "messages: no version": (lambda: of_messages(headers={"x-api-key": "k"}), "anthropic-version"),
    "messages: a call without its result": (
        lambda: of_messages({"role": "assistant", "content": [USE]}, HELLO),
        "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
    ),
    "messages: thinking that it did not sign": (
        lambda: of_messages(
            {"role": "assistant",
             "content": [{"type": "thinking", "thinking": "x", "signature": "y"}]}
        ),
        "Invalid `signature` in `thinking` block",
    ),
    "messages: an empty text": (
        lambda: of_messages({"role": "user", "content": [{"type": "text", "text": ""}]}),
        "text content blocks must be non-empty",
    ),
    "messages: a prefilled answer": (
        lambda: of_messages({"role": "assistant", "content": "I"}), "assistant message prefill",
    ),
    "messages: temperature in the newer version": (
        lambda: of_messages(
            headers={**ANTHROPIC, "anthropic-version": "2026-10-21"}, temperature=0.5
        ),
        "Extra inputs are not permitted",
    ),
    "messages: thinking and a forced tool": (
        lambda: of_messages(
            thinking={"type": "adaptive"}, tool_choice={"type": "tool", "name": "f"},
            tools=[{"name": "f", "input_schema": {"type": "object"}}],
        ),
        "Thinking may not be enabled",
    ),
    "gemini: an unsigned call": (
        lambda: of_gemini(called("model", PART), ANSWER), "missing a thought_signature",
    ),
    "gemini: a signature that it did not write": (
        lambda: of_gemini(called("model", {**PART, "thoughtSignature": "eA=="}), ANSWER),
        "Corrupted thought signature",
    ),
    "gemini: fewer results than calls": (
        lambda: of_gemini({"role": "model", "parts": [SIGNED, PART]}, ANSWER),
        "number of function response parts is equal",
    ),
    "gemini: a schema with words that it does not know": (
        lambda: of_gemini(tools=[{"functionDeclarations": [
            {"name": "f", "parameters": {"type": "object", "additionalProperties": False}}
        ]}]),
        'Unknown name "additionalProperties"',
    ),
}  # fmt: skip
TAKEN = {
    "chat": lambda: of_chat({"role": "assistant", "tool_calls": [CALL]},
                            {"role": "tool", "tool_call_id": "call_1", "content": "x"}),
    "responses": lambda: of_responses(FUNCTION_CALL, OUTPUT),
    "messages": lambda: of_messages(
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
        ]},
    ),
    "gemini": lambda: of_gemini(called("model", SIGNED), ANSWER),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_vendor_refuses_what_it_would(case: str) -> None:
    ask, words = REFUSED[case]

    with pytest.raises(RefusedError) as refused:
        ask()

    assert words in refused.value.message
    assert refused.value.status == 400


@pytest.mark.parametrize("vendor", TAKEN)
def test_a_vendor_takes_a_call_with_its_result(vendor: str) -> None:
    asked = TAKEN[vendor]()

    assert [result.name for result in asked.results] == ["f"]
