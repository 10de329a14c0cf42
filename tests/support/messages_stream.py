"""
A strict reader of streams of Anthropic's Messages, stricter than any SDK.

`read_messages` accepts exactly this, and raises Unsound for all else:

    stream    = *( heartbeat / ping ) start *( block / ping ) end stop
              / *( heartbeat / start / block / ping ) error
    heartbeat = one empty line, never inside an event
    event     = "event: " name LF "data: " JSON LF LF       whose type is the name
    block     = content_block_start *content_block_delta content_block_stop

One message_start, with an empty content and usage; blocks counted from 0, one open at a time, each
delta of its block's kind, a signature last in its block; the input of a call an object in the end;
one message_delta with a stop reason and usage, and then message_stop, and nothing behind it. An
error may come anywhere after the first byte, and nothing behind it either.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.validator import Unsound, check, read_json

STOPS = {
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal",
    "model_context_window_exceeded", "compaction",
}  # fmt: skip
DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "citations_delta": ("text", "citation"),
    "input_json_delta": ("input", "partial_json"),
}
ERRORS = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error",
    "not_found_error", "conflict_error", "request_too_large", "rate_limit_error", "api_error",
    "timeout_error", "overloaded_error",
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class ToldMessage:
    """A sound stream as the message that it adds up to; `error` instead of an end."""

    message: dict[str, Any] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    heartbeats: int = 0
    events: int = 0

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def thinking(self) -> str:
        thoughts = [block for block in self.blocks if block["type"] == "thinking"]
        return "".join(block["thinking"] for block in thoughts)

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [block for block in self.blocks if block["type"] == "tool_use"]


class _Reader:
    def __init__(self) -> None:
        self.told = ToldMessage()
        self.open: dict[str, Any] | None = None
        self.arguments = ""
        self.is_signed = False

    def take(self, name: str, document: dict[str, Any]) -> None:
        told = self.told
        if name == "message_start":
            check(not told.message, "a second message_start")
            self.start(document["message"])
            return
        check(bool(told.message), f"{name} before message_start")
        check(told.stop_reason is None, f"{name} after message_delta")
        match name:
            case "content_block_start":
                self.start_block(document)
            case "content_block_delta":
                self.grow_block(document)
            case "content_block_stop":
                self.stop_block(document)
            case "message_delta":
                self.end(document)
            case _:
                raise Unsound(f"an unknown event: {name}")

    def start(self, message: dict[str, Any]) -> None:
        check(message.get("type") == "message", f"no message: {message}")
        check(message.get("role") == "assistant", f"not an assistant's: {message}")
        check(bool(message.get("id")), f"without an id: {message}")
        check(message.get("content") == [], f"content at the start: {message}")
        check(message.get("stop_reason", 0) is None, f"ended at the start: {message}")
        read_usage(message.get("usage"))
        self.told.message = message
        self.told.usage = dict(message["usage"])

    def start_block(self, document: dict[str, Any]) -> None:
        check(self.open is None, "a block starts while another is open")
        check(document.get("index") == len(self.told.blocks), f"out of order: {document}")
        block = document["content_block"]
        kind = block.get("type")
        check(bool(kind), f"a block without a type: {document}")
        if kind == "text":
            check(block.get("text") == "", f"text at the start: {document}")
        elif kind == "thinking":
            check(block.get("thinking") == "", f"a thought at the start: {document}")
            check(block.get("signature", "") == "", f"signed at the start: {document}")
        elif kind == "tool_use":
            check(block.get("input") == {}, f"input at the start: {document}")
            check(bool(block.get("id")) and bool(block.get("name")), f"unnamed: {document}")
        self.open = dict(block)
        self.told.blocks.append(self.open)
        self.arguments = ""
        self.is_signed = False

    def grow_block(self, document: dict[str, Any]) -> None:
        block = self.open
        assert block is not None or check(False, f"a delta without a block: {document}")
        check(document.get("index") == len(self.told.blocks) - 1, f"another's: {document}")
        delta = document["delta"]
        check(delta.get("type") in DELTAS, f"an unknown delta: {document}")
        kind, name = DELTAS[delta["type"]]
        check(set(delta) == {"type", name}, f"a delta with company: {document}")
        fits = kind in block if kind == "input" else block["type"] == kind
        check(fits, f"a delta in a block of {block['type']}: {document}")
        check(not self.is_signed, f"a delta after the signature: {document}")
        if name == "partial_json":
            self.arguments += delta[name]
        elif name == "citation":
            block["citations"] = [*(block.get("citations") or []), delta[name]]
        else:
            block[name] = block.get(name, "") + delta[name]
            self.is_signed = name == "signature"

    def stop_block(self, document: dict[str, Any]) -> None:
        block = self.open
        assert block is not None or check(False, f"a stop without a block: {document}")
        check(document.get("index") == len(self.told.blocks) - 1, f"another's: {document}")
        if self.arguments:
            block["input"] = read_json(self.arguments.encode())
        self.open = None

    def end(self, document: dict[str, Any]) -> None:
        check(self.open is None, "the message ends within a block")
        delta = document["delta"]
        reason = delta.get("stop_reason")
        check(reason in STOPS, f"stop reason {reason!r}")
        read_usage(document.get("usage"), has_input=False)
        self.told.stop_reason = reason
        self.told.stop_sequence = delta.get("stop_sequence")
        self.told.stop_details = delta.get("stop_details")
        stated = {name: n for name, n in document["usage"].items() if n is not None}
        self.told.usage |= stated


def read_messages(body: bytes) -> ToldMessage:
    """What `body` tells its caller. Raises Unsound at the first byte that breaks the grammar."""
    reader = _Reader()
    told, rest = reader.told, body
    while True:
        while rest.startswith(b"\n"):
            rest = rest[1:]
            told.heartbeats += 1
        event, end, rest = rest.partition(b"\n\n")
        if not end:
            raise Unsound(f"the stream ends without message_stop, after {body[-200:]!r}")
        lines = event.split(b"\n")
        check(len(lines) == 2 and b"\r" not in event, f"not two plain lines: {event[:200]!r}")
        check(lines[0].startswith(b"event: "), f"an event without its name: {event[:200]!r}")
        check(lines[1].startswith(b"data: "), f"an event without data: {event[:200]!r}")
        name = lines[0].removeprefix(b"event: ").decode()
        document = read_json(lines[1].removeprefix(b"data: "))
        check(document.get("type") == name, f"{name} says that it is {document.get('type')}")
        told.events += 1
        if name == "error":
            check(not rest, f"bytes after the error event: {rest[:200]!r}")
            told.error = read_messages_error(document)
            return told
        if name == "message_stop":
            check(not rest, f"bytes after message_stop: {rest[:200]!r}")
            check(told.stop_reason is not None, "message_stop without a stop reason")
            return told
        if name != "ping":
            reader.take(name, document)


def read_messages_error(document: dict[str, Any]) -> dict[str, Any]:
    """The error object of an error body or event."""
    check(document.get("type") == "error", f"no error: {document}")
    check(set(document) <= {"type", "error", "request_id"}, f"an error with company: {document}")
    error = document.get("error")
    assert isinstance(error, dict) or check(False, f"an error that is no object: {document}")
    check(error.get("type") in ERRORS, f"an unknown type: {document}")
    check(bool(error.get("message")) and isinstance(error["message"], str), f"silent: {document}")
    check(set(error) <= {"type", "message", "details"}, f"unknown members: {document}")
    return error


def read_message(body: bytes) -> dict[str, Any]:
    """A whole message. Raises Unsound."""
    message = read_json(body)
    check(message.get("type") == "message", f"no message: {message}")
    check(message.get("role") == "assistant", f"not an assistant's: {message}")
    check(bool(message.get("id")) and "model" in message, f"unnamed: {message}")
    check(message.get("stop_reason") in STOPS, f"stop reason {message.get('stop_reason')!r}")
    check("stop_sequence" in message, f"no stop_sequence: {message}")
    read_usage(message.get("usage"))
    check(isinstance(message.get("content"), list), f"no content: {message}")
    for block in message["content"]:
        if block["type"] == "tool_use":
            check(isinstance(block.get("input"), dict), f"input that is no object: {block}")
        if block["type"] == "thinking":
            check(bool(block.get("signature")), f"an unsigned thought: {block}")
    return message


def read_usage(usage: Any, *, has_input: bool = True) -> None:
    check(isinstance(usage, dict), f"no usage: {usage}")
    names = ("input_tokens", "output_tokens") if has_input else ("output_tokens",)
    for name in names:
        count = usage.get(name)
        check(isinstance(count, int) and count >= 0, f"{name} in {json.dumps(usage)}")
