"""OpenAI's Responses: what is answered, whole and as a stream."""

from __future__ import annotations

from typing import Any

from tests.support.vendors.asked import Asked, Turn, dump, mark, pieces, signature


def usage(turn: Turn) -> dict[str, Any]:
    counts = turn.counts
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cached},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }


def items(turn: Turn, asked: Asked) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    key = mark(turn.text, turn.thought)[:20]
    if turn.thought:
        shown = bool((asked.body.get("reasoning") or {}).get("summary"))
        told = turn.thought if shown else ""
        item: dict[str, Any] = {
            "id": f"rs_{key}", "type": "reasoning",
            "summary": [{"type": "summary_text", "text": told}] if told else [],
        }  # fmt: skip
        if "reasoning.encrypted_content" in (asked.body.get("include") or []):
            item["encrypted_content"] = signature("openai", told)
        found.append(item)
    if turn.text:
        part = (
            {"type": "refusal", "refusal": turn.text}
            if turn.finish == "refusal"
            else {"type": "output_text", "annotations": [], "logprobs": [], "text": turn.text}
        )
        found.append({
            "id": f"msg_{key}", "type": "message", "status": "completed", "role": "assistant",
            "content": [part],
        })  # fmt: skip
    for call in turn.calls:
        shared = {"call_id": call.id("call_"), "name": call.name}
        if call.name in asked.custom:
            found.append({
                "id": call.id("ctc_"), "type": "custom_tool_call", "status": "completed",
                "input": call.bare or call.json, **shared,
            })  # fmt: skip
        else:
            found.append({
                "id": call.id("fc_"), "type": "function_call", "status": "completed",
                "arguments": call.json, **shared,
            })  # fmt: skip
    if turn.finish == "length":
        found[-1]["status"] = "incomplete"
    return found


def response(turn: Turn, asked: Asked, output: list[dict[str, Any]], status: str) -> dict[str, Any]:
    body = asked.body
    is_cut = status == "incomplete"
    return {
        "id": "resp_" + mark(asked.model)[:24], "object": "response", "created_at": 1764200000,
        "status": status, "background": False, "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"), "max_tool_calls": None,
        "model": asked.model, "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None, "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": asked.effort, "summary": None}, "safety_identifier": None,
        "service_tier": "default", "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **(body.get("text") or {})},
        "tool_choice": body.get("tool_choice", "auto"), "tools": body.get("tools") or [],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
        "usage": usage(turn) if status in {"completed", "incomplete"} else None,
        "user": None, "metadata": {},
    }  # fmt: skip


def _status(turn: Turn) -> str:
    return "incomplete" if turn.finish == "length" else "completed"


def whole(turn: Turn, asked: Asked) -> bytes:
    return dump(response(turn, asked, items(turn, asked), _status(turn)))


def events(turn: Turn, asked: Asked) -> list[bytes]:
    told: list[bytes] = []

    def tell(kind: str, **more: Any) -> None:
        value = {"type": kind, "sequence_number": len(told), **more}
        told.append(f"event: {kind}\ndata: ".encode() + dump(value) + b"\n\n")

    begun = response(turn, asked, [], "in_progress")
    tell("response.created", response=begun)
    tell("response.in_progress", response=begun)
    output = items(turn, asked)
    for i, item in enumerate(output):
        where = {"output_index": i, "item_id": item["id"]}
        tell("response.output_item.added", output_index=i, item=_empty(item))
        if item["type"] == "message":
            _tell_message(tell, item, where)
        elif item["type"] == "reasoning":
            _tell_reasoning(tell, item, where)
        else:
            is_custom = item["type"] == "custom_tool_call"
            kind = "custom_tool_call_input" if is_custom else "function_call_arguments"
            text = item["input" if is_custom else "arguments"]
            for piece in pieces(text):
                tell(f"response.{kind}.delta", **where, delta=piece)
            done = {"input": text} if is_custom else {"arguments": text, "name": item["name"]}
            tell(f"response.{kind}.done", **where, **done)
        tell("response.output_item.done", output_index=i, item=item)
    status = _status(turn)
    tell(f"response.{status}", response=response(turn, asked, output, status))
    return told


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    blank = {"content": [], "summary": [], "arguments": "", "input": "", "status": "in_progress"}
    return {**item, **{name: value for name, value in blank.items() if name in item}}


def _tell_message(tell: Any, item: dict[str, Any], where: dict[str, Any]) -> None:
    (part,) = item["content"]
    where = {**where, "content_index": 0}
    inner = "refusal" if part["type"] == "refusal" else "text"
    kind = "refusal" if inner == "refusal" else "output_text"
    more: dict[str, Any] = {} if inner == "refusal" else {"logprobs": []}
    tell("response.content_part.added", **where, part={**part, inner: ""})
    for piece in pieces(part[inner]):
        tell(f"response.{kind}.delta", **where, delta=piece, **more)
    tell(f"response.{kind}.done", **where, **{inner: part[inner]}, **more)
    tell("response.content_part.done", **where, part=part)


def _tell_reasoning(tell: Any, item: dict[str, Any], where: dict[str, Any]) -> None:
    for j, part in enumerate(item["summary"]):
        here = {**where, "summary_index": j}
        tell("response.reasoning_summary_part.added", **here, part={**part, "text": ""})
        for piece in pieces(part["text"]):
            tell("response.reasoning_summary_text.delta", **here, delta=piece)
        tell("response.reasoning_summary_text.done", **here, text=part["text"])
        tell("response.reasoning_summary_part.done", **here, part=part)
