"""Gemini's generateContent, whole and streamed, and its count of tokens."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

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
from providers.protocols import bodies

# google.rpc.Code by the HTTP status that goes with it; cloud.google.com/apis/design/errors.
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


class _Google(Script):
    """The model and whether a stream is wanted are in the path: /models/MODEL:verb?alt=sse."""

    def error(self, status: int, message: str, retry_after_s: float | None = None) -> bytes:
        name = _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
        if status == 404:
            message = f"The model is not found for API version v1beta: {message}"
        said: dict[str, Any] = {"code": status, "message": message, "status": name}
        if retry_after_s is not None:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            said["details"] = [{"@type": kind, "retryDelay": f"{retry_after_s:g}s"}]
        return bodies.encode({"error": said})


class GenerateScript(_Google):
    def is_stream(self, ask: Ask) -> bool:
        return _verb(ask) == "streamGenerateContent"

    def reply(self, ask: Ask) -> dict[str, Any]:
        text, call = _answer(ask)
        part = {"text": text} if call is None else _call(call)
        return _response(ask, [part], finish="STOP", output=len(text.split()))

    def events(self, ask: Ask) -> Events:
        text, call = _answer(ask)
        parts = [{"text": word} for word in words(text)] if call is None else [_call(call)]
        contents = [_response(ask, [part]) for part in parts]
        closing = _response(ask, [{"text": ""}], finish="STOP", output=len(text.split()))
        return Events([], [data(event) for event in contents], [data(closing)])


class GeminiCountScript(_Google):
    streams = False

    def reply(self, ask: Ask) -> dict[str, Any]:
        # Either the members of a generateContent, or one as a member.
        asked = ask.request.get("generateContentRequest", ask.request)
        return {"totalTokens": tokens(asked)}


def _verb(ask: Ask) -> str:
    return ask.path.partition("?")[0].rpartition(":")[2]


def _model(ask: Ask) -> str:
    return unquote(ask.path.partition("?")[0].rpartition(":")[0].removeprefix("/models/"))


def _answer(ask: Ask) -> tuple[str, Called | None]:
    last = last_of(ask.request.get("contents"))
    last = last if isinstance(last, dict) else {}
    parts = last.get("parts")
    said = texts_in([parts] if isinstance(parts, dict) else parts)
    results = [part for part in objects(parts) if "functionResponse" in part]
    call = None
    if last.get("role", "user") == "user" and not results:
        offered = {
            entry["name"]: False
            for tool in objects(ask.request.get("tools"))
            for entry in objects(tool.get("functionDeclarations"))
            if isinstance(entry.get("name"), str)
        }
        call = ordered(said, offered)
    return told(ask, _model(ask), said), call


def _call(call: Called) -> dict[str, Any]:
    arguments = bodies.decode(call.arguments.encode())
    return {"functionCall": {"name": call.name, "args": arguments}}


def _response(
    ask: Ask, parts: list[dict[str, Any]], *, finish: str = "", output: int = 0
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    given = tokens(ask.request.get("contents"))
    usage = {"promptTokenCount": given, "totalTokenCount": given + output}
    if finish:
        usage["candidatesTokenCount"] = output
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": _model(ask),
        "responseId": ask.id(),
    }
