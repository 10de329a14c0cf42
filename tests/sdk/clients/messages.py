"""The `anthropic` SDK as a caller of Messages."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic
from jobs import Ask, Outcome, main, told
from scenes import (
    IMAGE,
    PERSON,
    REASONING,
    STOP,
    SYSTEM,
    TOKENS,
    TOOLS,
    WITH_RESULTS,
    WITH_TOOLS,
    question,
    result_of,
)

FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tools"}


def params(scene: str) -> dict[str, Any]:
    found: dict[str, Any] = {"max_tokens": 8192}
    if scene in WITH_TOOLS:
        found["tools"] = [
            {"name": name, "description": words, "input_schema": schema}
            for name, (words, schema) in TOOLS.items()
        ]
    if scene == "forced":
        found["tool_choice"] = {"type": "tool", "name": "get_weather"}
    if scene == "schema":
        found["output_config"] = {"format": {"type": "json_schema", "schema": PERSON}}
    if scene in REASONING:
        found["thinking"] = {"type": "enabled", "budget_tokens": 4096}
    if scene == "stop":
        found["stop_sequences"] = [STOP]
    if scene == "length":
        found["max_tokens"] = TOKENS
    if scene == "system":
        mark = {"type": "ephemeral"}
        found["system"] = [{"type": "text", "text": SYSTEM, "cache_control": mark}]
    if scene == "knobs":
        found |= {"metadata": {"user_id": "u-1"}, "service_tier": "auto"}
    return found


def messages(scene: str) -> list[dict[str, Any]]:
    text = {"type": "text", "text": question(scene)}
    if scene == "image":
        source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
        return [{"role": "user", "content": [{"type": "image", "source": source}, text]}]
    return [{"role": "user", "content": [text]}]


def prepare(url: str, key: str) -> Ask:
    client = Anthropic(base_url=url, api_key=key, max_retries=0, timeout=30)

    def call(model: str, said: list[Any], more: dict[str, Any], stream: bool) -> tuple[Any, Any]:
        if not stream:
            reply = client.messages.with_raw_response.create(model=model, messages=said, **more)
            return reply.parse(), reply.headers
        with client.messages.stream(model=model, messages=said, **more) as events:
            stopped = [event for event in events if event.type == "message_stop"]
            final, headers = events.get_final_message(), events.response.headers
        if len(stopped) != 1:
            raise RuntimeError(f"the stream had {len(stopped)} message_stop")
        return final, headers

    def ask(scene: str, model: str, stream: bool, first: str) -> Outcome:
        said, more = messages(scene), params(scene)
        final, headers = call(first, said, more, stream)
        if scene in WITH_RESULTS:
            dropped = {"parsed_output", "citations", "caller"}
            content = [
                {k: v for k, v in block.to_dict().items() if k not in dropped and v is not None}
                for block in final.content
            ]
            said.append({"role": "assistant", "content": content})
            results = [
                {"type": "tool_result", "tool_use_id": block.id,
                 "content": result_of(scene, block.name), "is_error": scene == "tool_error"}
                for block in final.content if block.type == "tool_use"
            ]  # fmt: skip
            said.append({"role": "user", "content": results})
            final, headers = call(model, said, more, stream)
        return outcome(final) | {"headers": told(headers)}

    return ask


def outcome(final: Any) -> Outcome:
    found: Outcome = {"text": "", "thought": "", "refusal": "", "calls": []}
    for block in final.content:
        if block.type == "text":
            found["text"] += block.text
        elif block.type == "thinking":
            if not block.signature:
                raise RuntimeError("a thinking block without a signature")
            found["thought"] += block.thinking
        elif block.type == "tool_use":
            found["calls"].append({"name": block.name, "arguments": block.input})
    usage = final.usage
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = (usage.model_extra or {}).get("output_tokens_details") or getattr(
        usage, "output_tokens_details", None
    )
    if details is not None and not isinstance(details, dict):
        details = details.to_dict()
    return found | {
        "finish": FINISH.get(final.stop_reason, final.stop_reason),
        "matched": final.stop_sequence or "",
        "usage": {
            "input": usage.input_tokens + cached + written, "output": usage.output_tokens,
            "cached": cached, "reasoning": (details or {}).get("thinking_tokens") or 0,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main(prepare)
