"""The `openai` SDK as a caller of Chat Completions."""

from __future__ import annotations

import json
from typing import Any

from jobs import Ask, Outcome, main, told
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from scenes import (
    IMAGE,
    PATCH,
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

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tools", "content_filter": "refusal"}


def params(scene: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if scene in WITH_TOOLS:
        found["tools"] = [
            {"type": "function",
             "function": {"name": name, "description": words, "parameters": schema}}
            for name, (words, schema) in TOOLS.items()
        ]  # fmt: skip
    if scene == "custom":
        stated = {"name": "apply_patch", "description": "Edits files", "format": {"type": "text"}}
        found["tools"] = [{"type": "custom", "custom": stated}]
    if scene == "forced":
        found["tool_choice"] = {"type": "function", "function": {"name": "get_weather"}}
    if scene == "schema":
        schema = {"name": "person", "schema": PERSON, "strict": True}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    if scene in REASONING:
        found["reasoning_effort"] = "high"
    if scene == "stop":
        found["stop"] = [STOP]
    if scene == "length":
        found["max_completion_tokens"] = TOKENS
    if scene == "knobs":
        found |= {"seed": 7, "presence_penalty": 0.5, "user": "u-1", "verbosity": "low"}
        found |= {"service_tier": "default", "metadata": {"team": "a"}}
    return found


def messages(scene: str) -> list[dict[str, Any]]:
    text = question(scene)
    if scene == "image":
        url = {"url": f"data:image/png;base64,{IMAGE}"}
        parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": url}]
        return [{"role": "user", "content": parts}]
    system = [{"role": "system", "content": SYSTEM}] if scene == "system" else []
    return [*system, {"role": "user", "content": text}]


def prepare(url: str, key: str) -> Ask:
    client = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
    create = client.chat.completions.with_raw_response.create

    def call(model: str, said: list[Any], more: dict[str, Any], stream: bool) -> tuple[Any, Any]:
        if not stream:
            reply = create(model=model, messages=said, **more)
            return reply.parse(), reply.headers
        reply = create(
            model=model, messages=said, stream=True, stream_options={"include_usage": True}, **more
        )
        state = ChatCompletionStreamState()
        for chunk in reply.parse():
            state.handle_chunk(chunk)
        # What get_final_completion() gives, which raises for an answer that was cut or filtered.
        return state.current_completion_snapshot, reply.headers

    def ask(scene: str, model: str, stream: bool, first: str) -> Outcome:
        said, more = messages(scene), params(scene)
        final, headers = call(first, said, more, stream)
        if scene in WITH_RESULTS:
            message = final.choices[0].message
            dropped = {"parsed", "annotations", "refusal", "function_call", "audio"}
            said.append({k: v for k, v in message.to_dict().items() if k not in dropped})
            for made in said[-1].get("tool_calls", []):
                made.pop("index", None)
                made[made["type"]].pop("parsed_arguments", None)
                if scene == "custom" and made["custom"]["input"] != PATCH:
                    raise RuntimeError(f"no call of a custom tool with bare text: {made}")
                text = result_of(scene, made[made["type"]]["name"])
                said.append({"role": "tool", "tool_call_id": made["id"], "content": text})
            final, headers = call(model, said, more, stream)
        return outcome(final) | {"headers": told(headers)}

    return ask


def outcome(final: Any) -> Outcome:
    (choice,) = final.choices
    message, usage = choice.message, final.usage
    calls = [
        {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
        for call in message.tool_calls or []
    ]
    extra = message.model_extra or {}
    return {
        "text": message.content or "", "thought": extra.get("reasoning_content") or "",
        "refusal": message.refusal or "", "calls": calls,
        "finish": FINISH.get(choice.finish_reason, choice.finish_reason), "matched": "",
        "usage": {
            "input": usage.prompt_tokens, "output": usage.completion_tokens,
            "cached": (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens)
            or 0,
            "reasoning": (
                usage.completion_tokens_details
                and usage.completion_tokens_details.reasoning_tokens
            ) or 0,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main(prepare)
