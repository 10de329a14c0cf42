"""
Answers that come in another shape than was asked for, and are answers all the same.

A whole message where a stream was asked for becomes the stream that says the same, and the other
way round, with all members that nobody here knows. It is tried on what would otherwise be refused.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.messages.calls import object_of
from providers.protocols.messages.reply import check
from providers.protocols.messages.stream import STOP_EVENT, MessagesScanner
from providers.protocols.protocol import EVENT_STREAM, Judge, Reply
from providers.protocols.reading import text_of
from providers.protocols.sse import fields_of
from providers.protocols.usage import Usage, members
from providers.protocols.whole import no_answer

EVENTS_LIMIT: Final = 8 << 20  # of a stream that is put together at once: 0.1 s of the event loop
JSON: Final = b"application/json"
_STREAM_BEGINNINGS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
# What each delta brings.
_GROWS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
    "citations_delta": "citation",
}


def read(content_type: bytes | None, body: bytes, judge: Judge, *, stream: bool) -> Reply | Failure:
    """The whole 200 `body` as it was asked for, or why it is no answer."""
    try:
        return _read(content_type, body, judge, stream=stream)
    except (ValueError, RecursionError):
        # What is only looked at in passing may still be too deep, or hold a number like 1e999.
        return no_answer("the reply cannot be put together: it is too deep, or not JSON")


def _read(
    content_type: bytes | None, body: bytes, judge: Judge, *, stream: bool
) -> Reply | Failure:
    checked = check(content_type, body, judge)
    if isinstance(checked, Failure):
        if _is_events(content_type, body):
            return _from_events(body, judge, stream=stream)
        return checked
    if not stream:
        return Reply(body, content_type or JSON, checked)
    return Reply(b"".join(events_of(bodies.decode(body))), EVENT_STREAM, checked)


def _is_events(content_type: bytes | None, body: bytes) -> bool:
    if content_type is not None and content_type.lower().startswith(b"text/event-stream"):
        return True
    return body[:64].removeprefix(codecs.BOM_UTF8).lstrip().startswith(_STREAM_BEGINNINGS)


# A whole message as a stream


def events_of(message: dict[str, Any]) -> Iterator[bytes]:
    usage = members(message.get("usage"))
    begun = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, **usage, "output_tokens": 0},
    }
    begun.pop("stop_details", None)
    yield event("message_start", {"message": begun})
    for index, block in enumerate(message["content"]):
        start, deltas = _pieces(block)
        yield event("content_block_start", {"index": index, "content_block": start})
        for delta in deltas:
            yield event("content_block_delta", {"index": index, "delta": delta})
        yield event("content_block_stop", {"index": index})
    names = ("stop_reason", "stop_sequence", "stop_details", "container")
    ended = {name: message[name] for name in names if name in message}
    ended = {"stop_reason": "end_turn", "stop_sequence": None, **ended}
    ended["stop_reason"] = ended["stop_reason"] or "end_turn"
    yield event("message_delta", {"delta": ended, "usage": {"output_tokens": 0, **usage}})
    yield STOP_EVENT


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block starts, and what then comes of it."""
    kind = block.get("type")
    if kind == "text":
        text, citations = block.get("text"), block.get("citations")
        deltas = [{"type": "text_delta", "text": text}] if text else []
        if isinstance(citations, list) and citations:
            deltas += [{"type": "citations_delta", "citation": each} for each in citations]
            return {**block, "text": "", "citations": []}, deltas
        return {**block, "text": ""}, deltas
    if kind == "thinking":
        thought, signature = block.get("thinking"), block.get("signature")
        deltas = [{"type": "thinking_delta", "thinking": thought}] if thought else []
        if signature:
            deltas.append({"type": "signature_delta", "signature": signature})
        return {**block, "thinking": "", "signature": ""}, deltas
    if "input" in block:
        told = bodies.encode(block["input"]).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": told}]
    return block, []


def event(kind: str, document: dict[str, Any]) -> bytes:
    payload = bodies.encode({"type": kind, **document})
    return b"event: " + kind.encode() + b"\ndata: " + payload + b"\n\n"


# A stream as a whole message


def _from_events(body: bytes, judge: Judge, *, stream: bool) -> Reply | Failure:
    """All events of a stream at once, for a caller of either kind."""
    if len(body) > EVENTS_LIMIT:
        return no_answer(
            f"an event stream of more than {EVENTS_LIMIT >> 20} MiB came as a whole reply"
        )
    scanner = MessagesScanner(judge)
    passed = scanner.feed(body)
    last, failure = scanner.end()
    if failure is not None:
        if failure.fault is Fault.INTERRUPTED:  # nothing of it has been sent
            failure = replace(failure, fault=Fault.BAD_REPLY)
        return failure
    usage = scanner.usage or Usage()
    if stream:
        return Reply(passed + last, EVENT_STREAM, usage)
    whole = message_of(passed)
    if whole is None:
        return no_answer("the arguments of a tool call are not a JSON object")
    return Reply(bodies.encode(whole), JSON, usage)


def message_of(events: bytes) -> dict[str, Any] | None:
    """The message that scanned `events` add up to; None if a tool's input is not JSON."""
    message: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = []
    pieces: dict[tuple[int, str], list[Any]] = {}
    for each in events.split(b"\n\n"):
        kind, payload = fields_of(each)
        if not payload:
            continue
        document = bodies.decode(payload)
        match kind:
            case b"message_start":
                message = dict(members(document.get("message")))
            case b"content_block_start":
                blocks.append(dict(members(document.get("content_block"))))
            case b"content_block_delta":
                delta = members(document.get("delta"))
                name = _GROWS.get(text_of(delta.get("type")), "")
                if piece := delta.get(name):
                    pieces.setdefault((document["index"], name), []).append(piece)
            case b"message_delta":
                message |= {
                    name: value
                    for name, value in members(document.get("delta")).items()
                    if value is not None or name not in message
                }
                stated = members(document.get("usage"))
                more = {name: value for name, value in stated.items() if value is not None}
                message["usage"] = {**members(message.get("usage")), **more}
    for (index, name), found in pieces.items():
        block = blocks[index]
        if name == "citation":
            held = block.get("citations")
            block["citations"] = [*(held if isinstance(held, list) else []), *found]
            continue
        text = "".join(piece for piece in found if isinstance(piece, str))
        if name != "partial_json":
            block[name] = text_of(block.get(name)) + text
        elif (given := object_of(text)) is not None:
            block["input"] = given
        else:
            return None
    message["content"] = blocks
    return message
