"""
What the fuzzer begins with, and how it makes more: JSON changed by its structure, not by its bytes.

Changed bytes nearly always are no JSON, and then only the decoder is tested. So most changes are
made to values: another of the same document, a word that the codecs know, an odd number.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from providers.protocols import PROTOCOLS, Protocol
from providers.protocols.canonical import Answer
from providers.protocols.pieces import answer_of, events_of
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import JUDGE, asked

WIRE: Final = Path(__file__).parent.parent / "wire"
CODED: Final = [protocol for protocol in PROTOCOLS.values() if protocol.codec is not None]
HEAD: Final = 4  # bytes before the payload: which protocol, which way of calling it, where to cut
MOST_BYTES: Final = 32 << 10

_DEEP: Final = "\x00deep"  # stands for a value that is nested too deeply for json to write
_ODD: Final = (
    None, True, False, 0, -1, 1, 2.5, 1e308, 2**53, 2**63, 2**64, -(2**70), "", " ", "a", "0", "{}",
    "[1]", "null", '{"a":', "\ud83d", "\ude00", "😀", "\x00", "\r\n\r\n", "data: [DONE]", "gw1.",
    "gw1.W10=", "data:image/png;base64,QUJD", "data:,x", "https://example.com/a.png", "QUJD", "=",
    "application/pdf", "a" * 300, _DEEP, [], {}, [None], [[]], [{}], {"type": "text", "text": "a"},
    {"": None},
)  # fmt: skip


def _words() -> tuple[str, ...]:
    """The words that the codecs know, out of their source."""
    found = set()
    for path in Path("providers/protocols").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                word = node.value
                if 0 < len(word) <= 60 and " " not in word and word.isascii():
                    found.add(word)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return tuple(sorted(found))


WORDS: Final = _words()


# Changing what there is


def changed(payload: bytes, seed: int, change_bytes: Callable[[bytes], bytes]) -> bytes:
    """Another payload like this one, a document or a stream of them."""
    rng = Random(seed)
    if rng.random() < 0.15:
        return change_bytes(payload)
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return _changed_stream(payload, rng, change_bytes)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        document = _changed_value(document, rng)
    return _written(document)


def _changed_stream(payload: bytes, rng: Random, change_bytes: Callable[[bytes], bytes]) -> bytes:
    events = payload.replace(b"\r\n", b"\n").split(b"\n\n")
    place = rng.randrange(len(events))
    roll = rng.random()
    if roll < 0.1:
        del events[place]
    elif roll < 0.2:
        events.insert(place, events[rng.randrange(len(events))])
    elif roll < 0.25:
        other = rng.randrange(len(events))
        events[place], events[other] = events[other], events[place]
    elif roll < 0.3:
        end = rng.choice((b"\r\n", b"\r"))
        return payload.replace(b"\n", end)
    else:
        head, mark, data = events[place].partition(b"data: ")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return change_bytes(payload)
        for _ in range(rng.choice((1, 1, 2, 3))):
            document = _changed_value(document, rng)
        events[place] = head + mark + _written(document)
    return b"\n\n".join(events)


def _written(document: Any) -> bytes:
    try:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = json.dumps(document, separators=(",", ":")).encode()
    for depth in (70, 990):
        encoded = encoded.replace(
            json.dumps(_DEEP).encode(), b'{"a":[' * depth + b"1" + b"]}" * depth, 1
        )
    return encoded


def _changed_value(document: Any, rng: Random) -> Any:
    places = list(_places(document))
    if not places:
        return rng.choice(_ODD)
    holder, key = rng.choice(places)
    roll = rng.random()
    if roll < 0.35:
        holder[key] = _copied(rng.choice(_ODD))
    elif roll < 0.55:
        holder[key] = rng.choice(WORDS)
    elif roll < 0.7:
        source, other = rng.choice(places)
        holder[key] = _copied(source[other])
    elif roll < 0.85:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, _copied(holder[key]))
    elif roll < 0.95:
        holder[rng.choice(WORDS)] = holder.pop(key)
    else:
        holder[rng.choice(WORDS)] = _copied(rng.choice((holder[key], rng.choice(_ODD))))
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [document] if isinstance(document, (dict, list)) else []
    while waiting:
        value = waiting.pop()
        keys = value.keys() if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
            if isinstance(value[key], (dict, list)) and value[key]:
                waiting.append(value[key])


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


# What there is at first


def seeds(name: str) -> Iterator[bytes]:
    """The first inputs of a target."""
    payloads = {
        "requests": _requests, "replies": _replies, "streams": _streams, "sealing": _opaque,
    }[name]  # fmt: skip
    for number, protocol in enumerate(CODED):
        for payload in dict.fromkeys(payloads(protocol)):
            if len(payload) < MOST_BYTES:
                yield bytes((number, 0, 0, 0)) + payload


_ONLY_CHATS: Final = {"model", "n", "seed", "logprobs", "stop"}
SCHEMA: Final = {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}
PNG: Final = "iVBORw0KGgoAAAANSUhEUg=="
RICH: Final[dict[str, Any]] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "So."}]},
        {"role": "user", "name": "u", "content": [
            {"type": "text", "text": "Look 😀"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a", "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=",
                                      "filename": "a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        ]},
        {"role": "assistant", "content": "Hm", "reasoning_content": "thinking", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":"1"}'}},
            {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "user", "content": "Go on"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "F", "parameters": SCHEMA,
                                          "strict": True}},
        {"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False, "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 100,
    "stop": ["END"], "n": 1, "seed": 1, "reasoning_effort": "low", "user": "me", "logprobs": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    "stream": True, "stream_options": {"include_usage": True}, "service_tier": "auto",
    "metadata": {"a": "b"}, "presence_penalty": 0.1, "top_k": 3, "verbosity": "low",
}  # fmt: skip


def _requests(protocol: Protocol) -> Iterator[bytes]:
    yield json.dumps({"model": "m", **protocol.example}).encode()
    if protocol.name == "openai_chat":
        yield json.dumps(RICH).encode()
        return
    for leave_out in ((), ("tools", "tool_choice"), ("response_format",)):
        members = {name: RICH[name] for name in RICH.keys() - _ONLY_CHATS - set(leave_out)}
        members["messages"] = [_carried(message) for message in RICH["messages"]]
        translated = Translated(asked("openai_chat", **members), protocol, Target(model="m"))
        yield translated.encode("m")


def _carried(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the parts that some protocol has no room for."""
    content = message["content"]
    if not isinstance(content, list):
        return message
    carried = [
        part for part in content
        if part["type"] != "input_audio" and "https:" not in json.dumps(part)
    ]  # fmt: skip
    return {**message, "content": carried}


