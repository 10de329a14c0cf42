"""What a Messages request asks for, in the canonical form."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from msgspec import Raw as RawJson

from providers.protocols import bodies
from providers.protocols.canonical import (
    Choice,
    Effort,
    Form,
    Media,
    Part,
    Prompt,
    Raw,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.protocols.messages.answers import ORIGIN, thought_of
from providers.protocols.reading import (
    dict_of,
    dicts_of,
    flag_of,
    is_number,
    problem,
    text_of,
    without_spaces,
)
from providers.protocols.usage import members

_SAMPLING: Final = ("temperature", "top_p", "top_k")
# What only this protocol can carry: state at one credential, tools that a provider runs, and where
# the data may go.
_BOUND: Final = ("container", "mcp_servers", "thread", "inference_geo")
_READ: Final = frozenset(
    {
        "model", "messages", "system", "max_tokens", "stream", "stop_sequences", "tools",
        "tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier",
        *_SAMPLING, *_BOUND,
    }
)  # fmt: skip
# Members of a tool that help Anthropic's models and nobody else's.
_TOOL_HINTS: Final = (
    "defer_loading", "eager_input_streaming", "input_examples", "allowed_callers",
)  # fmt: skip
_MODES: Final = {"auto": "auto", "any": "required", "none": "none"}


def prompt_of(fields: dict[str, RawJson], *, stream: bool) -> Prompt:
    """Raises ProtocolError where the request contradicts itself."""
    return _Reading(bodies.values_of(fields)).prompt(stream=stream)


def hashed(user: str) -> str:
    """
    A user's name on its way to another vendor.

    It is not theirs to know, and longer than they take: Claude Code's is a text of 150 characters
    with the account in it, and OpenAI allows 64.
    """
    return hashlib.sha256(user.encode(errors="surrogatepass")).hexdigest()


class _Reading:
    """One request being read: `bound` and `other` are what Prompt calls so."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        self.bound = {name for name in _BOUND if said.get(name) not in (None, [], {})}
        self.other = dict.fromkeys(name for name in said if name not in _READ)
        self.calls: dict[str, str] = {}  # of tools: id → name

    def tell(self, name: str) -> None:
        self.other[name] = None

    def prompt(self, *, stream: bool) -> Prompt:
        said = self.said
        system = self._system(said.get("system"))
        leading, turns = self._turns(said.get("messages"))
        metadata = members(said.get("metadata"))
        if metadata.keys() - {"user_id"}:
            self.tell("metadata")
        user = text_of(metadata.get("user_id"))
        choice = members(said.get("tool_choice"))
        is_single = flag_of(choice.get("disable_parallel_tool_use"))
        config = members(said.get("output_config"))
        for name in config.keys() - {"effort", "format"}:
            self.tell(f"output_config.{name}")
        effort = self._effort(members(said.get("thinking")), text_of(config.get("effort")))
        return Prompt(
            system=(*system, *leading),
            turns=turns,
            tools=tuple(self._tool(tool) for tool in dicts_of(said.get("tools"))),
            choice=_choice(choice),
            parallel=None if is_single is None else not is_single,
            form=_form(config.get("format")) or _form(said.get("output_format")),
            effort=effort,
            max_tokens=self._max_tokens(),
            stop=tuple(t for t in _list(said.get("stop_sequences")) if isinstance(t, str)),
            sampling={name: said[name] for name in _SAMPLING if is_number(said.get(name))},
            user=hashed(user) if user else "",
            service_tier=text_of(said.get("service_tier")),
            stream=stream,
            bound=frozenset(self.bound),
            other=tuple(self.other),
        )

    def _max_tokens(self) -> int | None:
        stated = self.said.get("max_tokens")
        if not isinstance(stated, int) or isinstance(stated, bool):
            return None
        if stated == 0:
            self.bound.add("max_tokens")  # only fills the prompt cache
        return stated

    def _effort(self, thinking: dict[str, Any], level: str) -> Effort | None:
        kind = text_of(thinking.get("type"))
        # Anthropic's shows what it thinks unless told not to, others' only if asked.
        summary = "" if thinking.get("display") == "omitted" else "auto"
        if kind == "enabled":
            budget = thinking.get("budget_tokens")
            is_count = isinstance(budget, int) and not isinstance(budget, bool)
            return Effort(level=level, budget=budget if is_count else None, summary=summary)
        if kind == "disabled":
            if level:
                self.tell("output_config.effort")
            return Effort(level="none")
        if kind:  # adaptive, between_tools and what is to come
            return Effort(level=level, summary=summary, is_adaptive=True)
        return Effort(level=level) if level else None

    # What is said

    def _system(self, given: Any) -> list[Text]:
        """The blocks as they are: the first is one of its own that agents rely on."""
        if isinstance(given, str):
            return [Text(text=given)] if given else []
        found = []
        for place, block in enumerate(_list(given)):
            if not isinstance(block, dict) or block.get("type") != "text":
                raise problem(f"system[{place}].type", "must be text")
            found.append(self._text(block))
        return found

    def _turns(self, messages: Any) -> tuple[list[Text], tuple[Turn, ...]]:
        """The system turns that stand first, and all turns after them."""
        leading: list[Text] = []
        turns: list[Turn] = []
        for place, message in enumerate(_list(messages)):
            where = f"messages[{place}]"
            if not isinstance(message, dict):
                raise problem(where, "must be an object")
            role = message.get("role")
            if role not in ("user", "assistant", "system"):
                raise problem(f"{where}.role", f"must be user, assistant or system, not {role!r}")
            parts = self._parts(message.get("content"), f"{where}.content")
            if role == "system":
                texts = tuple(part for part in parts if isinstance(part, Text))
                if turns:
                    turns.append(Turn(role="system", parts=texts))
                else:
                    leading += texts
                continue
            if role == "assistant":
                parts = _with_signatures(parts)
            turns.append(Turn(role=role, parts=tuple(parts)))
        if turns and turns[-1].role == "assistant":
            # Its text is to be gone on with: callers put both together, and others begin anew.
            self.bound.add("prefill")
        return leading, tuple(turns)

    def _parts(self, content: Any, where: str) -> list[Part]:
        if isinstance(content, str):
            return [Text(text=content)] if content else []
        return [
            self._part(block, f"{where}[{place}]") for place, block in enumerate(_list(content))
        ]

    def _part(self, block: Any, where: str) -> Part:
        if not isinstance(block, dict):
            raise problem(where, "must be an object")
        match block.get("type"):
            case "text":
                return self._text(block)
            case "image":
                return self._image(block)
            case "document":
                return self._document(block)
            case "search_result":
                return self._search_result(block)
            case "thinking" | "redacted_thinking":
                return thought_of(block)
            case "tool_use":
                call = ToolCall(
                    id=text_of(block.get("id")),
                    name=text_of(block.get("name")),
                    arguments=bodies.encode(members(block.get("input"))).decode(),
                    cache=dict_of(block.get("cache_control")),
                )
                self.calls[call.id] = call.name
                return call
            case "tool_result":
                return self._result(block, where)
        return Raw(origin=ORIGIN, value=block)

    def _text(self, block: dict[str, Any]) -> Text:
        if block.get("citations"):
            self.tell("citations")
        return Text(text=text_of(block.get("text")), cache=dict_of(block.get("cache_control")))

    def _image(self, block: dict[str, Any]) -> Media | Raw:
        source = members(block.get("source"))
        if block.get("transformations"):
            self.tell("transformations")
        return _sourced("image", source, block) or Raw(origin=ORIGIN, value=block)

    def _document(self, block: dict[str, Any]) -> Media | Raw:
        source = members(block.get("source"))
        if block.get("context"):
            self.tell("context")
        if members(block.get("citations")).get("enabled"):
            self.tell("citations")
        if source.get("type") == "content":
            inner = source.get("content")
            blocks = dicts_of(inner)
            if not isinstance(inner, str) and any(each.get("type") != "text" for each in blocks):
                return Raw(origin=ORIGIN, value=block)
            texts = [text_of(each.get("text")) for each in blocks]
            text = inner if isinstance(inner, str) else "\n\n".join(texts)
            source = {"type": "text", "data": text, "media_type": "text/plain"}
        return _sourced("file", source, block) or Raw(origin=ORIGIN, value=block)

    def _search_result(self, block: dict[str, Any]) -> Text:
        """Nobody else has such a block: its text with what it is and where it is from."""
        self.tell("search_result")
        head = [text for name in ("title", "source") if (text := text_of(block.get(name)))]
        texts = [text_of(each.get("text")) for each in dicts_of(block.get("content"))]
        cache = dict_of(block.get("cache_control"))
        return Text(text="\n".join([*head, *texts]), cache=cache)

    def _result(self, block: dict[str, Any], where: str) -> ToolResult:
        call_id = text_of(block.get("tool_use_id"))
        if call_id not in self.calls:
            words = f"{call_id!r} answers no tool_use of the messages before it"
            raise problem(f"{where}.tool_use_id", words)
        parts = self._parts(block.get("content"), f"{where}.content")
        for part in parts:
            if not isinstance(part, (Text, Media)):  # references to tools, states of a browser
                kind = part.value.get("type") if isinstance(part, Raw) else "content"
                self.bound.add(text_of(kind) or "content")
        return ToolResult(
            call_id=call_id,
            parts=tuple(part for part in parts if isinstance(part, (Text, Media))),
            is_error=block.get("is_error") is True,
            name=self.calls[call_id],
            cache=dict_of(block.get("cache_control")),
        )

    def _tool(self, tool: dict[str, Any]) -> Tool:
        kind = text_of(tool.get("type"))
        if kind not in ("", "custom"):  # of Anthropic's own, by their dated names
            return Tool(name=kind, server=tool, origin=ORIGIN)
        for name in _TOOL_HINTS:
            if tool.get(name) not in (None, False, [], ["direct"]):
                self.tell(name)
        return Tool(
            name=text_of(tool.get("name")),
            description=text_of(tool.get("description")),
            schema=dict_of(tool.get("input_schema")),
            strict=flag_of(tool.get("strict")),
            cache=dict_of(tool.get("cache_control")),
        )


