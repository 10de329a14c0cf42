"""A canonical prompt as a chat completion for a provider."""

from __future__ import annotations

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
from providers.protocols.protocol import Target
from providers.protocols.reading import INPUT_SCHEMA, level_of

_STOPS: Final = 4
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def write(prompt: Prompt, target: Target) -> Written:
    """Raises Unfit."""
    return _Writing(prompt, target).written()


class _Writing:
    """One body in the making; `dropped` are canonical names of what it could not take."""

    def __init__(self, prompt: Prompt, target: Target) -> None:
        self.prompt = prompt
        self.target = target
        self.dropped: dict[str, None] = dict.fromkeys(prompt.other)
        self.body: dict[str, Any] = {"model": target.model}

    def written(self) -> Written:
        prompt, body = self.prompt, self.body
        for what in sorted(prompt.bound):
            raise Unfit(what)
        body["messages"] = self._messages()
        self._add_tools()
        self._add_form()
        self._add_limits()
        if prompt.stream:
            body["stream"] = True
            if "stream_options" not in self.target.refuses:
                body["stream_options"] = {"include_usage": True}
        return Written(body=bodies.encode_whole(body), dropped=tuple(self.dropped))

    def drop(self, name: str) -> None:
        self.dropped[name] = None

    def _put(self, name: str, value: Any) -> None:
        """A member by its canonical name, unless this provider does not take it."""
        if name in self.target.refuses:
            self.drop(name)
        else:
            self.body[self.target.renames.get(name, name)] = value

    # Messages

    def _messages(self) -> list[dict[str, Any]]:
        prompt = self.prompt
        found: list[dict[str, Any]] = []
        if prompt.system:
            if any(block.cache for block in prompt.system):
                self.drop("cache_control")
            text = "\n\n".join(block.text for block in prompt.system)
            found.append({"role": "system", "content": text})
        for turn in _merged(prompt.turns):
            if turn.name:
                self.drop("name")
            if turn.role == "assistant":
                found.append(self._assistant(turn))
            elif turn.role == "system":
                text = "\n\n".join(part.text for part in turn.parts if isinstance(part, Text))
                found.append({"role": "system", "content": text})
            else:
                found += self._user(turn)
        return found or [{"role": "user", "content": ""}]

    def _assistant(self, turn: Turn) -> dict[str, Any]:
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        message: dict[str, Any] = {"role": "assistant"}
        for part in turn.parts:
            match part:
                case Text():
                    texts.append(part.text)
                case Refusal():
                    message["refusal"] = part.text
                case ToolCall():
                    calls.append(self._call(part))
                case Reasoning():
                    self.drop("reasoning")
                case Raw():
                    raise Unfit(str(part.value.get("type", "content")))
                case _:
                    raise Unfit("assistant_media")
        message["content"] = "".join(texts) or (None if calls else "")
        if calls:
            message["tool_calls"] = calls
        return message

    def _call(self, call: ToolCall) -> dict[str, Any]:
        if call.is_custom and "custom_tools" not in self.target.refuses:
            custom = {"name": call.name, "input": call.arguments}
            return {"id": call.id, "type": "custom", "custom": custom}
        arguments = call.arguments
        if call.is_custom:
            arguments = bodies.encode({"input": arguments}).decode()
        function = {"name": call.name, "arguments": arguments}
        return {"id": call.id, "type": "function", "function": function}

    def _user(self, turn: Turn) -> list[dict[str, Any]]:
        """Results of tools first, each a message of its own; their images come behind them."""
        found: list[dict[str, Any]] = []
        rest: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ToolResult):
                text, media = self._result(part)
                found.append({"role": "tool", "tool_call_id": part.call_id, "content": text})
                rest += media
            else:
                rest.append(part)
        if rest or not found:
            found.append({"role": "user", "content": self._content(rest) if rest else ""})
        return found

    def _result(self, result: ToolResult) -> tuple[str, list[Part]]:
        texts, media = [], []
        for part in result.parts:
            if isinstance(part, Text):
                texts.append(part.text)
            else:
                texts.append(f"[{part.kind} follows]")
                media.append(part)
        text = "\n".join(texts)
        if result.cache:
            self.drop("cache_control")
        return (f"[tool error] {text}" if result.is_error else text), media

    def _content(self, parts: list[Part]) -> str | list[dict[str, Any]]:
        if all(isinstance(part, Text) for part in parts) and len(parts) == 1:
            [only] = parts
            assert isinstance(only, Text)  # noqa: S101  # as just seen
            if only.cache:
                self.drop("cache_control")
            return only.text
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> dict[str, Any]:
        if isinstance(part, (Text, Media)) and part.cache:
            self.drop("cache_control")
        match part:
            case Text() | Refusal():
                return {"type": "text", "text": part.text}
            case Media(kind="image"):
                return self._image(part)
            case Media(kind="audio") if part.data and part.media_type in _AUDIO:
                audio = {"data": part.data, "format": _AUDIO[part.media_type]}
                return {"type": "input_audio", "input_audio": audio}
            case Media(kind="file") if part.text:
                return {"type": "text", "text": part.text}
            case Media(kind="file") if part.data:
                name = part.name or "document.pdf"
                data = f"data:{part.media_type or 'application/pdf'};base64,{part.data}"
                return {"type": "file", "file": {"filename": name, "file_data": data}}
            case Media():
                raise Unfit("file_id" if part.file_id else part.kind)
            case Raw():
                raise Unfit(str(part.value.get("type", "content")))
        raise Unfit("content")

    def _image(self, image: Media) -> dict[str, Any]:
        if image.file_id:
            raise Unfit("file_id")
        url = image.url or f"data:{image.media_type};base64,{image.data}"
        detail = {"detail": image.detail} if image.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}

    # Tools, and what the answer is to be

    def _add_tools(self) -> None:
        prompt = self.prompt
        tools, choice = prompt.tools, prompt.choice
        is_subset = choice is not None and bool(choice.names) and not _is_one(choice)
        if choice is not None and is_subset and "allowed_tools" in self.target.refuses:
            # Fewer tools say the same to who does not know a choice among them.
            tools = tuple(tool for tool in tools if tool.name in choice.names)
            choice = Choice(mode=choice.mode)
        if choice is not None and "tool_choice" in self.target.refuses:
            tools, choice = self._without_choice(tools, choice), None
        if not tools:
            return
        self.body["tools"] = [self._tool(tool) for tool in tools]
        if choice is not None:
            self.body["tool_choice"] = self._choice(choice, tools)
        if prompt.parallel is not None:
            self._put("parallel_tool_calls", prompt.parallel)

    def _without_choice(self, tools: tuple[Tool, ...], choice: Choice) -> tuple[Tool, ...]:
        """What the tools alone can say of a choice; that one has to be called they cannot."""
        if choice.mode == "none":
            return ()
        if choice.mode == "required":
            self.drop("tool_choice")
        return tuple(tool for tool in tools if tool.name in choice.names or not choice.names)

    def _tool(self, tool: Tool) -> dict[str, Any]:
        if tool.server is not None:
            raise Unfit(tool.name)
        if tool.cache:
            self.drop("cache_control")
        told: dict[str, Any] = {"name": tool.name}
        if tool.description:
            told["description"] = tool.description
        if tool.is_custom and "custom_tools" not in self.target.refuses:
            if tool.format:
                told["format"] = tool.format
            return {"type": "custom", "custom": told}
        schema = INPUT_SCHEMA if tool.is_custom else tool.schema
        if schema is not None:
            told["parameters"] = schema
        if tool.strict is not None:
            told["strict"] = tool.strict
        return {"type": "function", "function": told}

    def _choice(self, choice: Choice, tools: tuple[Tool, ...]) -> Any:
        if not choice.names:
            return choice.mode
        is_custom = {tool.name: tool.is_custom for tool in tools}
        named = [
            self._reference(name, is_custom=is_custom.get(name, False)) for name in choice.names
        ]
        if _is_one(choice):
            return named[0]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}

    def _reference(self, name: str, *, is_custom: bool) -> dict[str, Any]:
        kind = "custom" if is_custom and "custom_tools" not in self.target.refuses else "function"
        return {"type": kind, kind: {"name": name}}

    def _add_form(self) -> None:
        form = self.prompt.form
        if form is None:
            return
        if form.kind == "json_object":
            self.body["response_format"] = {"type": "json_object"}
            return
        if "json_schema" in self.target.refuses:
            raise Unfit("json_schema")
        told: dict[str, Any] = {"name": form.name or "answer", "schema": form.schema or {}}
        if form.strict is not None:
            told["strict"] = form.strict
        if form.description:
            told["description"] = form.description
        self.body["response_format"] = {"type": "json_schema", "json_schema": told}

    def _add_limits(self) -> None:
        prompt = self.prompt
        if prompt.max_tokens is not None:
            self._put("max_completion_tokens", prompt.max_tokens)
        if prompt.stop:
            self.body["stop"] = list(prompt.stop[:_STOPS])
            if len(prompt.stop) > _STOPS:
                self.drop("stop")
        for name, value in prompt.sampling.items():
            if name == "top_k" and name not in self.target.renames:
                self.drop(name)
            else:
                self._put(name, value)
        if prompt.effort is not None and (level := level_of(prompt.effort)):
            self._put("reasoning_effort", level)
        if prompt.verbosity:
            self._put("verbosity", prompt.verbosity)
        if prompt.user:
            self._put("user", prompt.user)
        if prompt.cache_key:
            self._put("prompt_cache_key", prompt.cache_key)
        if prompt.service_tier and prompt.service_tier != "auto":
            self.drop("service_tier")


def _merged(turns: tuple[Turn, ...]) -> list[Turn]:
    """Assistant turns side by side are one: all calls of one answer stand in one message."""
    found: list[Turn] = []
    for turn in turns:
        if found and turn.role == "assistant" and found[-1].role == "assistant":
            found[-1] = Turn(role="assistant", parts=(*found[-1].parts, *turn.parts))
        else:
            found.append(turn)
    return found


def _is_one(choice: Choice) -> bool:
    """Whether the choice is one tool that has to be called."""
    return choice.mode == "required" and len(choice.names) == 1