def _recorded() -> Iterator[tuple[Protocol, bytes]]:
    for protocol in CODED:
        for path in sorted((WIRE / protocol.name).glob("*/upstream.sse")):
            yield protocol, path.read_bytes()


def _answers() -> Iterator[Answer]:
    for spoken, stream in _recorded():
        assert spoken.codec is not None
        decoder = spoken.codec.decoder(JUDGE)
        decoder.feed(stream)
        decoder.end()
        if (answer := answer_of(decoder.take())) is not None:
            yield answer


def _replies(protocol: Protocol) -> Iterator[bytes]:
    assert protocol.codec is not None
    for answer in _answers():
        yield protocol.codec.reply(answer, asked(protocol.name))


def _streams(protocol: Protocol) -> Iterator[bytes]:
    assert protocol.codec is not None
    yield from (stream for spoken, stream in _recorded() if spoken is protocol)
    for answer in _answers():
        encoder = protocol.codec.encoder(asked(protocol.name, stream=True))
        yield encoder.write(events_of(answer))


def _opaque(protocol: Protocol) -> Iterator[bytes]:
    origin = protocol.name
    yield json.dumps({"text": "t", "signature": "s", "origin": origin}).encode()
    yield json.dumps({"encrypted": "e", "id": "rs_1", "call_id": "c", "origin": origin}).encode()
    yield b"gw1.WyJhbnRocm9waWNfbWVzc2FnZXMiLCJzIl0="
