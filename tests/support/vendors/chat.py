"""OpenAI's Chat Completions, as its API reference has it."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.vendors.asked import (
    Asked,
    RefusedError,
    Result,
    Turn,
    dump,
    image,
    need,
    only,
    pieces,
)

FIELDS = {
    "model", "messages", "audio", "frequency_penalty", "function_call", "functions", "logit_bias",
    "logprobs", "max_completion_tokens", "max_tokens", "metadata", "modalities", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key",
    "prompt_cache_retention", "prompt_cache_options", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options",
    "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
    "web_search_options",
}  # fmt: skip
# The last two are what DeepSeek, vLLM and OpenRouter take besides.
MESSAGE = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "tool": {"role", "content", "tool_call_id"},
    "assistant": {
        "role", "content", "name", "tool_calls", "refusal", "audio", "function_call",
        "reasoning_content", "reasoning_details",
    },
}  # fmt: skip
PARTS = {
    "system": {"text"}, "developer": {"text"}, "tool": {"text"}, "assistant": {"text", "refusal"},
    "user": {"text", "image_url", "input_audio", "file"},
}  # fmt: skip
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
UNKNOWN = "Unrecognized request argument supplied: {where}{name}"
FINISH = {
    "stop": "stop", "stop_string": "stop", "length": "length", "tools": "tool_calls",
    "refusal": "stop",
}  # fmt: skip


def error(refused: RefusedError) -> bytes:
    kind = "server_error" if refused.status >= 500 else "invalid_request_error"
    return dump({"error": {
        "message": refused.message, "type": kind, "param": None, "code": refused.code,
    }})  # fmt: skip


def read(body: dict[str, Any], headers: dict[str, str], _path: str) -> Asked:
    if not headers.get("authorization", "").startswith("Bearer "):
        raise RefusedError("You didn't provide an API key.", status=401)
    only(body, FIELDS, "", UNKNOWN)
    _check_knobs(body)
    messages = need(body.get("messages"), list, "messages")
    if not messages:
        raise RefusedError("Invalid 'messages': empty array.")
    names, results, system, texts, images = _read_messages(messages)
    tools = [_tool(tool) for tool in body.get("tools") or []]
    return Asked(
        vendor="chat", model=need(body.get("model"), str, "model"), stream=bool(body.get("stream")),
        system=tuple(system), texts=tuple(texts), images=tuple(images),
        offered={name: schema for name, schema, _custom in tools},
        custom=frozenset(name for name, _schema, custom in tools if custom),
        forced=_forced(body), schema=_schema(body),
        stop=tuple([body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or ()),
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        effort=body.get("reasoning_effort"),
        results=tuple(Result(name=names[key], text=text) for key, text in results),
        own_thoughts=sum("reasoning_content" in message for message in messages), body=body,
    )  # fmt: skip


def _check_knobs(body: dict[str, Any]) -> None:
    for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1)):
        if not low <= need(body.get(name, 1), (int, float), name) <= high:
            raise RefusedError(f"Invalid '{name}': decimal out of range.")
    if "stream_options" in body and not body.get("stream"):
        raise RefusedError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        )
    if not body.get("tools"):
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                raise RefusedError(f"'{name}' is only allowed when 'tools' are specified.")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise RefusedError("Setting 'max_tokens' and 'max_completion_tokens' is not supported.")
    efforts = {"none", "minimal", "low", "medium", "high", "xhigh", "max", None}
    if body.get("reasoning_effort") not in efforts:
        raise RefusedError("Invalid value: reasoning_effort")
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        raise RefusedError(
            "Invalid 'stop': array too long. Expected an array with maximum length 4"
        )


def _read_messages(
    messages: list[Any],
) -> tuple[dict[str, str], list[tuple[str, str]], list[str], list[str], list[str]]:
    """(names of calls by id, results since the last user turn, system, its texts, its images)."""
    names: dict[str, str] = {}
    waiting: list[str] = []
    results: list[tuple[str, str]] = []
    system: list[str] = []
    texts: list[str] = []
    images: list[str] = []
    before = ""
    for i, message in enumerate(messages):
        role = need(message, dict, f"messages[{i}]").get("role")
        if role not in MESSAGE:
            raise RefusedError(f"Invalid value: '{role}'. messages[{i}].role")
        only(message, MESSAGE[role], f"messages[{i}].", UNKNOWN)
        if waiting and role != "tool":
            raise RefusedError(
                "An assistant message with 'tool_calls' must be followed by tool messages"
                " responding to each 'tool_call_id'. The following tool_call_ids did not have"
                f" response messages: {', '.join(waiting)}"
            )
        said, seen = _content(message, role, i)
        if role in {"system", "developer"}:
            system += said
        elif role == "user":
            if before != "user":
                texts, images, results = [], [], []
            texts += said
            images += seen
        elif role == "tool":
            key = need(message.get("tool_call_id"), str, f"messages[{i}].tool_call_id")
            if key not in waiting:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a"
                    " preceeding message with 'tool_calls'."
                )
            waiting.remove(key)
            results.append((key, "".join(said)))
        else:
            calls = [_call(call, i) for call in message.get("tool_calls") or []]
            if not calls and message.get("content") is None and message.get("refusal") is None:
                raise RefusedError(
                    f"Invalid value for 'content': expected a string, got null. ({i})"
                )
            names |= dict(calls)
            waiting = [key for key, _name in calls]
        before = role
    if waiting:
        raise RefusedError(f"tool_call_ids did not have response messages: {', '.join(waiting)}")
    return names, results, system, texts, images


def _content(message: dict[str, Any], role: str, i: int) -> tuple[list[str], list[str]]:
    content = message.get("content")
    if isinstance(content, str):
        return [content], []
    if content is None and role == "assistant":
        return [], []
    texts, images = [], []
    for part in need(content, list, f"messages[{i}].content"):
        kind = need(part, dict, f"messages[{i}].content").get("type")
        if kind not in PARTS[role]:
            raise RefusedError(f"Invalid value: '{kind}'. Supported values are: {PARTS[role]}")
        if kind == "text":
            only(part, {"type", "text", "prompt_cache_breakpoint"}, f"messages[{i}].", UNKNOWN)
            texts.append(need(part.get("text"), str, "text"))
        elif kind == "image_url":
            only(part["image_url"], {"url", "detail"}, "image_url.", UNKNOWN)
            found = re.fullmatch(r"data:([^;]+);base64,(.*)", part["image_url"]["url"], re.DOTALL)
            images.append(image(found[2], found[1]) if found else part["image_url"]["url"])
    return texts, images


def _call(call: dict[str, Any], i: int) -> tuple[str, str]:
    key = need(call.get("id"), str, "tool_calls.id")
    if not 1 <= len(key) <= 40:
        raise RefusedError(
            f"Invalid 'messages[{i}].tool_calls[0].id': string too long. Expected a string with"
            f" maximum length 40, but got a string with length {len(key)} instead.",
            code="string_above_max_length",
        )
    only(call, {"id", "type", "function", "custom"}, "tool_calls.", UNKNOWN)
    if call.get("type") == "custom":
        need(call["custom"].get("input"), str, "tool_calls.custom.input")
        return key, need(call["custom"].get("name"), str, "tool_calls.custom.name")
    only(need(call.get("function"), dict, "function"), {"name", "arguments"}, "function.", UNKNOWN)
    need(call["function"].get("arguments"), str, "tool_calls.function.arguments")
    return key, need(call["function"].get("name"), str, "tool_calls.function.name")


def _tool(tool: dict[str, Any]) -> tuple[str, Any, bool]:
    kind = tool.get("type")
    if kind not in {"function", "custom"}:
        raise RefusedError(f"Invalid value: '{kind}'. Supported values are: 'function', 'custom'")
    only(tool, {"type", kind}, "tools.", UNKNOWN)
    stated = need(tool.get(kind), dict, f"tools.{kind}")
    known = {"name", "description", "parameters", "strict"} if kind == "function" else {
        "name", "description", "format"
    }  # fmt: skip
    only(stated, known, f"tools.{kind}.", UNKNOWN)
    if not NAME.fullmatch(stated.get("name", "")):
        raise RefusedError(f"Invalid 'tools.{kind}.name': string does not match pattern.")
    parameters = stated.get("parameters")
    if parameters and parameters.get("type") != "object":
        raise RefusedError(f"Invalid schema for function '{stated['name']}': not of type object")
    return stated["name"], parameters, kind == "custom"


def _forced(body: dict[str, Any]) -> str | None:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        name = str(choice[choice["type"]]["name"])
        if name not in {tool[tool["type"]]["name"] for tool in body["tools"]}:
            raise RefusedError(f"Tool choice '{name}' not found in 'tools' parameter.")
        return name
    return {"required": "*", "none": "", "auto": None, None: None}[choice]


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    stated = body.get("response_format") or {"type": "text"}
    if stated["type"] not in {"text", "json_object", "json_schema"}:
        raise RefusedError("Invalid value: response_format.type")
    if stated["type"] != "json_schema":
        return None
    inner = need(stated.get("json_schema"), dict, "response_format.json_schema")
    if not NAME.fullmatch(inner.get("name", "")):
        raise RefusedError("Missing required parameter: 'response_format.json_schema.name'.")
    if inner.get("strict") and inner["schema"].get("additionalProperties") is not False:
        raise RefusedError("Invalid schema for response_format: 'additionalProperties' is required")
    schema: dict[str, Any] = need(inner.get("schema"), dict, "response_format.json_schema.schema")
    return schema


def usage(turn: Turn) -> dict[str, Any]:
    counts = turn.counts
    return {
        "prompt_tokens": counts.input, "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def _head(asked: Asked, kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-C1a2b3", "object": kind, "created": 1764200000, "model": asked.model,
        "service_tier": "default", "system_fingerprint": "fp_1a2b3c",
    }  # fmt: skip


def _calls(turn: Turn, asked: Asked) -> list[dict[str, Any]]:
    return [
        {"id": call.id("call_"), "type": "custom",
         "custom": {"name": call.name, "input": call.bare}}
        if call.name in asked.custom
        else {"id": call.id("call_"), "type": "function",
              "function": {"name": call.name, "arguments": call.json}}
        for call in turn.calls
    ]  # fmt: skip


def whole(turn: Turn, asked: Asked) -> bytes:
    refused = turn.finish == "refusal"
    message: dict[str, Any] = {
        "role": "assistant", "content": None if refused else turn.text or None,
        "refusal": turn.text if refused else None, "annotations": [],
    }  # fmt: skip
    if turn.calls:
        message["tool_calls"] = _calls(turn, asked)
    if turn.thought:
        message["reasoning_content"] = turn.thought
    choice = {
        "index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[turn.finish],
    }  # fmt: skip
    return dump({**_head(asked, "chat.completion"), "choices": [choice], "usage": usage(turn)})


def events(turn: Turn, asked: Asked) -> list[bytes]:
    counted = bool((asked.body.get("stream_options") or {}).get("include_usage"))
    head = _head(asked, "chat.completion.chunk")
    more: dict[str, Any] = {"usage": None} if counted else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        # OpenAI writes ASCII only.
        text = json.dumps({**head, "choices": [choice], **more}, separators=(",", ":"))
        return b"data: " + text.encode() + b"\n\n"

    refused = turn.finish == "refusal"
    found = [chunk({"role": "assistant", "content": "", "refusal": None})]
    found += [chunk({"reasoning_content": piece}) for piece in pieces(turn.thought)]
    found += [chunk({"refusal" if refused else "content": piece}) for piece in pieces(turn.text)]
    for i, call in enumerate(_calls(turn, asked)):
        inner = "arguments" if call["type"] == "function" else "input"
        text = call[call["type"]].pop(inner)
        call[call["type"]][inner] = ""
        found.append(chunk({"tool_calls": [{"index": i, **call}]}))
        found += [
            chunk({"tool_calls": [{"index": i, call["type"]: {inner: piece}}]})
            for piece in pieces(text)
        ]
    found.append(chunk({}, FINISH[turn.finish]))
    if counted:
        last = {**head, "choices": [], "usage": usage(turn)}
        found.append(b"data: " + dump(last) + b"\n\n")
    return [*found, b"data: [DONE]\n\n"]
