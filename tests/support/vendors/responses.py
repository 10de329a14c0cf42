"""OpenAI's Responses: what is asked. responses_says.py has the answers."""

from __future__ import annotations

import re
from typing import Any

from tests.support.vendors.asked import (
    Asked,
    RefusedError,
    Result,
    dump,
    image,
    need,
    only,
    signature,
)
from tests.support.vendors.responses_says import events, usage, whole

__all__ = ["error", "events", "read", "usage", "whole"]

FIELDS = {
    "model", "input", "background", "client_metadata", "context_management", "conversation",
    "include", "instructions", "max_output_tokens", "max_tool_calls", "metadata",
    "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice",
    "tools", "top_logprobs", "top_p", "truncation", "user", "moderation",
}  # fmt: skip
ITEMS = {
    "message": {"type", "role", "content", "id", "status", "phase"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status", "namespace"},
    "function_call_output": {"type", "id", "call_id", "output", "status"},
    "custom_tool_call": {"type", "id", "call_id", "name", "input", "status"},
    "custom_tool_call_output": {"type", "id", "call_id", "output", "status"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
}
PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}
INPUT = {"input_text", "input_image", "input_file", "input_audio"}
OUTPUT = {"output_text", "refusal"}
INCLUDE = {
    "reasoning.encrypted_content", "message.output_text.logprobs", "message.input_image.image_url",
    "file_search_call.results", "code_interpreter_call.outputs", "web_search_call.results",
    "web_search_call.action.sources", "computer_call_output.output.image_url",
}  # fmt: skip
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
UNKNOWN = "Unknown parameter: '{where}{name}'."


def error(refused: RefusedError) -> bytes:
    kind = "server_error" if refused.status >= 500 else "invalid_request_error"
    return dump({"error": {
        "message": refused.message, "type": kind, "param": None, "code": refused.code,
    }})  # fmt: skip


class Reading:
    """The items of one input, in order."""

    def __init__(self, store: bool) -> None:
        self.store = store
        self.names: dict[str, str] = {}
        self.waiting: list[str] = []
        self.system: list[str] = []
        self.texts: list[str] = []
        self.images: list[str] = []
        self.results: list[Result] = []
        self.own = 0
        self._before = ""

    def read(self, items: list[Any]) -> None:
        for i, item in enumerate(items):
            kind = need(item, dict, f"input[{i}]").get("type", "message")
            if kind not in ITEMS:
                raise RefusedError(f"Invalid value: '{kind}'. input[{i}].type")
            only(item, ITEMS[kind], f"input[{i}].", UNKNOWN)
            key = item.get("id")
            if key is not None and kind in PREFIXES and not key.startswith(PREFIXES[kind]):
                raise RefusedError(
                    f"Invalid 'input[{i}].id': '{key}'. Expected an ID that begins with"
                    f" '{PREFIXES[kind]}'."
                )
            if key is not None and len(key) > 64:
                raise RefusedError(
                    f"Invalid 'input[{i}].id': string too long.", code="string_above_max_length"
                )
            if self._before == "reasoning" and (
                kind.endswith("_output") or item.get("role") == "user"
            ):
                raise RefusedError(
                    f"Item '{items[i - 1].get('id')}' of type 'reasoning' was provided without its"
                    " required following item."
                )
            self._item(kind, item, i)
            self._before = kind if kind != "message" else item.get("role", "")
        if self._before == "reasoning":
            raise RefusedError("A reasoning item was provided without its required following item.")
        if self.waiting:
            raise RefusedError(f"No tool output found for function call {self.waiting[0]}.")

    def _item(self, kind: str, item: dict[str, Any], i: int) -> None:
        if kind == "message":
            self._message(item, i)
        elif kind in {"function_call", "custom_tool_call"}:
            text = item.get("arguments" if kind == "function_call" else "input")
            need(text, str, f"input[{i}].arguments")
            key = need(item.get("call_id"), str, f"input[{i}].call_id")
            if not 1 <= len(key) <= 64:
                raise RefusedError(f"Invalid 'input[{i}].call_id': string too long.")
            self.names[key] = need(item.get("name"), str, f"input[{i}].name")
            self.waiting.append(key)
        elif kind == "reasoning":
            self._reasoning(item, i)
        else:
            key = item.get("call_id")
            if key not in self.waiting:
                raise RefusedError(
                    f"No tool call found for function call output with call_id {key}."
                )
            self.waiting.remove(key)
            output = item.get("output")
            said = output if isinstance(output, str) else "".join(
                part["text"] for part in need(output, list, f"input[{i}].output")
                if part["type"] == "input_text"
            )  # fmt: skip
            self.results.append(Result(name=self.names[key], text=said))

    def _reasoning(self, item: dict[str, Any], i: int) -> None:
        need(item.get("summary"), list, f"input[{i}].summary")
        sealed = item.get("encrypted_content")
        if sealed is None:
            if not self.store:
                raise RefusedError(f"Item with id '{item.get('id')}' not found.", status=404)
            return
        told = "".join(part["text"] for part in item["summary"])
        if sealed != signature("openai", told):
            raise RefusedError(
                "The encrypted content could not be verified.", code="invalid_encrypted_content"
            )
        self.own += 1

    def _message(self, item: dict[str, Any], i: int) -> None:
        role = item.get("role")
        if role not in {"user", "system", "developer", "assistant"}:
            raise RefusedError(f"Invalid value: '{role}'. input[{i}].role")
        content = item.get("content")
        plain = "output_text" if role == "assistant" else "input_text"
        parts = [{"type": plain, "text": content}] if isinstance(content, str) else content
        texts, images = [], []
        for part in need(parts, list, f"input[{i}].content"):
            allowed = OUTPUT if role == "assistant" else INPUT
            if part.get("type") not in allowed:
                raise RefusedError(
                    f"Invalid value: '{part.get('type')}'. Supported values are: {sorted(allowed)}."
                )
            if part["type"] == "input_image":
                only(part, {"type", "image_url", "detail", "file_id"}, "content.", UNKNOWN)
                found = re.fullmatch(r"data:([^;]+);base64,(.*)", part["image_url"], re.DOTALL)
                images.append(image(found[2], found[1]) if found else part["image_url"])
            elif part["type"] in {"input_text", "output_text"}:
                texts.append(need(part.get("text"), str, "content.text"))
        if role in {"system", "developer"}:
            self.system += texts
        elif role == "user":
            if self._before != "user":
                self.texts, self.images, self.results = [], [], []
            self.texts += texts
            self.images += images


def read(body: dict[str, Any], headers: dict[str, str], _path: str) -> Asked:
    if not headers.get("authorization", "").startswith("Bearer "):
        raise RefusedError("Missing bearer or basic authentication in header", status=401)
    only(body, FIELDS, "", UNKNOWN)
    _check_knobs(body)
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    reading = Reading(store=body.get("store") is not False)
    reading.read(need(items, list, "input"))
    tools = [tool for tool in body.get("tools") or [] if _check_tool(tool)]
    instructions = body.get("instructions")
    return Asked(
        vendor="responses", model=need(body.get("model"), str, "model"),
        stream=bool(body.get("stream")),
        system=tuple(([instructions] if instructions else []) + reading.system),
        texts=tuple(reading.texts), images=tuple(reading.images),
        offered={tool["name"]: tool.get("parameters") for tool in tools},
        custom=frozenset(tool["name"] for tool in tools if tool["type"] == "custom"),
        forced=_forced(body), schema=_schema(body), max_tokens=body.get("max_output_tokens"),
        effort=(body.get("reasoning") or {}).get("effort"), results=tuple(reading.results),
        own_thoughts=reading.own, body=body,
    )  # fmt: skip


def _check_knobs(body: dict[str, Any]) -> None:
    if need(body.get("max_output_tokens") or 16, int, "max_output_tokens") < 16:
        raise RefusedError("Invalid 'max_output_tokens': integer below minimum value.")
    if not 0 <= need(body.get("temperature") or 1, (int, float), "temperature") <= 2:
        raise RefusedError("Invalid 'temperature': decimal out of range.")
    for value in body.get("include") or []:
        if value not in INCLUDE:
            raise RefusedError(f"Invalid value: '{value}'. Supported values are: {sorted(INCLUDE)}")
    reasoning = body.get("reasoning") or {}
    only(reasoning, {"effort", "summary", "generate_summary", "context", "mode"}, "reasoning.",
         UNKNOWN)  # fmt: skip
    efforts = {"none", "minimal", "low", "medium", "high", "xhigh", "max", None}
    if reasoning.get("effort") not in efforts:
        raise RefusedError("Invalid value: reasoning.effort")
    if body.get("tool_choice", "auto") not in ("auto", "none") and not body.get("tools"):
        raise RefusedError("Tool choice must be 'auto' or 'none' without tools.")


def _check_tool(tool: dict[str, Any]) -> bool:
    """Whether it is one that the caller runs."""
    kind = tool.get("type")
    if kind not in {"function", "custom"}:
        return False
    known = {"type", "name", "description", "defer_loading", "allowed_callers", "async"} | (
        {"parameters", "strict", "output_schema"} if kind == "function" else {"format"}
    )
    only(tool, known, "tools.", UNKNOWN)
    if not NAME.fullmatch(need(tool.get("name"), str, "tools.name")):
        raise RefusedError("Invalid 'tools[0].name': string does not match pattern.")
    parameters = tool.get("parameters")
    if parameters and parameters.get("type") != "object":
        raise RefusedError(f"Invalid schema for function '{tool['name']}': not of type object")
    return True


def _forced(body: dict[str, Any]) -> str | None:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") in {"function", "custom"}:
            if choice.get("name") not in {tool.get("name") for tool in body["tools"]}:
                raise RefusedError(f"Tool choice '{choice.get('name')}' not found in 'tools'.")
            return str(choice["name"])
        return None
    return {"required": "*", "none": "", "auto": None, None: None}[choice]


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    text = body.get("text") or {}
    only(text, {"format", "verbosity"}, "text.", UNKNOWN)
    stated = text.get("format") or {"type": "text"}
    only(stated, {"type", "name", "schema", "strict", "description"}, "text.format.", UNKNOWN)
    if stated["type"] not in {"text", "json_object", "json_schema"}:
        raise RefusedError("Invalid value: text.format.type")
    if stated["type"] != "json_schema":
        return None
    if not NAME.fullmatch(stated.get("name", "")):
        raise RefusedError("Missing required parameter: 'text.format.name'.")
    schema: dict[str, Any] = need(stated.get("schema"), dict, "text.format.schema")
    if stated.get("strict", True) and schema.get("additionalProperties") is not False:
        raise RefusedError("Invalid schema for response_format: 'additionalProperties' is required")
    return schema
