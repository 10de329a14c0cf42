"""
The scenes that every client plays: what is asked, with which tools and pictures, what tools return.

A client runs in the environment of the SDK that it drives, so nothing of the repository is
imported here.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from struct import pack

SYSTEM = "You are the lighthouse keeper."
UNICODE = "h\u00e9llo \U0001f600 \u4f60\u597d \u2028 \U0001d518 e\u0301 \u05e9\u05dc\u05d5\u05dd"
STOP = "END"
TOKENS = 16
ASKS = {
    "text": "Hello",
    "system": "Who are you?",
    "image": "What is this?",
    "unicode": UNICODE,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TIME = {
    "type": "object",
    "properties": {"zone": {"type": "string", "description": "IANA name"}},
    "required": ["zone"],
    "additionalProperties": False,
}
TOOLS = {"get_weather": ("The weather in a city", WEATHER), "get_time": ("The time", TIME)}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PATCH = "*** Begin Patch\n*** Add File: a.txt\n+caf\u00e9 \U0001f600\n*** End Patch\n"
# Codex's apply_patch is such a tool.
GRAMMAR = {
    "type": "grammar",
    "syntax": "lark",
    "definition": 'start: "*** Begin Patch" LF body "*** End Patch"\nbody: /(.|\\n)+/\nLF: "\\n"',
}
RESULTS = {"get_weather": "17 \u00b0C", "get_time": "12:30", "apply_patch": "Done"}
FAILED = "no such city"
WITH_TOOLS = {"parallel", "round_trip", "tool_error", "forced", "reasoning_loop", "moved"}
WITH_RESULTS = {"round_trip", "tool_error", "reasoning_loop", "moved", "custom"}
REASONING = {"reasoning", "reasoning_loop", "moved"}


def _png() -> bytes:
    """One red pixel."""

    def piece(name: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

    head = piece(b"IHDR", pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixels = piece(b"IDAT", zlib.compress(b"\0\xff\0\0", 0))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + piece(b"IEND", b"")


PNG = _png()
IMAGE = b64encode(PNG).decode()


def question(scene: str) -> str:
    return ASKS.get(scene, "Please.")


def result_of(scene: str, name: str) -> str:
    return FAILED if scene == "tool_error" else RESULTS[name]
