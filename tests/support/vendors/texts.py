"""The text that an answer says, whole or streamed, in the words of its caller's protocol."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def text_of(protocol: str, body: bytes, *, stream: bool) -> str:
    """All text of an answer, without reasoning."""
    if not stream:
        return _WHOLE[protocol](json.loads(body))
    events = [json.loads(line) for line in re.findall(rb"^data: (\{.*\})\r?$", body, re.MULTILINE)]
    return "".join(_PIECE[protocol](event) for event in events)


def _responses(document: Any) -> str:
    said = [item for item in document["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in said for part in item["content"])


def _messages(document: Any) -> str:
    return "".join(block["text"] for block in document["content"] if block["type"] == "text")


def _gemini(document: Any) -> str:
    parts = document["candidates"][0].get("content", {}).get("parts", [])
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


_WHOLE: dict[str, Callable[[Any], str]] = {
    "chat": lambda document: document["choices"][0]["message"]["content"],
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini,
}
_PIECE: dict[str, Callable[[Any], str]] = {
    "chat": lambda event: "".join(c["delta"].get("content") or "" for c in event["choices"]),
    "responses": lambda event: (
        event["delta"] if event["type"] == "response.output_text.delta" else ""
    ),
    "messages": lambda event: (event.get("delta") or {}).get("text", ""),
    "gemini": _gemini,
}
