"""The `google-genai` SDK as a caller of generateContent."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types
from jobs import Ask, Outcome, main, told
from scenes import (
    PERSON,
    PNG,
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

FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "refusal"}


def config(scene: str) -> types.GenerateContentConfig:
    found: dict[str, Any] = {"automatic_function_calling": {"disable": True}}
    if scene in WITH_TOOLS:
        declared = [
            {"name": name, "description": words, "parameters_json_schema": schema}
            for name, (words, schema) in TOOLS.items()
        ]
        found["tools"] = [{"function_declarations": declared}]
    if scene == "forced":
        forced = {"mode": "ANY", "allowed_function_names": ["get_weather"]}
        found["tool_config"] = {"function_calling_config": forced}
    if scene == "schema":
        found |= {"response_mime_type": "application/json", "response_json_schema": PERSON}
    if scene in REASONING:
        found["thinking_config"] = {"include_thoughts": True, "thinking_level": "HIGH"}
    if scene == "stop":
        found["stop_sequences"] = [STOP]
    if scene == "length":
        found["max_output_tokens"] = TOKENS
    if scene == "system":
        found["system_instruction"] = SYSTEM
    if scene == "knobs":
        found |= {"top_k": 5, "seed": 7, "presence_penalty": 0.5}
    return types.GenerateContentConfig(**found)


def contents(scene: str) -> list[types.Content]:
    parts = [types.Part(text=question(scene))]
    if scene == "image":
        parts.append(types.Part.from_bytes(data=PNG, mime_type="image/png"))
    return [types.Content(role="user", parts=parts)]


class Final:
    """What has come of a whole answer or of a stream."""

    def __init__(self) -> None:
        self.parts: list[types.Part] = []
        self.finish = ""
        self.usage: Any = None
        self.headers: dict[str, str] = {}

    def add(self, response: types.GenerateContentResponse) -> None:
        if response.sdk_http_response is not None:
            self.headers = dict(response.sdk_http_response.headers or {})
        self.usage = response.usage_metadata or self.usage
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            self.finish = "SAFETY"
        for candidate in response.candidates or []:
            self.parts += (candidate.content and candidate.content.parts) or []
            self.finish = candidate.finish_reason.name if candidate.finish_reason else self.finish


def prepare(url: str, key: str) -> Ask:
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, timeout=30_000))

    def call(model: str, said: list[Any], scene: str, stream: bool) -> Final:
        final = Final()
        asked = {"model": model, "contents": said, "config": config(scene)}
        if stream:
            for piece in client.models.generate_content_stream(**asked):
                final.add(piece)
        else:
            final.add(client.models.generate_content(**asked))
        if not final.finish:
            raise RuntimeError("the answer had no finish reason")
        return final

    def ask(scene: str, model: str, stream: bool, first: str) -> Outcome:
        said = contents(scene)
        final = call(first, said, scene, stream)
        if scene in WITH_RESULTS:
            said.append(types.Content(role="model", parts=final.parts))
            answers = []
            for part in final.parts:
                if made := part.function_call:
                    key = "error" if scene == "tool_error" else "output"
                    response = {key: result_of(scene, made.name)}
                    answers.append(types.Part(function_response=types.FunctionResponse(
                        id=made.id, name=made.name, response=response
                    )))  # fmt: skip
            said.append(types.Content(role="user", parts=answers))
            final = call(model, said, scene, stream)
        return outcome(final) | {"headers": told(final.headers)}

    return ask


def outcome(final: Final) -> Outcome:
    text = "".join(part.text or "" for part in final.parts if not part.thought)
    thought = "".join(part.text or "" for part in final.parts if part.thought)
    made = [part.function_call for part in final.parts if part.function_call]
    usage = final.usage
    finish = FINISH.get(final.finish, final.finish)
    return {
        "text": text, "thought": thought, "refusal": "",
        "calls": [{"name": call.name, "arguments": call.args} for call in made],
        "finish": "tools" if made and finish == "stop" else finish, "matched": "",
        "usage": {
            "input": usage.prompt_token_count or 0,
            "output": (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            "cached": usage.cached_content_token_count or 0,
            "reasoning": usage.thoughts_token_count or 0,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main(prepare)
