"""A canonical prompt as a request of the Responses API for a provider."""

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
from providers.protocols.responses.items import NAME, short_id

_SAMPLING: Final = frozenset({"temperature", "top_p"})
_SUMMARIES: Final = frozenset({"auto", "concise", "detailed"})
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
        self.has_own_reasoning = False
        self._custom = {
            part.id
            for turn in prompt.turns
            for part in turn.parts
            if isinstance(part, ToolCall) and part.is_custom
        }

    def written(self) -> Written:
        prompt, body = self.prompt, self.body
        for what in sorted(prompt.bound):
            raise Unfit(what)
        if prompt.stop:
            raise Unfit("stop")  # there is no such field
        if prompt.system:
            if any(block.cache for block in prompt.system):
                self.drop("cache_control")
            body["instructions"] = "\n\n".join(block.text for block in prompt.system)
        said = [item for turn in prompt.turns for item in self._items(turn)]
        body["input"] = said or [{"type": "message", "role": "user", "content": [_text("")]}]
        self._add_tools()
        self._add_text()
        self._add_reasoning()
        self._add_limits()
        if prompt.stream:
            body["stream"] = True
        # Who asks in another protocol keeps its own history, and expects nobody else to.
        if "store" not in self.target.refuses:
            body["store"] = False
        return Written(body=bodies.encode_whole(body), dropped=tuple(self.dropped))

    def drop(self, name: str) -> None:
        self.dropped[name] = None

    def _put(self, name: str, value: Any, canonical: str = "") -> None:
        """A member, unless this provider does not take it; `canonical` is its name elsewhere."""
        known = canonical or name
        if known in self.target.refuses:
            self.drop(known)
        else:
            self.body[self.target.renames.get(name, name)] = value

    # Items

    def _items(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.name:
            self.drop("name")
        if turn.role == "assistant":
            return self._said(turn.parts)
        found = [self._result(part) for part in turn.parts if isinstance(part, ToolResult)]
        rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
        if rest or not found:
            content = [self._part(part) for part in rest] or [_text("")]
            found.append({"type": "message", "role": turn.role, "content": content})
        return found

    def _said(self, parts: tuple[Part, ...]) -> list[dict[str, Any]]:
        """What a model answered: its texts side by side are one message."""
        found: list[dict[str, Any]] = []
        for part in parts:
            match part:
                case Text() | Refusal():
                    if isinstance(part, Text) and part.cache:
                        self.drop("cache_control")
                    if not found or found[-1].get("type") != "message":
                        found.append({"type": "message", "role": "assistant", "content": []})
                    found[-1]["content"].append(_spoken(part))
                case ToolCall():
                    found.append(self._call(part))
                case Reasoning():
                    if (item := self._thought(part)) is not None:
                        found.append(item)
                case Raw():
                    raise Unfit(str(part.value.get("type", "content")))
                case _:
                    raise Unfit("assistant_media")
        return found

    def _thought(self, thought: Reasoning) -> dict[str, Any] | None:
        """Back to its maker as it came; what it cannot read again is left out."""
        if thought.origin != NAME or not thought.encrypted:
            self.drop("reasoning")
            return None
        self.has_own_reasoning = True
        if thought.raw is not None:
            return thought.raw
        summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
        item = {"type": "reasoning", "summary": summary, "encrypted_content": thought.encrypted}
        return {**item, "id": thought.id} if thought.id else item

    def _call(self, call: ToolCall) -> dict[str, Any]:
        if call.signature:
            self.drop("reasoning")
        if call.cache:
            self.drop("cache_control")
        told: dict[str, Any] = {"call_id": short_id(call.id), "name": call.name}
        if call.is_custom and "custom_tools" not in self.target.refuses:
            return {"type": "custom_tool_call", **told, "input": call.arguments}
        arguments = call.arguments
        if call.is_custom:
            arguments = bodies.encode({"input": arguments}).decode()
        return {"type": "function_call", **told, "arguments": arguments}

    def _result(self, result: ToolResult) -> dict[str, Any]:
        if result.cache:
            self.drop("cache_control")
        is_custom = result.is_custom or result.call_id in self._custom
        is_custom = is_custom and "custom_tools" not in self.target.refuses
        parts: list[Part] = list(result.parts)
        if result.is_error:
            first = parts[0] if parts else None
            if isinstance(first, Text):
                parts[0] = Text(text=f"[tool error] {first.text}")
            else:
                parts.insert(0, Text(text="[tool error]"))
        output: str | list[dict[str, Any]]
        if all(isinstance(part, Text) for part in parts):
            output = "\n".join(part.text for part in parts if isinstance(part, Text))
        else:
            output = [self._part(part) for part in parts]
        return {
            "type": "custom_tool_call_output" if is_custom else "function_call_output",
            "call_id": short_id(result.call_id),
            "output": output,
        }

    def _part(self, part: Part) -> dict[str, Any]:
        if isinstance(part, (Text, Media)) and part.cache:
            self.drop("cache_control")
        match part:
            case Text() | Refusal():
                return _text(part.text)
            case Media(kind="image"):
                return self._image(part)
            case Media(kind="audio") if part.data and part.media_type in _AUDIO:
                audio = {"data": part.data, "format": _AUDIO[part.media_type]}
                return {"type": "input_audio", "input_audio": audio}
            case Media(kind="file") if part.text:
                return _text(part.text)
            case Media(kind="file") if part.data or part.url:
                return _file(part)
            case Media():
                raise Unfit("file_id" if part.file_id else part.kind)
            case Raw():
                raise Unfit(str(part.value.get("type", "content")))
        raise Unfit("content")

    def _image(self, image: Media) -> dict[str, Any]:
        if image.file_id:
            raise Unfit("file_id")
        url = image.url or f"data:{image.media_type};base64,{image.data}"
        return {"type": "input_image", "image_url": url, "detail": image.detail or "auto"}

    # Tools, and what the answer is to be

    def _add_tools(self) -> None:
        prompt = self.prompt
        tools, choice = prompt.tools, prompt.choice
        is_subset = choice is not None and bool(choice.names) and not _is_one(choice)
        if choice is not None and is_subset and "allowed_tools" in self.target.refuses:
            # Fewer tools say the same to who does not know a choice among them.
            tools = tuple(tool for tool in tools if tool.name in choice.names)
            choice = Choice(mode=choice.mode)
        if not tools:
            return
        self.body["tools"] = [self._tool(tool) for tool in tools]
        if choice is not None:
            self.body["tool_choice"] = self._choice(choice, tools)
        if prompt.parallel is not None:
            self._put("parallel_tool_calls", prompt.parallel)

    def _tool(self, tool: Tool) -> dict[str, Any]:
        if tool.server is not None:
            raise Unfit(tool.name)
        if tool.cache:
            self.drop("cache_control")
        told: dict[str, Any] = {"name": tool.name}
        if tool.description:
            told["description"] = tool.description
        if tool.is_custom and "custom_tools" not in self.target.refuses:
            return {"type": "custom", **told, **({"format": tool.format} if tool.format else {})}
        # `strict` is a required key here, and elsewhere is not so unless it is said.
        schema = INPUT_SCHEMA if tool.is_custom else tool.schema
        return {"type": "function", **told, "parameters": schema, "strict": tool.strict or False}

    def _choice(self, choice: Choice, tools: tuple[Tool, ...]) -> Any:
        if not choice.names:
            return choice.mode
        custom = {tool.name for tool in tools if tool.is_custom}
        if "custom_tools" in self.target.refuses:
            custom.clear()
        named = [
            {"type": "custom" if name in custom else "function", "name": name}
            for name in choice.names
        ]
        if _is_one(choice):
            return named[0]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": named}

    def _add_text(self) -> None:
        form, text = self.prompt.form, dict[str, Any]()
        if form is not None and form.kind == "json_object":
            text["format"] = {"type": "json_object"}
        elif form is not None:
            told: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer"}
            told |= {"schema": form.schema or {}, "strict": form.strict or False}
            if form.description:
                told["description"] = form.description
            text["format"] = told
        if self.prompt.verbosity:
            if "verbosity" in self.target.refuses:
                self.drop("verbosity")
            else:
                text["verbosity"] = self.prompt.verbosity
        if text:
            self.body["text"] = text

    def _add_reasoning(self) -> None:
        effort, refuses = self.prompt.effort, self.target.refuses
        if effort is not None:
            told = {}
            if level := level_of(effort):
                told["effort"] = level
            if effort.summary:
                told["summary"] = effort.summary if effort.summary in _SUMMARIES else "auto"
            if told and "reasoning_effort" in refuses:
                self.drop("reasoning_effort")
            elif told:
                self.body["reasoning"] = told
        # With nothing stored, this is the only way in which its reasoning can go round. A model
        # that does not reason answers it with a 400.
        if (
            self.target.reasons or self.has_own_reasoning or "reasoning" in self.body
        ) and "include" not in refuses:
            self.body["include"] = ["reasoning.encrypted_content"]

    def _add_limits(self) -> None:
        prompt = self.prompt
        if prompt.max_tokens is not None:
            self._put("max_output_tokens", prompt.max_tokens)
        for name, value in prompt.sampling.items():
            if name in _SAMPLING:
                self._put(name, value)
            else:
                self.drop(name)
        if prompt.user:
            self._put("safety_identifier", prompt.user, "user")
        if prompt.cache_key:
            self._put("prompt_cache_key", prompt.cache_key)
        if prompt.service_tier and prompt.service_tier != "auto":
            self.drop("service_tier")


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _spoken(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text}


def _file(file: Media) -> dict[str, Any]:
    if file.url:
        return {"type": "input_file", "file_url": file.url}
    data = f"data:{file.media_type or 'application/pdf'};base64,{file.data}"
    return {"type": "input_file", "filename": file.name or "document.pdf", "file_data": data}


def _is_one(choice: Choice) -> bool:
    """Whether the choice is one tool that has to be called."""
    return choice.mode == "required" and len(choice.names) == 1
