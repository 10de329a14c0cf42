"""A canonical prompt as a call of generateContent for a provider."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from providers.protocols import bodies
from providers.protocols.canonical import (
    Choice,
    Effort,
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
from providers.protocols.gemini.parts import (
    BYPASS,
    ORIGIN,
    call_told,
    media_told,
    thought_told,
)
from providers.protocols.gemini.prompt import SAMPLING
from providers.protocols.protocol import Target
from providers.protocols.reading import INPUT_SCHEMA, level_of

_STOPS: Final = 5
_WORDS: Final = {name: word for word, name in SAMPLING.items()}
_MODES: Final = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_PLAIN_TIERS: Final = ("", "auto", "default")
_JSON: Final = "application/json"
_TOOLS_WITH_FORM: Final = 3  # the first generation that takes both

_VERSION: Final = re.compile(r"gemini-(\d+)")
_LEVELS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS: Final = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
# The least that each 2.5 model takes; pro cannot be kept from thinking.
_LEAST: Final = {"pro": 128, "lite": 512, "": 1}
_HIDDEN: Final = ("", "none", "omitted")
_DYNAMIC: Final = -1


def write(prompt: Prompt, target: Target) -> Written:
    """Raises Unfit."""
    return _Writing(prompt, target).written()


class _Writing:
    """One body in the making; `dropped` are canonical names of what it could not take."""

    def __init__(self, prompt: Prompt, target: Target) -> None:
        self.prompt = prompt
        self.target = target
        self.dropped: dict[str, None] = dict.fromkeys(prompt.other)
        self.body: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        # Signatures that the caller's protocol kept beside their calls.
        self.signatures = {
            part.call_id: part.signature
            for turn in prompt.turns
            for part in turn.parts
            if isinstance(part, Reasoning) and part.call_id and part.origin == ORIGIN
        }
        self.names = {
            part.id: part.name
            for turn in prompt.turns
            for part in turn.parts
            if isinstance(part, ToolCall)
        }

    def written(self) -> Written:
        prompt, body = self.prompt, self.body
        for what in sorted(prompt.bound):
            raise Unfit(what)
        if prompt.system:
            self._note_caches(prompt.system)
            body["systemInstruction"] = {
                "parts": [{"text": block.text} for block in prompt.system if block.text]
                or [{"text": " "}]
            }
        body["contents"] = self._contents()
        self._add_tools()
        self._add_form()
        self._add_limits()
        self._add_effort()
        self._drop_the_rest()
        if self.config:
            body["generationConfig"] = self.config
        return Written(body=bodies.encode_whole(body), dropped=tuple(self.dropped))

    def drop(self, name: str) -> None:
        self.dropped[name] = None

    def _put(self, name: str, word: str, value: Any) -> None:
        """A member by its canonical name and Gemini's, unless this provider does not take it."""
        if name in self.target.refuses:
            self.drop(name)
        else:
            self.config[self.target.renames.get(name, word)] = value

    def _note_caches(self, parts: Iterable[Any]) -> None:
        if any(getattr(part, "cache", None) for part in parts):
            self.drop("cache_control")

    # Contents

    def _contents(self) -> list[dict[str, Any]]:
        """Turns of one role side by side are one; a turn that has lost all its parts is none."""
        found: list[dict[str, Any]] = []
        for turn in self.prompt.turns:
            if turn.name:
                self.drop("name")
            role = "model" if turn.role == "assistant" else "user"
            parts = self._model(turn) if role == "model" else self._user(turn)
            if not parts:
                continue
            if found and found[-1]["role"] == role:
                found[-1]["parts"] += parts
            else:
                found.append({"role": role, "parts": parts})
        return found or [{"role": "user", "parts": [{"text": " "}]}]

    def _model(self, turn: Turn) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        self._note_caches(turn.parts)
        is_signed = any(self._signature(p) for p in turn.parts if isinstance(p, ToolCall))
        for part in turn.parts:
            match part:
                case Text() | Refusal():
                    parts += [{"text": part.text}] if part.text else []
                case ToolCall():
                    signature = self._signature(part)
                    if not is_signed and self._checks_signatures:
                        signature, is_signed = BYPASS, True
                    parts.append(call_told(part, signature))
                case Reasoning():
                    parts += self._thought(part)
                case Media():
                    parts.append(self._media(part))
                case Raw():
                    parts.append(_raw(part))
                case _:
                    raise Unfit("content")
        return parts

    @property
    def _checks_signatures(self) -> bool:
        return _generation(self.target.model) not in (1, 2)

    def _signature(self, call: ToolCall) -> str:
        return call.signature or self.signatures.get(call.id, "")

    def _thought(self, thought: Reasoning) -> list[dict[str, Any]]:
        if thought.origin != ORIGIN:
            self.drop("reasoning")
            return []
        if thought.call_id:
            if thought.call_id not in self.names:
                self.drop("reasoning")
            return []  # it is on its call
        return thought_told(thought)

    def _user(self, turn: Turn) -> list[dict[str, Any]]:
        """Results of tools first. Instructions in the middle are text with a mark."""
        self._note_caches(turn.parts)
        if turn.role == "system":
            self.drop("system")
            text = "\n\n".join(part.text for part in turn.parts if isinstance(part, Text))
            return [{"text": f"<system>\n{text}\n</system>"}] if text else []
        results = [self._result(p) for p in turn.parts if isinstance(p, ToolResult)]
        rest = [self._part(p) for p in turn.parts if not isinstance(p, ToolResult)]
        return [*results, *(part for part in rest if part != {"text": ""})]

    def _part(self, part: Part) -> dict[str, Any]:
        match part:
            case Text() | Refusal():
                return {"text": part.text}
            case Media():
                return self._media(part)
            case Raw():
                return _raw(part)
        raise Unfit("content")

    def _media(self, media: Media) -> dict[str, Any]:
        told = media_told(media)
        if told is None:
            raise Unfit("file_id" if media.file_id else f"{media.kind}_url")
        if media.detail not in ("", "auto"):
            self.drop("detail")
        return told

    def _result(self, result: ToolResult) -> dict[str, Any]:
        self._note_caches(result.parts)
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        media = [self._media(part) for part in result.parts if isinstance(part, Media)]
        word = "error" if result.is_error else "output"
        told: dict[str, Any] = {
            "id": result.call_id,
            "name": result.name or self.names.get(result.call_id, ""),
            "response": {word: "\n".join(texts)},
        }
        if media:
            told["parts"] = media
        return {"functionResponse": told}

    # Tools, and what the answer is to be

    def _add_tools(self) -> None:
        prompt = self.prompt
        if not prompt.tools:
            return
        server = [tool for tool in prompt.tools if tool.server is not None]
        functions = [self._function(tool) for tool in prompt.tools if tool.server is None]
        tools = [_server(tool) for tool in server]
        if functions:
            tools = [{"functionDeclarations": functions}, *tools]
        self.body["tools"] = tools
        if prompt.choice is not None and functions:
            self.body["toolConfig"] = {"functionCallingConfig": _calling(prompt.choice)}
        if prompt.parallel is False:
            self.drop("parallel_tool_calls")

    def _function(self, tool: Tool) -> dict[str, Any]:
        self._note_caches([tool])
        if tool.strict:
            self.drop("strict")
        told: dict[str, Any] = {"name": tool.name}
        if tool.description:
            told["description"] = tool.description
        if tool.is_custom and tool.format and tool.format.get("type") == "grammar":
            self.drop("format")
        schema = INPUT_SCHEMA if tool.is_custom else tool.schema
        if schema and schema.get("properties") != {}:
            told["parametersJsonSchema"] = schema
        return told

    def _add_form(self) -> None:
        form = self.prompt.form
        if form is None:
            return
        is_old = _generation(self.target.model) in range(1, _TOOLS_WITH_FORM)
        if "response_format" in self.target.refuses or (self.prompt.tools and is_old):
            raise Unfit("response_format")  # older models answer a 400 where tools stand beside it
        self.config["responseMimeType"] = _JSON
        if form.schema is not None:
            self.config["responseJsonSchema"] = form.schema

    def _add_limits(self) -> None:
        prompt = self.prompt
        if prompt.max_tokens is not None:
            self._put("max_tokens", "maxOutputTokens", prompt.max_tokens)
        if prompt.stop:
            self._put("stop", "stopSequences", list(prompt.stop[:_STOPS]))
            if len(prompt.stop) > _STOPS:
                self.drop("stop")
        for name, value in prompt.sampling.items():
            self._put(name, _WORDS.get(name, name), value)

    def _add_effort(self) -> None:
        effort = self.prompt.effort
        if effort is None:
            return
        model = self.target.model
        if "reasoning_effort" in self.target.refuses or not _thinks(model):
            if effort.level != "none":
                self.drop("reasoning_effort")
            return
        config, is_exact = _thinking(effort, model)
        if not is_exact:
            self.drop("reasoning_effort")
        if config:
            self.config["thinkingConfig"] = config

    def _drop_the_rest(self) -> None:
        """What Gemini has no word for."""
        prompt = self.prompt
        for name, is_said in {
            "verbosity": bool(prompt.verbosity),
            "user": bool(prompt.user),
            "prompt_cache_key": bool(prompt.cache_key),
            "service_tier": prompt.service_tier not in _PLAIN_TIERS,
        }.items():
            if is_said:
                self.drop(name)


