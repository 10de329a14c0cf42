"""
Answers that come in another shape than was asked for, and are answers all the same.

A whole reply where a stream was asked for becomes the stream that says the same, and the other way
round; a declared charset becomes UTF-8. None of this is on the way of a reply that is as it should
be: it is tried on what would otherwise be refused.
"""

from __future__ import annotations

import codecs
import typing
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.chat.reply import check
from providers.protocols.chat.shape import Shape
from providers.protocols.chat.stream import StreamScanner
from providers.protocols.protocol import EVENT_STREAM, Judge, Reply
from providers.protocols.usage import Usage

EVENTS_LIMIT: Final = 8 << 20  # of a stream that is put together at once: 0.1 s of the event loop
JSON: Final = b"application/json"
_STREAM_BEGINNINGS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
# Members of a delta that name something; all other strings are pieces of a longer one.
_NAMES: Final = frozenset({"role", "id", "type", "name", "format"})
# A body in one of these is hardly ever sound UTF-8, which is tried first.
_CHARSETS: Final = frozenset({"iso8859-1", "iso8859-15", "cp1252", "cp1251", "utf-16", "utf-32"})


class Asked(typing.Protocol):
    """What of a request decides the shape of its answer."""

    stream: bool

    @property
    def wants_usage(self) -> bool: ...
    @property
    def several(self) -> bool: ...


def read(
    shape: Shape, asked: Asked, content_type: bytes | None, body: bytes, judge: Judge
) -> Reply | Failure:
    """The whole 200 `body` as it was asked for, or why it is no answer."""
    checked = check(shape, content_type, body, judge)
    if isinstance(checked, Failure):
        if _is_events(content_type, body):
            return _from_events(shape, asked, body, judge)
        text = _as_utf8(content_type, body)
        if text is not None:
            body, content_type = text, JSON
            checked = check(shape, content_type, body, judge)
    if isinstance(checked, Failure):
        return checked
    if not asked.stream:
        return Reply(body, content_type or JSON, checked)
    return Reply(b"".join(_events(shape, asked, bodies.decode(body))), EVENT_STREAM, checked)


def _is_events(content_type: bytes | None, body: bytes) -> bool:
    if content_type is not None and content_type.lower().startswith(b"text/event-stream"):
        return True
    return body[:64].removeprefix(codecs.BOM_UTF8).lstrip().startswith(_STREAM_BEGINNINGS)


def _as_utf8(content_type: bytes | None, body: bytes) -> bytes | None:
    """`body` by its declared charset; None if it is UTF-8 already, or the charset no help."""
    _, _, declared = (content_type or b"").lower().partition(b"charset=")
    try:
        charset = codecs.lookup(declared.split(b";")[0].strip(b" \t\"'").decode()).name
        if charset not in _CHARSETS:
            return None
        return body.decode(charset).encode()
    except (LookupError, ValueError):
        return None  # no such charset, or the body is not written in it


# A whole reply as a stream


