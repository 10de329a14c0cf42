"""A canonical prompt as a Messages request for a provider."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Final

from providers.protocols import bodies
from providers.protocols.canonical import (
    Choice,
    Media,
    Part,
    Prompt,
    Raw,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Unfit,
    Written,
)
from providers.protocols.messages.answers import ORIGIN
from providers.protocols.messages.calls import input_of, outward_id
from providers.protocols.messages.prompt import hashed
from providers.protocols.messages.thinking import ROOM, Thought, thought_of, version_of
from providers.protocols.nesting import is_too_deep
from providers.protocols.protocol import Target

MAX_TOKENS: Final = 4096  # where nobody knows the model's own maximum; LiteLLM's number as well
_PDF: Final = "application/pdf"
# What an image is by its first bytes: another media_type than its own is a 400.
_IMAGES: Final = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)
_MODES: Final = {"auto": "auto", "required": "any", "none": "none"}
_JSON_ONLY: Final = "Answer with one JSON object and nothing else: no text around it, no fences."
_NOTHING: Final = "."  # what stands where a user's turn has to be and nobody said anything


def write(prompt: Prompt, target: Target) -> Written:
    """Raises Unfit."""
    return _Writing(prompt, target).written()


class _Writing:
    """One body in the making; `dropped` are canonical names of what it could not take."""

    def __init__(self, prompt: Prompt, target: Target) -> None:
        self.prompt = prompt
        self.target = target
        self.dropped: dict[str, None] = dict.fromkeys(prompt.other)
        self.warnings: list[str] = []
        self.body: dict[str, Any] = {"model": target.model}

    def written(self) -> Written:
        prompt, body = self.prompt, self.body
        for what in sorted(prompt.bound):
            raise Unfit(what)
        body["max_tokens"] = self._max_tokens()
        messages = self._messages()
        if system := self._system():
            body["system"] = system
        body["messages"] = messages
        self._add_tools()
        thought = self._add_thinking(messages)
        self._add_form()
        self._add_sampling(thought)
        self._add_rest()
        if prompt.stream:
            body["stream"] = True
        return Written(
            body=bodies.encode_whole(body),
            dropped=tuple(self.dropped),
            warnings=tuple(self.warnings),
        )

    def drop(self, name: str) -> None:
        self.dropped[name] = None

    def _marked(self, block: dict[str, Any], cache: dict[str, Any] | None) -> dict[str, Any]:
        """`block` with its cache mark, if that is one of Anthropic's."""
        if cache is None:
            return block
        if cache.get("type") == "ephemeral":
            return {**block, "cache_control": cache}
        self.drop("cache_control")
        return block

    def _max_tokens(self) -> int:
        """Required here: the model's own maximum if the caller said nothing, and never more."""
        asked, most = self.prompt.max_tokens, self.target.max_output_tokens
        if asked is None and most is not None:
            return most
        if asked is None:
            self.warnings.append(f"max_tokens is {MAX_TOKENS}, since none was given")
            return MAX_TOKENS
        if most is not None and asked > most:
            self.drop("max_completion_tokens")
            return most
        return asked

    # What is said

    def _system(self) -> list[dict[str, Any]]:
        """Block by block, so that cache marks and the prefix stay what they are."""
        told = [
            self._marked({"type": "text", "text": block.text}, block.cache)
            for block in self.prompt.system
            if block.text.strip()
        ]
        form = self.prompt.form
        if form is not None and form.kind == "json_object":
            self.drop("response_format")  # there is none: it is asked for in words
            told.append({"type": "text", "text": _JSON_ONLY})
        return told

    def _messages(self) -> list[dict[str, Any]]:
        """Turns of one role side by side are one, the results of tools first in it."""
        turns: list[tuple[str, list[dict[str, Any]]]] = []
        for turn in self.prompt.turns:
            if turn.name:
                self.drop("name")
            role = "assistant" if turn.role == "assistant" else "user"
            blocks = self._turn(turn)
            if not blocks:
                continue
            if turns and turns[-1][0] == role:
                turns[-1][1].extend(blocks)
            else:
                turns.append((role, blocks))
        if turns and turns[-1][0] == "assistant":
            # Others do not go on with the last turn; models since 4.6 refuse one, older ones do.
            raise Unfit("prefill")
        if not turns or turns[0][0] == "assistant":
            turns.insert(0, ("user", [{"type": "text", "text": _NOTHING}]))
        for role, blocks in turns:
            if role == "user":
                blocks.sort(key=_is_no_result)
        return [{"role": role, "content": blocks} for role, blocks in turns]

    def _turn(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.role == "system":
            # Only the newest version knows instructions in the middle. Told where they were said:
            # moved to the front they would mean another thing, and break the cached prefix.
            texts = "\n\n".join(part.text for part in turn.parts if isinstance(part, Text))
            if not texts.strip():
                return []
            self.drop("system")
            return [{"type": "text", "text": f"<system>\n{texts}\n</system>"}]
        is_assistant = turn.role == "assistant"
        found = (self._part(part, is_assistant=is_assistant) for part in turn.parts)
        return [block for block in found if block is not None]

    def _part(self, part: Part, *, is_assistant: bool) -> dict[str, Any] | None:
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                return self._text(Text(text=part.text))
            case ToolCall():
                given = None if _is_deep(part.arguments) else input_of(part)
                if given is None:
                    raise Unfit("tool_calls")  # arguments that are no object, or too deep for us
                call = {"type": "tool_use", "id": outward_id(part.id), "name": part.name}
                return self._marked({**call, "input": given}, part.cache)
            case ToolResult():
                return self._result(part)
            case Reasoning():
                return self._thought(part)
            case Raw():
                if part.origin != ORIGIN:
                    raise Unfit(str(part.value.get("type", "content")))
                return part.value
            case Media() if is_assistant:
                raise Unfit("assistant_media")
            case Media():
                return self._media(part)

    def _text(self, text: Text) -> dict[str, Any] | None:
        if not text.text.strip():
            return None  # text without a character is refused
        return self._marked({"type": "text", "text": text.text}, text.cache)

    def _thought(self, thought: Reasoning) -> dict[str, Any] | None:
        """Its own as it came; another's cannot be read here, and as text it would be prompt."""
        if thought.origin == ORIGIN:
            if thought.raw is not None:
                return thought.raw
            if thought.encrypted:
                return {"type": "redacted_thinking", "data": thought.encrypted}
            if thought.signature:
                told = {"type": "thinking", "thinking": thought.text}
                return {**told, "signature": thought.signature}
        self.drop("reasoning")
        return None

    def _result(self, result: ToolResult) -> dict[str, Any]:
        told: dict[str, Any] = {"type": "tool_result", "tool_use_id": outward_id(result.call_id)}
        blocks = [
            block
            for part in result.parts
            if (block := self._part(part, is_assistant=False)) is not None
        ]
        if blocks:
            told["content"] = blocks
        if result.is_error:
            told["is_error"] = True
        return self._marked(told, result.cache)

    def _media(self, media: Media) -> dict[str, Any]:
        if media.file_id:
            raise Unfit("file_id")  # known to one credential alone
        if media.detail not in ("", "auto"):
            self.drop("detail")
        if media.kind == "image":
            return self._marked({"type": "image", "source": _image(media)}, media.cache)
        if media.kind != "file":
            raise Unfit(media.kind)
        told: dict[str, Any] = {"type": "document", "source": _document(media)}
        if media.name:
            told["title"] = media.name
        return self._marked(told, media.cache)

    # Tools, and what the answer is to be

    def _add_tools(self) -> None:
        prompt, body = self.prompt, self.body
        tools, choice = prompt.tools, prompt.choice
        is_one = choice is not None and choice.mode == "required" and len(choice.names) == 1
        if choice is not None and choice.names and not is_one:
            # Fewer tools say the same to who does not know a choice among them.
            tools = tuple(tool for tool in tools if tool.name in choice.names)
            choice = Choice(mode=choice.mode)
        if not tools:
            if choice is not None and choice.mode != "none":
                self.drop("tool_choice")
            if prompt.parallel is not None:
                self.drop("parallel_tool_calls")
            self._add_stubs()
            return
        body["tools"] = [self._tool(tool) for tool in tools]
        told = _choice(choice)
        if prompt.parallel is False and (told is None or told["type"] != "none"):
            told = {**(told or {"type": "auto"}), "disable_parallel_tool_use": True}
        if told is not None:
            body["tool_choice"] = told

    def _add_stubs(self) -> None:
        """Calls in what was said need their tools, though nobody is to call them any more."""
        names = {
            part.name: None
            for turn in self.prompt.turns
            for part in turn.parts
            if isinstance(part, ToolCall)
        }
        if names:
            schema = {"type": "object", "properties": {}}
            self.body["tools"] = [{"name": name, "input_schema": schema} for name in names]
            self.body["tool_choice"] = {"type": "none"}

    def _tool(self, tool: Tool) -> dict[str, Any]:
        if tool.server is not None:
            if tool.origin != ORIGIN:
                raise Unfit(tool.name)
            return tool.server
        if tool.is_custom:
            raise Unfit("custom")  # whoever asks has made a function of it (tooling.py)
        told: dict[str, Any] = {"name": tool.name}
        if tool.description:
            told["description"] = tool.description
        told["input_schema"] = _schema(tool.schema)
        if tool.strict:
            told["strict"] = True
        return self._marked(told, tool.cache)

    def _add_thinking(self, messages: list[dict[str, Any]]) -> Thought:
        """Thinking as this model takes it, unless something of this request forbids it."""
        effort, body = self.prompt.effort, self.body
        if effort is None:
            return Thought()
        thought = thought_of(effort, self.target)
        is_forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
        if thought.is_on and (is_forced or (thought.budget and _is_in_a_loop(messages))):
            # With thinking no tool may be forced; and by a budget, a turn whose tools were called
            # has to begin with the thought that called them, which is another model's or gone.
            thought = Thought(effort=thought.effort, is_rounded=True)
        if thought.is_rounded:
            self.drop("reasoning_effort")
        if thought.thinking is not None:
            body["thinking"] = thought.thinking
        if thought.effort is not None:
            body["output_config"] = {"effort": thought.effort}
        if thought.budget >= body["max_tokens"]:
            # max_tokens includes the budget: more of it, rather than less thinking.
            body["max_tokens"] = thought.budget + ROOM
            self.drop("max_completion_tokens")
        return thought

    def _add_form(self) -> None:
        form = self.prompt.form
        if form is None or form.kind != "json_schema":
            return
        if "json_schema" in self.target.refuses:
            raise Unfit("json_schema")
        told = {"type": "json_schema", "schema": form.schema or {"type": "object"}}
        self.body["output_config"] = {**self.body.get("output_config", {}), "format": told}

    def _add_sampling(self, thought: Thought) -> None:
        sampling, body = self.prompt.sampling, self.body
        version = version_of(self.target.model) or (0, 0)
        for name, value in sampling.items():
            is_known = name in ("temperature", "top_p", "top_k")
            # Models since 4.7 refuse all three; those since 4.1 the first two together; and
            # thinking goes with none of them.
            is_refused = name in self.target.refuses or version >= (4, 7) or thought.is_on
            is_second = name == "top_p" and "temperature" in body and version >= (4, 1)
            if not is_known or is_refused or is_second:
                if not (name == "temperature" and value == 1):  # that is what it is without
                    self.drop(name)
            elif name == "temperature" and value > 1:
                body[name] = 1
                self.drop(name)
            else:
                body[name] = int(value) if name == "top_k" else value

    def _add_rest(self) -> None:
        prompt = self.prompt
        if stop := [text for text in prompt.stop if text.strip()]:
            self.body["stop_sequences"] = stop
        if len(stop) < len(prompt.stop):  # white space alone is refused
            self.drop("stop")
        if prompt.user:
            self.body["metadata"] = {"user_id": hashed(prompt.user)}
        if prompt.verbosity:
            self.drop("verbosity")
        if prompt.service_tier and prompt.service_tier != "auto":
            self.drop("service_tier")  # never another: it has another price
        if prompt.cache_key:
            self.drop("prompt_cache_key")


def _is_deep(arguments: str) -> bool:
    """Arguments are JSON in a string, which the depth of a request's body does not count."""
    return is_too_deep(arguments.encode(errors="surrogatepass"))


def _is_no_result(block: dict[str, Any]) -> bool:
    return block.get("type") != "tool_result"


def _is_in_a_loop(messages: list[dict[str, Any]]) -> bool:
    """Whether the last turn answers calls of a turn that does not begin with a thought."""
    if len(messages) < 2 or _is_no_result(messages[-1]["content"][0]):
        return False
    first = messages[-2]["content"][0]
    return first.get("type") not in ("thinking", "redacted_thinking")


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    if choice.names:
        return {"type": "tool", "name": choice.names[0]}
    return {"type": _MODES[choice.mode]} if choice.mode in _MODES else None


def _schema(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments are an object here, whatever else a schema says of them. Raises Unfit."""
    if schema is None:
        return {"type": "object", "properties": {}}
    kind = schema.get("type", "object")
    if kind == "object":
        return schema if "type" in schema else {"type": "object", **schema}
    if isinstance(kind, list) and "object" in kind:
        return {**schema, "type": "object"}
    raise Unfit("tools")


def _image(media: Media) -> dict[str, Any]:
    if media.url:
        return {"type": "url", "url": media.url}
    seen = (kind for start, kind in _IMAGES if media.data.startswith(start))
    media_type = next(seen, media.media_type)
    if media_type not in {kind for _, kind in _IMAGES}:
        raise Unfit("image")
    return {"type": "base64", "media_type": media_type, "data": media.data}


def _document(media: Media) -> dict[str, Any]:
    if media.text:
        return {"type": "text", "media_type": "text/plain", "data": media.text}
    if media.url:
        return {"type": "url", "url": media.url}
    if media.media_type in (_PDF, "", "application/octet-stream"):
        return {"type": "base64", "media_type": _PDF, "data": media.data}
    if media.media_type.startswith("text/"):
        try:
            text = b64decode(media.data + "==").decode()
        except ValueError as error:
            raise Unfit("file") from error
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise Unfit("file")