def _raw(part: Raw) -> dict[str, Any]:
    if part.origin != ORIGIN:
        raise Unfit(str(part.value.get("type", "content")))
    return part.value


def _server(tool: Tool) -> dict[str, Any]:
    if tool.origin != ORIGIN or tool.server is None:
        raise Unfit(tool.name)
    return tool.server


def _calling(choice: Choice) -> dict[str, Any]:
    """Some tools of all, where none has to be called, is a mode of its own."""
    if not choice.names:
        return {"mode": _MODES.get(choice.mode, "AUTO")}
    mode = "VALIDATED" if choice.mode == "auto" else _MODES.get(choice.mode, "ANY")
    return {"mode": mode, "allowedFunctionNames": list(choice.names)}


# How much a model is to think, in the words of its generation


def _generation(model: str) -> int:
    """3 for gemini-3-pro, 2 for gemini-2.5-flash; 0 for a name that does not say."""
    found = _VERSION.search(model)
    return int(found[1][:4]) if found is not None else 0


def _thinks(model: str) -> bool:
    """Whether a model has a thinkingConfig at all; a name that nobody knows may have one."""
    name = model.rpartition("/")[2]
    return not name.startswith(("gemma", "gemini-1", "gemini-2.0"))


def _thinking(effort: Effort, model: str) -> tuple[dict[str, Any], bool]:
    """`thinkingConfig`, and whether it says exactly what was asked for."""
    level, budget = effort.level, effort.budget
    if level and level not in _LEVELS:
        return {}, False
    config: dict[str, Any] = {}
    is_exact = True
    if _generation(model) >= 3:  # the first with levels
        if not level and budget is not None and budget >= 0:
            level, is_exact = level_of(effort), False
        if level:
            word = _word(level, model)
            is_exact = is_exact and word == level.upper()
            config["thinkingLevel"] = word
    elif budget is not None and not level:
        config["thinkingBudget"] = max(budget, _least(model)) if budget >= 0 else _DYNAMIC
        is_exact = config["thinkingBudget"] == budget
    elif level:
        config["thinkingBudget"] = _budget_of(level, model)
        is_exact = level != "none" or config["thinkingBudget"] == 0
    elif effort.is_adaptive:
        config["thinkingBudget"] = _DYNAMIC
    if effort.summary not in _HIDDEN and level != "none":
        config["includeThoughts"] = True
    return config, is_exact


def _word(level: str, model: str) -> str:
    if level in ("none", "minimal"):
        return "LOW" if "pro" in model else "MINIMAL"
    return "XHIGH" if level == "max" else level.upper()


def _budget_of(level: str, model: str) -> int:
    if level in ("none", "minimal"):
        return _least(model) if level == "minimal" or "pro" in model else 0
    return _BUDGETS[level]


def _least(model: str) -> int:
    return next(least for word, least in _LEAST.items() if word in model)