def _events(shape: Shape, asked: Asked, document: dict[str, Any]) -> Iterator[bytes]:
    base = {name: document[name] for name in document if name not in ("choices", "usage")}
    base["object"] = shape.piece
    for position, choice in enumerate(document["choices"]):
        for piece in (
            _pieces(choice, position) if shape.is_chat else [_text_piece(choice, position)]
        ):
            yield _event({**base, "choices": [piece]})
    usage = document.get("usage")
    if asked.wants_usage and isinstance(usage, dict):
        yield _event({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _pieces(choice: dict[str, Any], position: int) -> list[dict[str, Any]]:
    """One choice of a chat completion: its role, what it says, and its end."""
    message = {name: value for name, value in choice["message"].items() if value is not None}
    role = message.pop("role", "assistant")
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {"index": index, **call} for index, call in enumerate(calls) if isinstance(call, dict)
        ]
    more = {
        name: value for name, value in choice.items() if name not in ("message", "finish_reason")
    }
    finish = choice.get("finish_reason") or ("tool_calls" if calls else "stop")
    index = more.pop("index", position)
    return [
        {"index": index, "delta": {"role": role, "content": ""}, "finish_reason": None},
        {"index": index, "delta": message, **more, "finish_reason": None},
        {"index": index, "delta": {}, "finish_reason": finish},
    ]


def _text_piece(choice: dict[str, Any], position: int) -> dict[str, Any]:
    finish = choice.get("finish_reason") or "stop"
    return {"index": position, **choice, "finish_reason": finish}


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + bodies.encode(document) + b"\n\n"


# A stream as a whole reply


def _from_events(shape: Shape, asked: Asked, body: bytes, judge: Judge) -> Reply | Failure:
    """All events of a stream at once, for a caller of either kind."""
    if len(body) > EVENTS_LIMIT:
        message = f"an event stream of more than {EVENTS_LIMIT >> 20} MiB came as a whole reply"
        return Failure(fault=Fault.BAD_REPLY, message=message, status=200)
    wants_usage = asked.wants_usage or not asked.stream
    scanner = StreamScanner(judge, wants_usage=wants_usage, several=asked.several)
    passed = scanner.feed(body)
    last, failure = scanner.end()
    if failure is not None:
        if failure.fault is Fault.INTERRUPTED:  # nothing of it has been sent
            failure = replace(failure, fault=Fault.BAD_REPLY)
        return failure
    usage = scanner.usage or Usage()
    if asked.stream:
        return Reply(passed + last, EVENT_STREAM, usage)
    return Reply(bodies.encode(_whole(shape, passed)), JSON, usage)


def _whole(shape: Shape, events: bytes) -> dict[str, Any]:
    """The completion that `events` add up to; they have been scanned, so each is one line."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events.split(b"\n\n"):
        payload = event.removeprefix(b"data: ")
        if not payload or payload.strip() == b"[DONE]":
            continue
        document = bodies.decode(payload)
        found = document.pop("choices", None)
        whole |= {name: value for name, value in document.items() if value is not None}
        for choice in found if isinstance(found, list) else ():
            if isinstance(choice, dict):
                _add_choice(choices, choice, is_chat=shape.is_chat)
    whole["object"] = shape.whole
    whole["choices"] = [choices[index] for index in sorted(choices)]
    return whole


def _add_choice(
    choices: dict[int, dict[str, Any]], choice: dict[str, Any], *, is_chat: bool
) -> None:
    stated = choice.pop("index", 0)
    index = stated if isinstance(stated, int) else 0
    into = choices.get(index)
    if into is None:
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": None}} if is_chat else {"text": ""}
        )
        into = choices[index] = {"index": index, **said, "finish_reason": None}
    delta = choice.pop("delta", None)
    if is_chat and isinstance(delta, dict):
        _add(into["message"], delta)
    finish = choice.pop("finish_reason", None)
    if finish is not None:
        into["finish_reason"] = finish
    _add(into, choice)


def _add(into: dict[str, Any], piece: dict[str, Any]) -> None:
    """Lengthen what `into` holds by what `piece` brings."""
    for name, value in piece.items():
        held = into.get(name)
        if value is None:
            into.setdefault(name, None)
        elif name == "tool_calls" and isinstance(value, list):
            into[name] = _with_calls(held if isinstance(held, list) else [], value)
        elif isinstance(held, str) and isinstance(value, str) and name not in _NAMES:
            into[name] = held + value
        elif isinstance(held, list) and isinstance(value, list):
            held += value
        elif isinstance(held, dict) and isinstance(value, dict):
            _add(held, value)
        else:
            into[name] = value


def _with_calls(held: list[dict[str, Any]], pieces: list[Any]) -> list[dict[str, Any]]:
    """Tool calls whose arguments come in pieces; `index` says whose, and is no part of a reply."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        stated = piece.pop("index", len(held))
        index = stated if isinstance(stated, int) and 0 <= stated < len(held) else len(held)
        if index == len(held):
            held.append({})
        _add(held[index], piece)
    return held
