"""Anthropic's Messages, as its API reference has it."""

from __future__ import annotations

import re
from typing import Any

from tests.support.vendors.asked import (
    Asked,
    Call,
    RefusedError,
    Result,
    Turn,
    dump,
    image,
    need,
    only,
    pieces,
    signature,
)

VERSIONS = {"2023-06-01", "2026-10-21"}
FIELDS = {
    "model", "max_tokens", "messages", "system", "metadata", "stop_sequences", "stream",
    "temperature", "top_p", "top_k", "tools", "tool_choice", "thinking", "output_config",
    "cache_control", "container", "context_management", "service_tier", "inference_geo",
    "mcp_servers", "speed", "diagnostics", "fallbacks", "betas",
}  # fmt: skip
BLOCKS = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "document": {"type", "source", "title", "context", "citations", "cache_control"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
OF_ROLE = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
    "system": {"text"},
}
TOOL = {
    "type", "name", "description", "input_schema", "cache_control", "strict", "defer_loading",
    "allowed_callers", "input_examples", "eager_input_streaming",
}  # fmt: skip
ID = re.compile(r"[a-zA-Z0-9_-]+")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
EXTRA = "{where}{name}: Extra inputs are not permitted"
FINISH = {
    "stop": "end_turn", "stop_string": "stop_sequence", "length": "max_tokens",
    "tools": "tool_use", "refusal": "refusal",
}  # fmt: skip
TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(refused: RefusedError) -> bytes:
    kind = TYPES.get(refused.status, "invalid_request_error")
    inner = {"type": kind, "message": refused.message}
    return dump({"type": "error", "error": inner, "request_id": "req_011vendor"})


def read(body: dict[str, Any], headers: dict[str, str], path: str) -> Asked:
    bearer = headers.get("authorization", "").startswith("Bearer ")
    if not headers.get("x-api-key") and not bearer:
        raise RefusedError("x-api-key header is required", status=401)
    version = headers.get("anthropic-version")
    if version not in VERSIONS:
        raise RefusedError("anthropic-version: header is required")
    only(body, FIELDS, "", EXTRA)
    if not path.split("?", maxsplit=1)[0].endswith("/count_tokens"):
        need(body.get("max_tokens"), int, "max_tokens")
    model = need(body.get("model"), str, "model")
    _check_knobs(body, version)
    tools = {tool["name"]: tool.get("input_schema") for tool in _tools(body)}
    system = body.get("system") or []
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    for i, block in enumerate(blocks):
        only(block, BLOCKS["text"], f"system.{i}.", EXTRA)
    betas = headers.get("anthropic-beta", "")
    takes_system = version == "2026-10-21" or "mid-conversation-system" in betas
    texts, images, results, own, inner = _read_messages(body, takes_system=takes_system)
    effort = (body.get("output_config") or {}).get("effort")
    thinks = (body.get("thinking") or {}).get("type") in {"enabled", "adaptive", "between_tools"}
    return Asked(
        vendor="messages", model=model, stream=bool(body.get("stream")),
        system=tuple([block["text"] for block in blocks] + inner), texts=tuple(texts),
        images=tuple(images), offered=tools, forced=_forced(body, tools), schema=_schema(body),
        stop=tuple(body.get("stop_sequences") or ()), max_tokens=body.get("max_tokens"),
        effort=(effort or "on") if thinks or effort else None,
        results=tuple(results), own_thoughts=own, body=body,
    )  # fmt: skip


def _check_knobs(body: dict[str, Any], version: str) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if given and version == "2026-10-21":
        raise RefusedError(f"{given[0]}: Extra inputs are not permitted")
    if not 0 <= need(body.get("temperature", 1), (int, float), "temperature") <= 1:
        raise RefusedError("temperature: range: 0..1")
    thinking = body.get("thinking")
    if thinking is not None:
        kind = need(thinking, dict, "thinking").get("type")
        if kind not in {"enabled", "disabled", "adaptive", "between_tools"}:
            raise RefusedError(f"thinking: Input tag '{kind}' does not match any of the tags")
        only(thinking, {"type", "budget_tokens", "display"}, "thinking.", EXTRA)
    if thinking and thinking["type"] == "enabled":
        budget = need(thinking.get("budget_tokens"), int, "thinking.enabled.budget_tokens")
        if budget < 1024:
            raise RefusedError("thinking.enabled.budget_tokens: must be at least 1024")
        if budget >= body.get("max_tokens", budget + 1):
            raise RefusedError("`max_tokens` must be greater than `thinking.budget_tokens`")
    if thinking and thinking["type"] in {"enabled", "adaptive"}:
        if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
            raise RefusedError("Thinking may not be enabled when tool_choice forces tool use.")
        if body.get("temperature", 1) != 1:
            raise RefusedError("`temperature` may only be set to 1 when thinking is enabled.")
    if "metadata" in body:
        only(body["metadata"], {"user_id"}, "metadata.", EXTRA)
    for i, stop in enumerate(body.get("stop_sequences") or []):
        if not stop.strip():
            raise RefusedError(
                f"stop_sequences.{i}: each stop sequence must contain non-whitespace"
            )


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for i, tool in enumerate(body.get("tools") or []):
        found.append(tool)
        if not NAME.fullmatch(need(tool.get("name"), str, f"tools.{i}.name")):
            raise RefusedError(f"tools.{i}.custom.name: String should match pattern")
        if tool.get("type", "custom") != "custom":
            continue  # a tool of Anthropic's own, with a dated type
        only(tool, TOOL, f"tools.{i}.custom.", EXTRA)
        schema = need(tool.get("input_schema"), dict, f"tools.{i}.custom.input_schema")
        if schema.get("type") != "object":
            raise RefusedError(f"tools.{i}.custom.input_schema.type: Field required")
    return found


