"""
Whole 200s as callers asked for them, whatever form they have come in.

A provider may answer with one reply, with events, or with Google's array of what would be events;
a caller wants one of the same three.
"""

from __future__ import annotations

import codecs
import typing
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.gemini.listing import Listing
from providers.protocols.gemini.reply import missing, plain_usage, usage_of
from providers.protocols.gemini.stream import StreamScanner
from providers.protocols.protocol import Judge, Reply
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer

_LIMIT: Final = 8 << 20  # of a stream that is put together at once
_JSON: Final = b"application/json"
_EVENTS: Final = (b"data:", b"event:", b"id:", b":")
_PIECE: Final = 2  # members of a piece of thought: the text, and that it is one


class Asked(typing.Protocol):
    """What of a request decides the form of its answer."""

    stream: bool
    is_array: bool

    @property
    def stream_type(self) -> bytes: ...
    @property
    def several(self) -> bool: ...


def read(asked: Asked, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
    """The whole 200 `body` as it was asked for, or why it is no answer."""
    try:
        return _read(asked, content_type, body, judge)
    except RecursionError:  # what can just be decoded may be too deep to be written again
        return no_answer("the reply is nested too deeply")


def _read(asked: Asked, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
    start = body[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    is_events = content_type is not None and content_type.lower().startswith(b"text/event-stream")
    if is_events or start.startswith(_EVENTS):
        return _from_events(asked, body, judge)
    if start[:1] == b"[":
        return _from_array(asked, body, judge)
    found = decoded(content_type, body, judge, plain_usage)
    if isinstance(found, Failure):
        return found
    if not isinstance(found, Usage):
        problem = missing(found, judge)
        if problem is not None:
            return no_answer(problem)
        found = usage_of(found.get("usageMetadata")) or Usage()
    if not asked.stream:
        return Reply(body, content_type or _JSON, found)
    # Decoded and written again it has no line ends, as an event must not.
    return _told(asked, [bodies.decode(body)], found)


def _told(asked: Asked, documents: list[Any], usage: Usage) -> Reply:
    events = b"".join([b"data: " + bodies.encode(each) + b"\n\n" for each in documents])
    if asked.is_array:
        listing = Listing()
        events = listing.add(events) + listing.close()
    return Reply(events, asked.stream_type, usage)


def _from_array(asked: Asked, body: bytes, judge: Judge) -> Reply | Failure:
    """Google's array: as the events that it stands for."""
    if len(body) > _LIMIT:
        return no_answer(f"an array of more than {_LIMIT >> 20} MiB came as a whole reply")
    try:
        documents = bodies.decode(body)
    except (ValueError, RecursionError):
        return no_answer("the reply is not whole JSON")
    if not all(isinstance(each, dict) for each in documents):
        return no_answer("the reply is not a JSON object")
    return _from_events(
        asked, b"".join([b"data: " + bodies.encode(each) + b"\n\n" for each in documents]), judge
    )


def _from_events(asked: Asked, body: bytes, judge: Judge) -> Reply | Failure:
    if len(body) > _LIMIT:
        return no_answer(f"an event stream of more than {_LIMIT >> 20} MiB came as a whole reply")
    scanner = StreamScanner(judge, several=asked.several)
    passed = scanner.feed(body)
    last, failure = scanner.end()
    if failure is not None:
        if failure.fault is Fault.INTERRUPTED:  # nothing of it has been sent
            failure = replace(failure, fault=Fault.BAD_REPLY)
        return failure
    documents = [bodies.decode(event[6:]) for event in (passed + last).split(b"\n\n") if event]
    usage = scanner.usage or Usage()
    if asked.stream:
        return _told(asked, documents, usage)
    return Reply(bodies.encode(whole_of(documents)), _JSON, usage)


def whole_of(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The reply that the events of a stream add up to; what comes later counts."""
    whole: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    parts: dict[int, list[Any]] = {}
    for document in documents:
        found = document.pop("candidates", None)
        whole |= document
        for candidate in found if isinstance(found, list) else ():
            if not isinstance(candidate, dict):
                continue
            stated = candidate.get("index")
            index = stated if type(stated) is int else 0
            into = candidates.setdefault(index, {})
            content = candidate.pop("content", None)
            into |= candidate
            if isinstance(content, dict):
                piece = content.pop("parts", None)
                parts.setdefault(index, []).extend(piece if isinstance(piece, list) else ())
                into["content"] = {**into.get("content", {}), **content}
    for index, said in parts.items():
        candidates[index]["content"]["parts"] = _joined(said)
    if not candidates:
        return whole
    return {"candidates": [candidates[index] for index in sorted(candidates)], **whole}


def _joined(parts: list[Any]) -> list[Any]:
    """Texts side by side as one; what has a signature keeps its own bounds."""
    joined: list[Any] = []
    for kind, group in groupby(parts, _kind):
        if kind is None:
            joined += group
            continue
        text = "".join([part["text"] for part in group])
        joined.append({"text": text, "thought": True} if kind == "thought" else {"text": text})
    return joined


def _kind(part: Any) -> str | None:
    """`text` or `thought` for a piece of one; None for a part of its own."""
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        return None
    if len(part) == 1:
        return "text"
    return "thought" if len(part) == _PIECE and part.get("thought") is True else None
