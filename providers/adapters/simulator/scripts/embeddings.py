"""OpenAI's embeddings."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, Final

from providers.adapters.simulator.scripts.script import Ask, Script, tokens
from providers.protocols import bodies

_DIMENSIONS: Final = 16
_MOST_DIMENSIONS: Final = 4096


class EmbeddingsScript(Script):
    streams = False

    def reply(self, ask: Ask) -> dict[str, Any]:
        request = ask.request
        given = request.get("input")
        # A list of numbers is one text as tokens.
        is_batch = isinstance(given, list) and not all(isinstance(item, int) for item in given)
        items: list[Any] = given if is_batch and isinstance(given, list) else [given]
        asked = request.get("dimensions")
        size = asked if type(asked) is int and 0 < asked <= _MOST_DIMENSIONS else _DIMENSIONS
        packed = request.get("encoding_format") == "base64"
        entries = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _vector(item, size, packed=packed),
            }
            for index, item in enumerate(items)
        ]
        count = tokens(given)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "model": request.get("model"), "data": entries, "usage": usage}


def _vector(item: Any, size: int, *, packed: bool) -> list[float] | str:
    """A vector that depends on `item` alone, each number in [-1, 1)."""
    raw = hashlib.shake_256(bodies.encode_whole(item)).digest(2 * size)
    vector = [number / 32768 for number in struct.unpack(f"<{size}h", raw)]
    if not packed:
        return vector
    return base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