def _forced(body: dict[str, Any], tools: dict[str, Any]) -> str | None:
    choice = body.get("tool_choice")
    if choice is None:
        return None
    if not tools:
        raise RefusedError("tool_choice may only be specified while providing tools")
    only(choice, {"type", "name", "disable_parallel_tool_use"}, "tool_choice.", EXTRA)
    if choice.get("type") == "tool":
        if choice.get("name") not in tools:
            raise RefusedError(f"Tool '{choice.get('name')}' not found in provided tools")
        return str(choice["name"])
    return {"any": "*", "none": "", "auto": None}[choice.get("type")]


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    config = body.get("output_config") or {}
    only(config, {"effort", "format", "task_budget"}, "output_config.", EXTRA)
    if config.get("effort") not in {None, "low", "medium", "high", "xhigh", "max"}:
        raise RefusedError("output_config.effort: Input should be 'low', 'medium', 'high' …")
    stated = config.get("format")
    if stated is None:
        return None
    only(stated, {"type", "schema"}, "output_config.format.", EXTRA)
    schema: dict[str, Any] = need(stated.get("schema"), dict, "output_config.format.schema")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise RefusedError(
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be"
            " explicitly set to false"
        )
    return schema


def _read_messages(
    body: dict[str, Any], *, takes_system: bool
) -> tuple[list[str], list[str], list[Result], int, list[str]]:
    """(texts, images and results of the last user turn, own thoughts, system texts inside)."""
    messages = need(body.get("messages"), list, "messages")
    if not messages:
        raise RefusedError("messages: at least one message is required")
    names: dict[str, str] = {}
    waiting: list[str] = []
    texts: list[str] = []
    images: list[str] = []
    results: list[Result] = []
    inner: list[str] = []
    own = 0
    before = ""
    for i, message in enumerate(messages):
        only(need(message, dict, f"messages.{i}"), {"role", "content"}, f"messages.{i}.", EXTRA)
        role = message.get("role")
        if role not in OF_ROLE or (role == "system" and not takes_system):
            raise RefusedError(
                f'messages: Unexpected role "{role}". Allowed: "user" or "assistant"'
            )
        if i == 0 and role == "assistant":
            raise RefusedError('messages: first message must use the "user" role')
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not need(blocks, list, f"messages.{i}.content"):
            raise RefusedError(f"messages.{i}: content must be non-empty")
        for j, block in enumerate(blocks):
            _check_block(block, role, f"messages.{i}.content.{j}")
        if role == "assistant":
            calls = {b["id"]: b["name"] for b in blocks if b["type"] == "tool_use"}
            own += sum(_is_own(block, f"messages.{i}") for block in blocks)
            _check_thinking(body, blocks, last=i >= len(messages) - 2)
            names |= calls
            waiting = [*(waiting if before == "assistant" else []), *calls]
        elif role == "system":
            inner += [block["text"] for block in blocks]
            continue
        else:
            if before != "user":
                texts, images, results = [], [], []
            waiting = _answer(blocks, waiting, names, results, i)
            texts += [b["text"] for b in blocks if b["type"] == "text"]
            images += [_image(b) for b in blocks if b["type"] == "image"]
        before = role
    if waiting:
        raise RefusedError(f"messages: `tool_use` ids without `tool_result` blocks: {waiting}")
    if before == "assistant":
        raise RefusedError(
            "This model does not support assistant message prefill. The conversation must end with"
            " a user message."
        )
    return texts, images, results, own, inner


def _answer(
    blocks: list[Any], waiting: list[str], names: dict[str, str], results: list[Result], i: int
) -> list[str]:
    answered = [block for block in blocks if block["type"] == "tool_result"]
    if any(block["type"] == "tool_result" for block in blocks[len(answered) :]):
        raise RefusedError(f"messages.{i}: tool_result blocks must come first in content")
    for block in answered:
        key = block.get("tool_use_id")
        if key not in waiting:
            raise RefusedError(
                f"messages.{i}.content: unexpected `tool_use_id` found in `tool_result` blocks:"
                f" {key}. Each `tool_result` block must have a corresponding `tool_use` block in"
                " the previous message."
            )
        waiting.remove(key)
        content = block.get("content") or ""
        said = content if isinstance(content, str) else "".join(
            part["text"] for part in content if part["type"] == "text"
        )  # fmt: skip
        is_error = bool(block.get("is_error"))
        results.append(Result(name=names[key], text=said, is_error=is_error))
    if waiting:
        raise RefusedError(
            f"messages.{i - 1}: `tool_use` ids were found without `tool_result` blocks immediately"
            f" after: {', '.join(waiting)}. Each `tool_use` block must have a corresponding"
            " `tool_result` block in the next message."
        )
    return []


