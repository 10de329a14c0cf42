"""
Answers that come in another shape than was asked for, and are answers all the same.

A whole reply where a stream was asked for becomes the stream that says the same, and the other way
round. It is tried on what would otherwise be refused.
"""

from __future__ import annotations

import codecs
import typing
from dataclasses import replace
from typing import Any, Final

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.protocol import EVENT_STREAM, Judge, Reply
from providers.protocols.reading import dicts_of, text_of
from providers.protocols.responses.errors import event
from providers.protocols.responses.reply import check
from providers.protocols.responses.stream import StreamScanner
from providers.protocols.usage import Usage
from providers.protocols.whole import no_answer

EVENTS_LIMIT: Final = 8 << 20  # of a stream that is put together at once
_JSON: Final = b"application/json"
_STREAM_BEGINNINGS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")


class Asked(typing.Protocol):
    """What of a request decides the shape of its answer."""

    stream: bool

    @property
    def is_background(self) -> bool: ...


def read(asked: Asked, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
    """The whole 200 `body` as it was asked for, or why it is no answer."""
    checked = check(content_type, body, judge, is_background=asked.is_background)
    if isinstance(checked, Failure):
        return _from_events(asked, body, judge) if _is_events(content_type, body) else checked
    if not asked.stream:
        return Reply(body, content_type or _JSON, checked)
    return Reply(stream_of(bodies.decode(body)), EVENT_STREAM, checked)


def _is_events(content_type: bytes | None, body: bytes) -> bool:
    if content_type is not None and content_type.lower().startswith(b"text/event-stream"):
        return True
    return body[:64].removeprefix(codecs.BOM_UTF8).lstrip().startswith(_STREAM_BEGINNINGS)


# A stream as a whole reply


def _from_events(asked: Asked, body: bytes, judge: Judge) -> Reply | Failure:
    """All events of a stream at once, for a caller of either kind."""
    if len(body) > EVENTS_LIMIT:
        return no_answer(
            f"an event stream of more than {EVENTS_LIMIT >> 20} MiB came as a whole reply"
        )
    scanner = StreamScanner(judge)
    passed = scanner.feed(body)
    last, failure = scanner.end()
    if failure is not None:
        if failure.fault is Fault.INTERRUPTED:  # nothing of it has been sent
            failure = replace(failure, fault=Fault.BAD_REPLY)
        return failure
    usage = scanner.usage or Usage()
    if asked.stream:
        return Reply(passed + last, EVENT_STREAM, usage)
    return Reply(bodies.encode(_whole(passed)), _JSON, usage)


def _whole(events: bytes) -> dict[str, Any]:
    """The response that the last event holds; some servers leave its items to those before."""
    items: dict[int, Any] = {}
    response: dict[str, Any] = {}
    for told in events.split(b"\n\n"):
        _, _, payload = told.rpartition(b"data: ")  # scanned, so one line that comes last
        if not payload:
            continue
        document = bodies.decode(payload)
        if document.get("type") == "response.output_item.done":
            index = document.get("output_index")
            items[index if isinstance(index, int) else len(items)] = document.get("item")
        if isinstance(document.get("response"), dict):
            response = document["response"]
    if not response.get("output"):
        response["output"] = [items[index] for index in sorted(items)]
    return response


# A whole reply as a stream


def stream_of(response: dict[str, Any]) -> bytes:
    """The events that end with `response`."""
    telling = _Telling()
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    telling.tell("response.created", {"response": begun})
    telling.tell("response.in_progress", {"response": begun})
    for index, item in enumerate(dicts_of(response.get("output"))):
        telling.tell_item(index, item)
    is_whole = response.get("status") != "incomplete"
    kind = "response.completed" if is_whole else "response.incomplete"
    telling.tell(kind, {"response": response})
    return b"".join(telling.events)


# Parts that come in pieces; of any other kind only its beginning and its end are told.
_SPOKEN: Final = frozenset({"output_text", "refusal"})


class _Telling:
    """Events with the numbers that they have in their stream."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    def tell(self, kind: str, members: dict[str, Any]) -> None:
        told = {"type": kind, "sequence_number": len(self.events), **members}
        self.events.append(event(kind, told))

    def tell_item(self, index: int, item: dict[str, Any]) -> None:
        at = {"item_id": text_of(item.get("id")), "output_index": index}
        kind = item.get("type")
        begun = {**item, "status": "in_progress"}
        match kind:
            case "message":
                self._tell_added(index, {**begun, "content": []})
                for place, part in enumerate(dicts_of(item.get("content"))):
                    self._tell_part({**at, "content_index": place}, part)
            case "reasoning":
                begun.pop("content", None)
                self._tell_added(index, {**begun, "summary": []})
                for place, part in enumerate(dicts_of(item.get("summary"))):
                    self._tell_summary({**at, "summary_index": place}, part)
            case "function_call" | "custom_tool_call":
                name = "arguments" if kind == "function_call" else "input"
                stem = "function_call_arguments" if kind == "function_call" else f"{kind}_input"
                self._tell_added(index, {**begun, name: ""})
                whole = text_of(item.get(name))
                if whole:
                    self.tell(f"response.{stem}.delta", {**at, "delta": whole})
                self.tell(f"response.{stem}.done", {**at, name: whole})
            case _:
                self._tell_added(index, begun)
        self.tell("response.output_item.done", {"output_index": index, "item": item})

    def _tell_added(self, index: int, item: dict[str, Any]) -> None:
        self.tell("response.output_item.added", {"output_index": index, "item": item})

    def _tell_part(self, at: dict[str, Any], part: dict[str, Any]) -> None:
        kind = text_of(part.get("type"))
        name = "refusal" if kind == "refusal" else "text"
        whole = text_of(part.get(name))
        begun = {**part, name: "", **({"annotations": []} if name == "text" else {})}
        more: dict[str, Any] = {"logprobs": []} if name == "text" else {}
        self.tell("response.content_part.added", {**at, "part": begun})
        if kind in _SPOKEN:
            if whole:
                self.tell(f"response.{kind}.delta", {**at, "delta": whole, **more})
            self.tell(f"response.{kind}.done", {**at, name: whole, **more})
        self.tell("response.content_part.done", {**at, "part": part})

    def _tell_summary(self, at: dict[str, Any], part: dict[str, Any]) -> None:
        whole = text_of(part.get("text"))
        self.tell("response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}})
        if whole:
            self.tell("response.reasoning_summary_text.delta", {**at, "delta": whole})
        self.tell("response.reasoning_summary_text.done", {**at, "text": whole})
        self.tell("response.reasoning_summary_part.done", {**at, "part": part})
