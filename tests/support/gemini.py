"""Gemini and chat, each served by the other: requests, answers and streams for tests."""

from __future__ import annotations

import json
from typing import Any

from providers.errors import Failure
from providers.protocols import PROTOCOLS, Reply
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import JUDGE, asked

GEMINI, CHAT = PROTOCOLS["gemini_generate"], PROTOCOLS["openai_chat"]
ARRAY = "/v1beta/models/m:streamGenerateContent"
USAGE = {
    "promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 3,
    "thoughtsTokenCount": 7, "cachedContentTokenCount": 4, "totalTokenCount": 25,
}  # fmt: skip
CHAT_USAGE = {
    "prompt_tokens": 15, "completion_tokens": 10, "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 7},
}  # fmt: skip


def to_gemini(*, stream: bool = False, **members: Any) -> Translated:
    """A chat caller, served by Gemini."""
    return Translated(asked("openai_chat", stream=stream, **members), GEMINI, Target(model="g"))


def to_chat(target: str = "", **members: Any) -> Translated:
    """A Gemini caller, served by chat."""
    return Translated(asked("gemini_generate", target, **members), CHAT, Target(model="c"))


def answered(*parts: Any, finish: str = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return {"candidates": [candidate], "responseId": "r", "modelVersion": "v",
            "usageMetadata": USAGE, **more}  # fmt: skip


def completed(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c1", "created": 1_700_000_000, "model": "m-1", "object": "chat.completion",
            "choices": [choice], "usage": CHAT_USAGE}  # fmt: skip


def read(request: Translated, document: Any) -> Reply | Failure:
    return request.read(b"application/json", json.dumps(document).encode(), JUDGE)


def whole(request: Translated, document: Any) -> dict[str, Any]:
    reply = read(request, document)
    assert isinstance(reply, Reply), reply
    told: dict[str, Any] = json.loads(reply.body)
    return told


def through(request: Translated, pieces: list[bytes]) -> tuple[bytes, Failure | None]:
    scanner = request.scanner(JUDGE)
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    return passed + last, failure


def events(*documents: Any, end: bytes = b"\r\n\r\n") -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + end for each in documents)


def chunks(*deltas: Any, finish: str = "stop", usage: Any = None) -> bytes:
    """A chat provider's stream."""
    base = {"id": "c1", "created": 1, "model": "m-1", "object": "chat.completion.chunk"}
    said = [{**base, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    said.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage:
        said.append({**base, "choices": [], "usage": usage})
    return events(*said, end=b"\n\n") + b"data: [DONE]\n\n"