def _check_block(block: dict[str, Any], role: str, where: str) -> None:
    kind = need(block, dict, where).get("type")
    if kind not in OF_ROLE[role]:
        raise RefusedError(f"{where}: Input tag '{kind}' does not match any of the expected tags")
    only(block, BLOCKS[kind], f"{where}.{kind}.", EXTRA)
    if kind == "text" and not need(block.get("text"), str, f"{where}.text"):
        raise RefusedError("messages: text content blocks must be non-empty")
    if kind == "tool_use":
        if not ID.fullmatch(need(block.get("id"), str, f"{where}.tool_use.id")):
            raise RefusedError(
                f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            )
        need(block.get("input"), dict, f"{where}.tool_use.input")


def _image(block: dict[str, Any]) -> str:
    source = block["source"]
    if source["type"] == "base64":
        only(source, {"type", "media_type", "data"}, "source.", EXTRA)
        return image(source["data"], source["media_type"])
    return str(source["url"])


def _is_own(block: dict[str, Any], where: str) -> bool:
    if block["type"] == "thinking":
        if block.get("signature") != signature("anthropic", block["thinking"]):
            raise RefusedError(f"{where}.content.0: Invalid `signature` in `thinking` block")
        return True
    return False


def _check_thinking(body: dict[str, Any], blocks: list[Any], *, last: bool) -> None:
    manual = (body.get("thinking") or {}).get("type") == "enabled"
    if last and manual and any(b["type"] == "tool_use" for b in blocks):
        kind = blocks[0]["type"]
        if "thinking" not in kind:
            raise RefusedError(
                "messages: Expected `thinking` or `redacted_thinking`, but found"
                f" `{kind}`. When `thinking` is enabled, a final `assistant` message must start"
                " with a thinking block"
            )


def usage(turn: Turn) -> dict[str, Any]:
    counts = turn.counts
    return {
        "input_tokens": counts.input - counts.cached - counts.written,
        "cache_creation_input_tokens": counts.written, "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.written, "ephemeral_1h_input_tokens": 0
        },
        "output_tokens": counts.output, "service_tier": "standard",
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
    }  # fmt: skip


def _thinks(turn: Turn, asked: Asked) -> bool:
    return bool(turn.thought) and (asked.body.get("thinking") or {}).get("type") != "disabled"


def _blocks(turn: Turn, asked: Asked) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if _thinks(turn, asked):
        mark = signature("anthropic", turn.thought)
        found.append({"type": "thinking", "thinking": turn.thought, "signature": mark})
    if turn.text:
        found.append({"type": "text", "text": turn.text})
    return found + [_use(call) for call in turn.calls]


def _use(call: Call) -> dict[str, Any]:
    key = call.id("toolu_01")
    return {"type": "tool_use", "id": key, "name": call.name, "input": call.arguments}


def _ending(turn: Turn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "stop_reason": FINISH[turn.finish], "stop_sequence": turn.matched or None
    }  # fmt: skip
    if turn.finish == "refusal":
        found["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return found


def whole(turn: Turn, asked: Asked) -> bytes:
    return dump({
        "id": "msg_01vendor", "type": "message", "role": "assistant", "model": asked.model,
        "content": _blocks(turn, asked), **_ending(turn), "usage": usage(turn),
    })  # fmt: skip


def count(asked: Asked) -> bytes:
    return dump({"input_tokens": 7 + len(asked.texts)})


def _event(value: dict[str, Any]) -> bytes:
    return b"event: " + value["type"].encode() + b"\ndata: " + dump(value) + b"\n\n"


def events(turn: Turn, asked: Asked) -> list[bytes]:
    spent = usage(turn)
    message = {
        "id": "msg_01vendor", "type": "message", "role": "assistant", "model": asked.model,
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {**spent, "output_tokens": 1},
    }  # fmt: skip
    found = [_event({"type": "message_start", "message": message})]
    for i, block in enumerate(_blocks(turn, asked)):
        empty, deltas = _opened(block)
        found.append(_event({"type": "content_block_start", "index": i, "content_block": empty}))
        if i == 0:
            found.append(_event({"type": "ping"}))
        found += [
            _event({"type": "content_block_delta", "index": i, "delta": delta}) for delta in deltas
        ]
        found.append(_event({"type": "content_block_stop", "index": i}))
    found.append(_event({"type": "message_delta", "delta": _ending(turn), "usage": spent}))
    return [*found, _event({"type": "message_stop"})]


def _opened(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts, and the deltas that fill it."""
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        return {"type": "text", "text": ""}, deltas
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])
        ]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    text = dump(block["input"]).decode()
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(text)]]
    return {**block, "input": {}}, deltas
