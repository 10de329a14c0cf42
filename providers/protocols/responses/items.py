"""The items of an input as turns of a conversation, and parts of items as parts of a turn."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from providers.protocols.canonical import (
    Media,
    Part,
    Raw,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.protocols.reading import (
    dict_of,
    dicts_of,
    media_of_url,
    new_call_id,
    problem,
    text_of,
    with_members,
    without_spaces,
)
from providers.protocols.sealing import is_sealed, unseal

_ID_LIMIT: Final = 64  # of a call, at OpenAI: string_above_max_length
NAME: Final = "openai_responses"
_AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})


class Conversation:
    """
    What an input says. `system` are its leading instructions; `bound` and `other` as in Prompt.

    Items of one answer stand side by side: its reasoning, its texts, its calls. They are one turn,
    and the results of its calls the next, wherever they stand: other protocols want them there.
    `may_continue`: calls may be known to the provider alone.
    """

    def __init__(self, given: Any, *, may_continue: bool = False) -> None:
        """Raises ProtocolError where the input contradicts itself."""
        self.system: list[Text] = []
        self.bound: set[str] = set()
        self.other: list[str] = []
        # By their roles; True: left out where nothing comes to stand there.
        self._turns: list[tuple[str, list[Part], bool]] = []
        self._answer: list[Part] | None = None  # the assistant's turn that is still open
        self._calls: dict[str, tuple[ToolCall, list[Part]]] = {}  # and where their results go
        self._results: list[Part] = []  # of the calls in `_answer`
        self._signatures: dict[str, str] = {}  # of calls, which had no place for them
        if isinstance(given, str):
            self._turns.append(("user", [Text(text=given)] if given else [], False))
            return
        items = given if isinstance(given, list) else []
        if any(isinstance(item, dict) and _is_reference(item) for item in items):
            self.bound.add("item_reference")
            may_continue = True
        for place, item in enumerate(items):
            self._take(item, f"input[{place}]", may_continue=may_continue)

    def turns(self) -> tuple[Turn, ...]:
        return tuple(
            Turn(role=role, parts=tuple(self._signed(part) for part in parts))
            for role, parts, is_ready in self._turns
            if parts or not is_ready
        )

    def _signed(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.id in self._signatures:
            return ToolCall(
                id=part.id,
                name=part.name,
                arguments=part.arguments,
                is_custom=part.is_custom,
                signature=self._signatures[part.id],
                item_id=part.item_id,
            )
        return part

    def _take(self, item: Any, where: str, *, may_continue: bool) -> None:
        if not isinstance(item, dict):
            raise problem(where, "must be an object")
        kind = text_of(item.get("type"))
        if kind in _CALLS:
            call = call_of(item, new_call_id(len(self._calls)))
            self._say(call)
            self._calls[call.id] = (call, self._results)
        elif kind in _RESULTS:
            self._take_result(item, where, may_continue=may_continue)
        elif kind == "reasoning":
            self._take_reasoning(item)
        elif kind == "message" or (not kind and "role" in item):
            self._take_message(item, where)
        elif not _is_reference(item):
            # Tools that the provider runs, what it has compacted, and what nobody knows yet.
            raw = Raw(origin=NAME, value=item)
            if kind.endswith(("_output", "_response")):
                self._close()
                self._turns.append(("user", [raw], False))
            else:
                self._say(raw)

    def _take_message(self, item: dict[str, Any], where: str) -> None:
        role = item.get("role")
        if item.get("phase"):
            self.other.append("phase")
        parts = _parts(item.get("content"), f"{where}.content")
        if role in ("system", "developer"):
            texts = self._only(parts, (Text,))
            if self._turns:
                self._close()
                self._turns.append(("system", texts, False))
            else:
                self.system += [part for part in texts if isinstance(part, Text)]
        elif role == "user":
            self._close()
            self._turns.append(("user", parts, False))
        elif role == "assistant":
            self._say(*parts)
        else:
            allowed = "system, developer, user or assistant"
            raise problem(f"{where}.role", f"must be {allowed}, not {role!r}")

    def _take_reasoning(self, item: dict[str, Any]) -> None:
        thought = reasoning_of(item)
        if thought.call_id:
            self._signatures[thought.call_id] = thought.signature
        else:
            self._say(thought)

    def _take_result(self, item: dict[str, Any], where: str, *, may_continue: bool) -> None:
        call_id = text_of(item.get("call_id"))
        known = self._calls.get(call_id)
        if known is None and not may_continue:
            raise problem(f"{where}.call_id", f"{call_id!r} answers no call of the items before it")
        parts = _parts(item.get("output"), f"{where}.output")
        result = ToolResult(
            call_id=call_id,
            parts=tuple(self._only(parts, (Text, Media))),
            is_custom=known[0].is_custom if known else False,
            name=known[0].name if known else "",
        )
        if known is None:
            self._close()
            self._turns.append(("user", [result], False))
            return
        known[1].append(result)
        if known[1] is self._results:
            self._close()

    def _only(self, parts: list[Part], kinds: tuple[type, ...]) -> list[Part]:
        """Those that have a place elsewhere; what has none keeps the request here."""
        for part in parts:
            if isinstance(part, Raw):
                self.bound.add(text_of(part.value.get("type")) or "content")
            elif not isinstance(part, kinds):
                self.bound.add(part.kind if isinstance(part, Media) else "content")
        return [part for part in parts if isinstance(part, kinds)]

    def _say(self, *parts: Part) -> None:
        if self._answer is None:
            self._answer, self._results = [], []
            # The turn of its results stands ready behind it.
            self._turns += [("assistant", self._answer, True), ("user", self._results, True)]
        self._answer += parts

    def _close(self) -> None:
        self._answer = None


def _is_reference(item: dict[str, Any]) -> bool:
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "role" not in item and "id" in item)


# Items and their parts, as callers and providers tell them


def call_of(item: dict[str, Any], otherwise: str) -> ToolCall:
    """A call; only `call_id` links it to its result."""
    item_id = text_of(item.get("id"))
    call_id = text_of(item.get("call_id")) or item_id or otherwise
    name = text_of(item.get("name"))
    if item.get("type") == "custom_tool_call":
        text = text_of(item.get("input"))
        return ToolCall(id=call_id, name=name, arguments=text, is_custom=True, item_id=item_id)
    arguments = text_of(item.get("arguments"))
    return ToolCall(id=call_id, name=name, arguments=arguments or "{}", item_id=item_id)


def short_id(call_id: str) -> str:
    """The same for a call and its result, and short enough."""
    if len(call_id) <= _ID_LIMIT:
        return call_id
    digest = hashlib.sha256(call_id.encode(errors="surrogatepass")).hexdigest()
    return f"call_{digest[:32]}"


def reasoning_of(item: dict[str, Any]) -> Reasoning:
    text = thought_of(item)
    encrypted = text_of(item.get("encrypted_content"))
    if is_sealed(encrypted):
        return unseal(encrypted, text) or Reasoning(text=text)
    return Reasoning(
        text=text, encrypted=encrypted, id=text_of(item.get("id")), origin=NAME, raw=item
    )


def thought_of(item: dict[str, Any]) -> str:
    """The text of a reasoning item: its summary, or else what open models tell in full."""
    parts = dicts_of(item.get("summary")) or dicts_of(item.get("content"))
    return "\n\n".join(text for part in parts if (text := text_of(part.get("text"))))


def _parts(content: Any, where: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(text=content)] if content else []
    return [
        part_of(part, f"{where}[{number}]")
        for number, part in enumerate(content if isinstance(content, list) else [])
    ]


def part_of(part: Any, where: str) -> Part:
    if not isinstance(part, dict):
        raise problem(where, "must be an object")
    kind = part.get("type")
    cache = dict_of(part.get("prompt_cache_breakpoint"))
    if kind in ("input_text", "output_text", "text"):
        return Text(text=text_of(part.get("text")), cache=cache)
    if kind == "refusal":
        return Refusal(text=text_of(part.get("refusal")))
    if kind == "input_image":
        detail, file_id = text_of(part.get("detail")), text_of(part.get("file_id"))
        detail = "" if detail == "auto" else detail  # a required key of this protocol's types
        if file_id:
            return Media(kind="image", file_id=file_id, detail=detail, cache=cache)
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url  # as chat spells it
        media = media_of_url(text_of(url), "image", where)
        return _marked(with_members(media, detail=detail), cache)
    if kind == "input_file":
        return _marked(_file(part, where), cache)
    if kind == "input_audio":
        audio = dict_of(part.get("input_audio")) or {}
        sound = text_of(audio.get("format"))
        media_type = _AUDIO_TYPES.get(sound, f"audio/{sound}")
        return Media(kind="audio", media_type=media_type, data=text_of(audio.get("data")))
    return Raw(origin=NAME, value=part)


def _file(part: dict[str, Any], where: str) -> Media:
    name, file_id = text_of(part.get("filename")), text_of(part.get("file_id"))
    if file_id:
        return Media(kind="file", file_id=file_id, name=name)
    if url := text_of(part.get("file_url")):
        return Media(kind="file", url=url, name=name)
    data = text_of(part.get("file_data"))
    if not data.startswith("data:"):  # bare base64 is taken as well
        return Media(kind="file", data=without_spaces(data), name=name)
    return with_members(media_of_url(data, "file", where), name=name)


def _marked(media: Media, cache: dict[str, Any] | None) -> Media:
    if cache is None:
        return media
    fields = {name: getattr(media, name) for name in media.__struct_fields__}
    return Media(**{**fields, "cache": cache})
