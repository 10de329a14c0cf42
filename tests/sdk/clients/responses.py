"""The `openai` SDK as a caller of Responses."""

from __future__ import annotations

import json
from typing import Any

from jobs import Ask, Outcome, main, told
from openai import OpenAI
from scenes import (
    GRAMMAR,
    IMAGE,
    PATCH,
    PERSON,
    REASONING,
    SYSTEM,
    TOKENS,
    TOOLS,
    WITH_RESULTS,
    WITH_TOOLS,
    question,
    result_of,
)

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


def params(scene: str) -> dict[str, Any]:
    found: dict[str, Any] = {"store": False}
    if scene in WITH_TOOLS:
        found["tools"] = [
            {"type": "function", "name": name, "description": words, "parameters": schema,
             "strict": False}
            for name, (words, schema) in TOOLS.items()
        ]  # fmt: skip
    if scene == "custom":
        stated = {"name": "apply_patch", "description": "Edits files", "format": GRAMMAR}
        found["tools"] = [{"type": "custom", **stated}]
    if scene == "forced":
        found["tool_choice"] = {"type": "function", "name": "get_weather"}
    if scene == "schema":
        stated = {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}
        found["text"] = {"format": stated}
    if scene in REASONING:
        found["reasoning"] = {"effort": "high", "summary": "auto"}
        found["include"] = ["reasoning.encrypted_content"]
    if scene == "length":
        found["max_output_tokens"] = TOKENS
    if scene == "system":
        found["instructions"] = SYSTEM
    if scene == "knobs":
        found |= {"metadata": {"team": "a"}, "text": {"verbosity": "low"}, "user": "u-1"}
        found |= {"truncation": "disabled", "service_tier": "default"}
    return found


def items(scene: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": question(scene)}]
    if scene == "image":
        url = f"data:image/png;base64,{IMAGE}"
        parts.append({"type": "input_image", "image_url": url, "detail": "auto"})
    return [{"type": "message", "role": "user", "content": parts}]


def prepare(url: str, key: str) -> Ask:
    client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)

    def call(model: str, said: list[Any], more: dict[str, Any], stream: bool) -> tuple[Any, Any]:
        if not stream:
            reply = client.responses.with_raw_response.create(model=model, input=said, **more)
            return reply.parse(), reply.headers
        with client.responses.stream(model=model, input=said, **more) as events:
            last, done, text = None, [], ""
            for event in events:
                if event.type == "response.output_item.done":
                    done.append(event.item.to_dict())
                elif event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type in TERMINAL:
                    last = event.response
            headers = events._response.headers
        if last is None:
            raise RuntimeError("the stream had no terminal event")
        # Codex believes the items alone, others the deltas, others the last event.
        final = [plain(item.to_dict()) for item in last.output]
        if final != [plain(item) for item in done] or text != last.output_text:
            raise RuntimeError(f"the events differ: {done} {final} {text!r}")
        return last, headers

    def ask(scene: str, model: str, stream: bool, first: str) -> Outcome:
        said, more = items(scene), params(scene)
        final, headers = call(first, said, more, stream)
        if scene in WITH_RESULTS:
            said += [plain(item.to_dict()) for item in final.output]
            for item in final.output:
                if item.type == "function_call":
                    said.append({
                        "type": "function_call_output", "call_id": item.call_id,
                        "output": result_of(scene, item.name),
                    })  # fmt: skip
                elif item.type == "custom_tool_call" and item.input == PATCH:
                    said.append({
                        "type": "custom_tool_call_output", "call_id": item.call_id,
                        "output": result_of(scene, item.name),
                    })  # fmt: skip
            final, headers = call(model, said, more, stream)
        return outcome(final) | {"headers": told(headers)}

    return ask


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is sent: without what the SDK adds, and nothing that is None."""
    item = {k: v for k, v in item.items() if k != "parsed_arguments" and v is not None}
    if item["type"] == "message":
        item["content"] = [
            {k: v for k, v in part.items() if k not in {"parsed", "logprobs"}}
            for part in item["content"]
        ]
    return item


def outcome(final: Any) -> Outcome:
    texts, refusals, thoughts, calls = [], [], [], []
    for item in final.output:
        if item.type == "message":
            texts += [part.text for part in item.content if part.type == "output_text"]
            refusals += [part.refusal for part in item.content if part.type == "refusal"]
        elif item.type == "reasoning":
            thoughts += [part.text for part in item.summary]
        elif item.type == "function_call":
            calls.append({"name": item.name, "arguments": json.loads(item.arguments)})
    reason = final.incomplete_details.reason if final.incomplete_details else ""
    finish = {"max_output_tokens": "length", "content_filter": "refusal"}.get(
        reason or "", "tools" if calls else "refusal" if refusals else "stop"
    )
    if final.status not in {"completed", "incomplete"}:
        finish = f"{final.status}: {final.error}"
    usage = final.usage
    return {
        "text": "".join(texts), "thought": "".join(thoughts), "refusal": "".join(refusals),
        "calls": calls, "finish": finish, "matched": "",
        "usage": {
            "input": usage.input_tokens, "output": usage.output_tokens,
            "cached": usage.input_tokens_details.cached_tokens,
            "reasoning": usage.output_tokens_details.reasoning_tokens,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main(prepare)