def _with_signatures(parts: list[Part]) -> list[Part]:
    """Signatures of calls, which came as thoughts of their own, back on those calls."""
    signatures = {
        part.call_id: part.signature
        for part in parts
        if isinstance(part, Reasoning) and part.call_id
    }
    if not signatures:
        return parts
    called = {part.id for part in parts if isinstance(part, ToolCall)}
    found: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall) and part.id in signatures:
            found.append(
                ToolCall(
                    id=part.id,
                    name=part.name,
                    arguments=part.arguments,
                    signature=signatures[part.id],
                    cache=part.cache,
                )
            )
        elif not (isinstance(part, Reasoning) and part.call_id in called):
            found.append(part)
    return found


def _sourced(kind: str, source: dict[str, Any], block: dict[str, Any]) -> Media | None:
    """An image or a document by its source; None for one that is not known."""
    data, url, file_id = (text_of(source.get(name)) for name in ("data", "url", "file_id"))
    media_type, text = text_of(source.get("media_type")), ""
    match source.get("type"):
        case "base64" if data:
            data, url, file_id = without_spaces(data), "", ""
        case "text" if kind == "file":
            data, url, file_id, text = "", "", "", data
        case "url" if url:
            data, file_id = "", ""
        case "file" if file_id:
            data, url = "", ""
        case _:
            return None
    return Media(
        kind=kind,
        media_type=media_type,
        data=data,
        url=url,
        file_id=file_id,
        text=text,
        name=text_of(block.get("title")),
        cache=dict_of(block.get("cache_control")),
    )


def _choice(asked: dict[str, Any]) -> Choice | None:
    kind = text_of(asked.get("type"))
    if kind == "tool":
        return Choice(mode="required", names=(text_of(asked.get("name")),))
    return Choice(mode=_MODES[kind]) if kind in _MODES else None


def _form(asked: Any) -> Form | None:
    asked = members(asked)
    if asked.get("type") != "json_schema":
        return None
    return Form(kind="json_schema", schema=dict_of(asked.get("schema")))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
