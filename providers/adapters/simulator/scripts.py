"""
What the simulator says, by protocol: whole answers, streams, and errors in the middle of one.

A script makes what a provider would send for a decoded request; when it fails is the provider's
business (provider.py).
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from providers.protocols.chat import CHAT, TEXT
from providers.protocols.embeddings import EMBEDDINGS

_SHOWN: Final = 200
_DIMENSIONS: Final = 16
_MOST_DIMENSIONS: Final = 4096
_WORD: Final = re.compile(r"\s*\S+\s*")


class Events(NamedTuple):
    """A whole stream: what opens it, an event for each word, what closes it."""

    opening: list[bytes]
    contents: list[bytes]
    closing: list[bytes]


class Script:
    """What is said in one protocol. `streams`: whether a stream may be asked for."""

    streams = True

    def reply(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """The whole answer of the provider `name`."""
        raise NotImplementedError

    def events(self, name: str, request: dict[str, Any]) -> Events:
        """The same as a stream."""
        raise NotImplementedError

    def error_event(self, name: str) -> bytes:
        """What the provider `name` says in the middle of a stream when it fails."""
        return _event(error("server_error", None, f"simulated error event of {name}"))


class CompletionsScript(Script):
    """Chat completions, and text completions without `is_chat`."""

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._input = "messages" if is_chat else "prompt"

    def reply(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        text = self._text(name, request)
        part: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": "stop"}
        if self._is_chat:
            part["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            part["text"] = text
        return {
            "id": _id(name, request),
            "object": "chat.completion" if self._is_chat else "text_completion",
            "created": int(time.time()),
            "model": request.get("model"),
            "choices": [part],
            "usage": _usage(request[self._input], text),
        }

    def events(self, name: str, request: dict[str, Any]) -> Events:
        text = self._text(name, request)
        is_chat = self._is_chat
        options = request.get("stream_options")
        asks_usage = isinstance(options, dict) and options.get("include_usage") is True
        base = {
            "id": _id(name, request),
            "object": "chat.completion.chunk" if is_chat else "text_completion",
            "created": int(time.time()),
            "model": request.get("model"),
        }

        def chunk(word: str | None, finish: str | None = None) -> bytes:
            part: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish}
            if is_chat:
                part["delta"] = {} if word is None else {"content": word}
            else:
                part["text"] = word or ""
            usage = {"usage": None} if asks_usage else {}
            return _event(msgspec.json.encode({**base, "choices": [part], **usage}))

        opening = []
        if is_chat:
            delta = {"role": "assistant", "content": ""}
            part = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            opening.append(_event(msgspec.json.encode({**base, "choices": [part]})))
        closing = [chunk(None, "stop")]
        if asks_usage:
            usage = _usage(request[self._input], text)
            closing.append(_event(msgspec.json.encode({**base, "choices": [], "usage": usage})))
        closing.append(_event(b"[DONE]"))
        return Events(opening, [chunk(word) for word in _WORD.findall(text)], closing)

    def _text(self, name: str, request: dict[str, Any]) -> str:
        said = _last_words(request[self._input])
        text = (
            f"Hello from Switchyard's simulator: provider {name} answered "
            f"as model {request.get('model')}."
        )
        return f"{text} You said: {said}" if said else text


class EmbeddingsScript(Script):
    streams = False

    def reply(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        del name
        given = request.get("input")
        # A list of numbers is one text as tokens.
        is_batch = isinstance(given, list) and not all(isinstance(item, int) for item in given)
        items: list[Any] = given if is_batch and isinstance(given, list) else [given]
        asked = request.get("dimensions")
        size = asked if isinstance(asked, int) and 0 < asked <= _MOST_DIMENSIONS else _DIMENSIONS
        packed = request.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _vector(item, size, packed=packed),
            }
            for index, item in enumerate(items)
        ]
        tokens = _usage(given, "")["prompt_tokens"]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": request.get("model"), "data": data, "usage": usage}


SCRIPTS: Final[Mapping[str, Script]] = MappingProxyType(
    {
        CHAT.name: CompletionsScript(is_chat=True),
        TEXT.name: CompletionsScript(is_chat=False),
        EMBEDDINGS.name: EmbeddingsScript(),
    }
)


def error(type_: str, code: str | None, message: str) -> bytes:
    told = {"message": message, "type": type_, "param": None, "code": code}
    return msgspec.json.encode({"error": told})


def _event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _id(name: str, request: dict[str, Any]) -> str:
    seed = msgspec.json.encode([name, request], order="deterministic")
    return f"sim-{hashlib.sha256(seed).hexdigest()[:24]}"


def _last_words(said: Any) -> str:
    """What the caller said last, as text, shortened."""
    while isinstance(said, list) and said:
        texts = [part for part in said if isinstance(part, dict) and part.get("type") == "text"]
        said = (texts or said)[-1]
        if isinstance(said, dict):
            said = said.get("text", said.get("content"))
    if not isinstance(said, str):
        return ""
    return said if len(said) <= _SHOWN else said[:_SHOWN] + "…"


def _usage(said: Any, text: str) -> dict[str, int]:
    prompt = max(1, len(msgspec.json.encode(said)) // 4)
    completion = len(text.split())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _vector(item: Any, size: int, *, packed: bool) -> list[float] | str:
    """A vector that depends on `item` alone, each number in [-1, 1)."""
    raw = hashlib.shake_256(msgspec.json.encode(item)).digest(2 * size)
    vector = [number / 32768 for number in struct.unpack(f"<{size}h", raw)]
    if not packed:
        return vector
    return base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
