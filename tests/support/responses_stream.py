"""
A strict reader of Responses streams, and one that reads as Codex does.

`read_stream` accepts exactly this, and raises Unsound for all else:

    stream     = *( heartbeat / event ) last
    heartbeat  = one empty line, never inside an event
    event      = "event: " type LF "data: " JSON LF LF     the JSON says the same type
    last       = response.completed / response.incomplete / response.failed / error

Sequence numbers rise by one from 0; every event's response has the same id; items are opened in
order, and nothing is told of an item that is not open; a message, or reasoning, is open alone;
parts are opened in order and closed before the next; what is told piece by piece is what the end
of the part, of the item and of the response says; the last response has every item, and usage.

`read_as_codex` believes what Codex CLI believes: items of response.output_item.done, and an end
that is response.completed with an id and usage; everything else it skips.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.validator import Unsound, check, read_json

LASTS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
# The pieces of a kind of item, and the member of their end that says them whole.
PIECES = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
}
PARTS = {
    "response.output_text": ("output_text", "text"),
    "response.refusal": ("refusal", "refusal"),
}
SUMMARY = "response.reasoning_summary_text"
PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "image_generation_call": "ig_",
}


@dataclass(slots=True, kw_only=True)
class Item:
    """An item that is open: what has been told of it."""

    kind: str
    id: str
    parts: list[dict[str, Any]] = field(default_factory=list)
    open_part: dict[str, Any] | None = None
    told: str = ""
    is_said: bool = False


@dataclass(slots=True, kw_only=True)
class Told:
    """A sound stream: `error` is what its last event says went wrong."""

    items: list[dict[str, Any]] = field(default_factory=list)
    response: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    heartbeats: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part.get("text", "") for part in self._parts())

    @property
    def refusal(self) -> str:
        return "".join(part.get("refusal", "") for part in self._parts())

    @property
    def reasoning(self) -> str:
        return "".join(
            part["text"] for item in self.of("reasoning") for part in item.get("summary", ())
        )

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.items if item["type"] == kind]

    def _parts(self) -> list[dict[str, Any]]:
        return [part for item in self.of("message") for part in item["content"]]


def read_stream(body: bytes) -> Told:
    """What `body` tells its caller. Raises Unsound at the first byte that breaks the grammar."""
    told = Told()
    reading = _Reading(told)
    rest = body
    while True:
        while rest.startswith(b"\n"):
            rest = rest[1:]
            told.heartbeats += 1
        block, end, rest = rest.partition(b"\n\n")
        if not end:
            raise Unsound(f"the stream ends without its last event, after {body[-200:]!r}")
        first, _, second = block.partition(b"\n")
        check(first.startswith(b"event: ") and second.startswith(b"data: "), f"not so: {block!r}")
        check(b"\n" not in second and b"\r" not in block, f"more than two lines: {block[:200]!r}")
        document = read_json(second.removeprefix(b"data: "))
        name = first.removeprefix(b"event: ").decode()
        check(document.get("type") == name, f"{name} says that it is {document.get('type')}")
        number = document.get("sequence_number")
        check(number == len(told.events), f"{name} is number {number}, not {len(told.events)}")
        told.events.append(name)
        if reading.take(name, document):
            check(not rest, f"bytes after the last event: {rest[:200]!r}")
            return told


class _Reading:
    def __init__(self, told: Told) -> None:
        self.told = told
        self.id = ""
        self.open: dict[int, Item] = {}
        self.done: dict[int, dict[str, Any]] = {}

    def take(self, name: str, document: dict[str, Any]) -> bool:
        """Whether it was the last event."""
        if name == "error":
            check(not self.id, "a response that has begun fails, and is no bare error")
            check({"code", "message", "param"} <= document.keys(), f"no flat error: {document}")
            check(isinstance(document["message"], str), f"no message: {document}")
            self.told.error = document
            return True
        if name in ("response.created", "response.in_progress"):
            self._begin(name, document["response"])
        elif name in LASTS:
            self._end(name, document["response"])
            return True
        else:
            check(bool(self.id), f"{name} before the response was created")
            self._take_piece(name, document)
        return False

    def _begin(self, name: str, response: dict[str, Any]) -> None:
        place = ["response.created", "response.in_progress"].index(name)
        check(len(self.told.events) == place + 1, f"{name} out of place")
        self._known(response)
        check(response["status"] == "in_progress" and response["output"] == [], f"{response}")
        check(response["usage"] is None and response["error"] is None, f"{response}")

    def _known(self, response: dict[str, Any]) -> None:
        """What every response in a stream has to hold."""
        check(bool(response.get("id")), f"no id: {response}")
        self.id = self.id or response["id"]
        check(response["id"] == self.id, f"the id changed: {response['id']}")
        check(response.get("object") == "response", f"no response: {response}")
        check(isinstance(response.get("created_at"), (int, float)), f"created when: {response}")
        check(isinstance(response.get("model"), str), f"no model: {response}")
        for member, kind in (("output", list), ("tools", list), ("parallel_tool_calls", bool)):
            check(isinstance(response.get(member), kind), f"no {member}: {response}")
        check("tool_choice" in response, f"no tool_choice: {response}")

    def _end(self, name: str, response: dict[str, Any]) -> None:
        self._known(response)
        check(response["status"] == LASTS[name], f"{name} with status {response['status']}")
        self.told.response = response
        if name == "response.failed":
            error = response["error"]
            check(bool(error and error["code"] and error["message"]), f"no error: {error}")
            self.told.error = error
            return
        check(not self.open, f"items {list(self.open)} are still open")
        check(sorted(self.done) == list(range(len(self.done))), "an item was left out")
        self.told.items = [self.done[place] for place in sorted(self.done)]
        check(response["output"] == self.told.items, "the response is not what its items were")
        details = response["incomplete_details"]
        check((details is None) == (name == "response.completed"), f"details: {details}")
        _read_usage(response["usage"])

    def _take_piece(self, name: str, document: dict[str, Any]) -> None:
        place = document.get("output_index")
        check(isinstance(place, int), f"{name} of no item")
        assert isinstance(place, int)
        if name == "response.output_item.added":
            self._open(place, document["item"])
            return
        item = self.open.get(place)
        check(item is not None, f"{name} of item {place}, which is not open")
        assert item is not None
        if name == "response.output_item.done":
            self._close(place, item, document["item"])
            return
        check(document.get("item_id") == item.id, f"{name} of another id: {document}")
        stem, _, step = name.rpartition(".")
        if stem == "response.content_part":
            _take_part(item, step, document)
        elif stem == "response.reasoning_summary_part":
            _take_summary(item, step, document)
        elif stem in PARTS or stem == SUMMARY:
            kind, member = PARTS.get(stem, ("summary_text", "text"))
            part = item.open_part
            check(part is not None and part["type"] == kind, f"{name} outside of its part")
            check(_index(document) == len(item.parts), f"{name} of another part: {document}")
            _take_text(item, step, document, member)
        elif stem in PIECES:
            kind, member = PIECES[stem]
            check(item.kind == kind, f"{name} of a {item.kind}")
            _take_text(item, step, document, member)
        else:
            raise Unsound(f"nobody knows {name}")

    def _open(self, place: int, item: dict[str, Any]) -> None:
        check(place == len(self.open) + len(self.done), f"item {place} out of order")
        kind = item["type"]
        alone = [
            known.kind
            for known in self.open.values()
            if known.kind not in ("function_call", "custom_tool_call")
        ]
        check(not alone, f"a {kind} opens while {alone} is open")
        check(
            item["id"].startswith(PREFIXES.get(kind, "")) and len(item["id"]) <= 64,
            f"id {item['id']}",
        )
        check(item.get("status") == "in_progress", f"begun {item.get('status')}")
        for member in ("content", "summary", "arguments", "input"):
            check(not item.get(member), f"an item opens with {member}: {item}")
        self.open[place] = Item(kind=kind, id=item["id"])

    def _close(self, place: int, item: Item, whole: dict[str, Any]) -> None:
        check((whole["type"], whole["id"]) == (item.kind, item.id), f"another item ends: {whole}")
        check(item.open_part is None, f"a part is still open: {item}")
        check(whole.get("status") in ("completed", "incomplete"), f"ended {whole.get('status')}")
        match item.kind:
            case "message":
                check(whole["role"] == "assistant", f"said by {whole['role']}")
                check(whole["content"] == item.parts, f"parts: {whole['content']}, {item.parts}")
            case "reasoning":
                check(whole["summary"] == item.parts, f"summary: {whole['summary']}")
            case "function_call" | "custom_tool_call":
                member = "arguments" if item.kind == "function_call" else "input"
                check(item.is_said, f"a call ends before its {member}")
                check(whole[member] == item.told, f"{member}: {whole[member]}, {item.told}")
                check(bool(whole["call_id"] and whole["name"]), f"a call unnamed: {whole}")
                check(len(whole["call_id"]) <= 64, f"call_id {whole['call_id']}")
        del self.open[place]
        self.done[place] = whole


def _index(document: dict[str, Any]) -> Any:
    return document.get("content_index", document.get("summary_index"))


def _take_part(item: Item, step: str, document: dict[str, Any]) -> None:
    check(item.kind == "message", f"a part of a {item.kind}")
    check(document["content_index"] == len(item.parts), f"part out of order: {document}")
    part = document["part"]
    if step == "added":
        check(item.open_part is None, f"a part opens within another: {document}")
        check(not part.get("text") and not part.get("refusal"), f"a part opens with text: {part}")
        if part["type"] == "output_text":
            check(part["annotations"] == [], f"no annotations: {part}")
        item.open_part, item.told, item.is_said = part, "", False
        return
    check(item.open_part is not None and item.is_said, f"a part ends before its text: {document}")
    member = "refusal" if part["type"] == "refusal" else "text"
    check(part[member] == item.told, f"part says {part[member]!r}, told was {item.told!r}")
    item.parts.append(part)
    item.open_part = None


def _take_summary(item: Item, step: str, document: dict[str, Any]) -> None:
    check(item.kind == "reasoning", f"a summary of a {item.kind}")
    check(document["summary_index"] == len(item.parts), f"summary out of order: {document}")
    part = document["part"]
    check(part["type"] == "summary_text", f"not a summary: {part}")
    if step == "added":
        check(item.open_part is None and part["text"] == "", f"summary opens: {document}")
        item.open_part, item.told, item.is_said = part, "", False
        return
    check(item.open_part is not None and item.is_said, f"a summary ends early: {document}")
    check(part["text"] == item.told, f"summary says {part['text']!r}, told was {item.told!r}")
    item.parts.append(part)
    item.open_part = None


def _take_text(item: Item, step: str, document: dict[str, Any], member: str) -> None:
    check(not item.is_said, f"more after the end: {document}")
    if step == "delta":
        check(bool(document["delta"]), f"a delta of nothing: {document}")
        item.told += document["delta"]
        return
    item.told = with_pairs(item.told)
    check(document[member] == item.told, f"{document[member]!r} was told as {item.told!r}")
    item.is_said = True


def with_pairs(text: str) -> str:
    """The halves of a surrogate pair that came in two pieces as what they are together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _read_usage(usage: Any) -> None:
    check(isinstance(usage, dict), f"no usage: {usage}")
    read, written = usage["input_tokens"], usage["output_tokens"]
    check(usage["total_tokens"] == read + written, f"no sum: {usage}")
    for details, names in (
        ("input_tokens_details", ("cached_tokens", "cache_write_tokens")),
        ("output_tokens_details", ("reasoning_tokens",)),
    ):
        for name in names:
            check(isinstance(usage[details][name], int), f"no {name}: {usage}")


# As Codex reads


@dataclass(slots=True, kw_only=True)
class Turn:
    """What Codex has of an answer: its items, and its end; `error` is why there is none."""

    items: list[dict[str, Any]] = field(default_factory=list)
    id: str = ""
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        return bool(self.id) and self.usage is not None


def read_as_codex(body: bytes) -> Turn:
    turn = Turn()
    for block in body.split(b"\n\n"):
        data = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        try:
            document = json.loads(b"\n".join(data))
        except ValueError:
            continue
        match document.get("type"):
            case "response.output_item.done":
                turn.items.append(document["item"])
            case "response.failed":
                turn.error = document["response"]["error"]
                return turn
            case "response.incomplete":
                turn.error = document["response"]["incomplete_details"]
                return turn
            case "response.completed":
                turn.id = document["response"]["id"]
                turn.usage = document["response"]["usage"]
                return turn
    return turn
