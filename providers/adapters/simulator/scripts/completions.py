"""OpenAI's chat and text completions."""

from __future__ import annotations

import time
from typing import Any

from providers.adapters.simulator.scripts.script import (
    Ask,
    Called,
    Events,
    Script,
    data,
    last_of,
    objects,
    ordered,
    texts_in,
    tokens,
    told,
    words,
)


class CompletionsScript(Script):
    """Chat completions, and text completions without `is_chat`."""

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat

    def reply(self, ask: Ask) -> dict[str, Any]:
        text, call = self._answer(ask)
        part: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": _finish(call)}
        if not self._is_chat:
            part["text"] = text
        elif call is None:
            part["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            calls = [_begun(ask, call, call.arguments)]
            part["message"] = {"role": "assistant", "content": None, "tool_calls": calls}
        return {
            "id": ask.id(),
            "object": "chat.completion" if self._is_chat else "text_completion",
            "created": int(time.time()),
            "model": ask.request.get("model"),
            "choices": [part],
            "usage": self._usage(ask, text),
        }

    def events(self, ask: Ask) -> Events:
        text, call = self._answer(ask)
        options = ask.request.get("stream_options")
        asks_usage = isinstance(options, dict) and options.get("include_usage") is True
        base = {
            "id": ask.id(),
            "object": "chat.completion.chunk" if self._is_chat else "text_completion",
            "created": int(time.time()),
            "model": ask.request.get("model"),
        }
        if asks_usage:
            base["usage"] = None

        def chunk(said: dict[str, Any], finish: str | None = None) -> bytes:
            part = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
            return data({**base, "choices": [part]})

        def delta(**said: Any) -> bytes:
            return chunk({"delta": said})

        opening, contents = [], []
        if not self._is_chat:
            contents = [chunk({"text": word}) for word in words(text)]
        elif call is None:
            opening = [delta(role="assistant", content="")]
            contents = [delta(content=word) for word in words(text)]
        else:
            opening = [delta(role="assistant", content=None)]
            contents = [delta(tool_calls=[{"index": 0, **_begun(ask, call, "")}])]
            contents += [delta(tool_calls=[{"index": 0, **_more(call, p)}]) for p in call.pieces]
        closing = [chunk({"delta": {}} if self._is_chat else {"text": ""}, _finish(call))]
        if asks_usage:
            closing.append(data({**base, "choices": [], "usage": self._usage(ask, text)}))
        closing.append(b"data: [DONE]\n\n")
        return Events(opening, contents, closing)

    def _answer(self, ask: Ask) -> tuple[str, Called | None]:
        """The text, which a call stands instead of; it is counted all the same."""
        if not self._is_chat:
            said = ask.request.get("prompt")
            said = said if isinstance(said, str) else last_of(said)
            return told(ask, ask.model, texts_in(said)), None
        last = last_of(ask.request.get("messages"))
        last = last if isinstance(last, dict) else {}
        said = texts_in(last.get("content"))
        call = ordered(said, _offered(ask)) if last.get("role") == "user" else None
        return told(ask, ask.model, said), call

    def _usage(self, ask: Ask, text: str) -> dict[str, int]:
        prompt = tokens(ask.request.get("messages" if self._is_chat else "prompt"))
        completion = len(text.split())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }


def _offered(ask: Ask) -> dict[str, bool]:
    found = {}
    for tool in objects(ask.request.get("tools")):
        kind = tool.get("type")
        inner = tool.get(kind) if kind in ("function", "custom") else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            found[inner["name"]] = kind == "custom"
    return found


def _begun(ask: Ask, call: Called, so_far: str) -> dict[str, Any]:
    more = _more(call, so_far)
    kind = "custom" if call.is_custom else "function"
    return {"id": ask.id("call_"), "type": kind, kind: {"name": call.name, **more[kind]}}


def _more(call: Called, piece: str) -> dict[str, Any]:
    return {"custom": {"input": piece}} if call.is_custom else {"function": {"arguments": piece}}


def _finish(call: Called | None) -> str:
    return "stop" if call is None else "tool_calls"
