"""
A provider inside this process, which answers something helpful and fails on demand.

It needs no account, and lets an operator see a failover, a bench and a broken stream before a real
provider shows them one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from providers.adapters.simulator.faults import SimulatedFault
from providers.errors import ConnectionReset, UpstreamTimedOut
from providers.transport import Response

_SHOWN = 200
_LONGEST_S = 86_400  # uvloop takes no infinite timers
_DIMENSIONS = 16
_MOST_DIMENSIONS = 4096
_WORD: Final = re.compile(r"\s*\S+\s*")
_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")
# So that a simulated status reads like a real one: type and code.
_ERRORS: Final = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    529: ("overloaded_error", None),
}

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


class SimulatedResponse(Response):
    """A reply that comes from a script instead of a socket."""

    __slots__ = ("_closed", "_ending", "_gap_s", "_pieces", "_simulator", "_wait_s")

    def __init__(
        self,
        simulator: Simulator,
        status: int,
        headers: list[tuple[bytes, bytes]],
        pieces: list[bytes],
        *,
        ending: str = "clean",
        ttft_s: float = 0,
        gap_s: float = 0,
    ) -> None:
        # No connection: everything that the base class does with one is replaced below.
        self.status = status
        self.headers = headers
        self._simulator = simulator
        self._pieces = pieces[::-1]
        self._ending = ending
        self._wait_s = ttft_s
        self._gap_s = gap_s
        self._closed = False

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def read(self, deadline: float) -> bytes:
        if self._closed:
            raise ConnectionReset("the response is closed")
        await self._simulator.wait(self._wait_s, deadline)
        self._wait_s = self._gap_s
        if self._pieces:
            return self._pieces.pop()
        if self._ending == "cut":
            raise ConnectionReset("simulated: the connection was reset")
        return b""

    async def read_all(self, deadline: float) -> bytes:
        pieces = []
        while piece := await self.read(deadline):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._closed = True
        self._pieces.clear()


class Simulator:
    """Answers the protocols that it knows, or fails as `fault` says. `clock` is the loop's."""

    def __init__(
        self,
        name: str,
        fault: SimulatedFault | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.fault = fault
        self._sleep = sleep
        self._rng = rng
        self._clock = clock

    async def wait(self, seconds: float, deadline: float) -> None:
        """Sleep. Raises UpstreamTimedOut once the deadline has passed."""
        if seconds <= 0:
            return
        now = self._clock() if self._clock else asyncio.get_running_loop().time()
        if now + seconds > deadline:
            await self._sleep(min(max(0.0, deadline - now), _LONGEST_S))
            raise UpstreamTimedOut("simulated: nothing came in time")
        await self._sleep(seconds)

    async def answer(self, protocol: str, body: bytes, deadline: float) -> Response:
        """The reply to one call; raises ProviderError as a real one would."""
        fault = self.fault.rolled(self._rng) if self.fault is not None else None
        request = msgspec.json.decode(body)
        kind = fault.kind if fault else ""
        if kind == "stall":
            await self.wait(float("inf"), deadline)
        if fault is not None and kind == "status":
            return self._refusal(fault)
        if request.get("stream") is True and protocol != "openai_embeddings":
            return self._stream(protocol, request, fault)
        reply = msgspec.json.encode(self._reply(protocol, request))
        if kind == "empty":
            reply = b""
        elif kind == "error_event":
            reply = _error("server_error", None, "simulated error in a reply")
        elif kind == "clean_cut":
            reply = reply[: len(reply) // 2]
        elif fault is not None and kind == "slow":
            await self.wait(fault.ttft_ms / 1000, deadline)
        return SimulatedResponse(
            self, 200, [_JSON], [reply] if reply else [], ending="cut" if kind == "cut" else "clean"
        )

    def _refusal(self, fault: SimulatedFault) -> Response:
        headers = [_JSON]
        if fault.retry_after_s is not None:
            headers.append((b"retry-after", f"{fault.retry_after_s:g}".encode()))
        type_, code = _ERRORS.get(fault.status, ("server_error", None))
        about = "The model does not exist: " if fault.status == 404 else ""
        body = _error(type_, code, f"{about}simulated status {fault.status} of {self.name}")
        return SimulatedResponse(self, fault.status, headers, [body])

    def _stream(
        self, protocol: str, request: dict[str, Any], fault: SimulatedFault | None
    ) -> Response:
        opening, contents, closing = self._events(protocol, request)
        kind = fault.kind if fault else ""
        after = fault.after if fault else 0
        ending = "clean"
        if kind == "empty":
            pieces = []
        elif kind in ("cut", "clean_cut"):
            pieces = [*opening, *contents[:after]]
            ending = "cut" if kind == "cut" else "clean"
        elif kind == "error_event":
            error = error_event_of(self.name)
            pieces = [*(opening if after else ()), *contents[:after], error]
        else:
            pieces = [*opening, *contents, *closing]
        return SimulatedResponse(
            self,
            200,
            [_EVENTS],
            pieces,
            ending=ending,
            ttft_s=fault.ttft_ms / 1000 if fault else 0,
            gap_s=fault.gap_ms / 1000 if fault else 0,
        )

    def _events(
        self, protocol: str, request: dict[str, Any]
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """A whole stream: what opens it, one chunk per word, what closes it."""
        text = self._text(protocol, request)
        is_chat = protocol == "openai_chat"
        options = request.get("stream_options")
        asks_usage = isinstance(options, dict) and options.get("include_usage") is True
        base = {
            "id": self._id(request),
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
            usage = _usage(request, text)
            closing.append(_event(msgspec.json.encode({**base, "choices": [], "usage": usage})))
        closing.append(_event(b"[DONE]"))
        return opening, [chunk(word) for word in _WORD.findall(text)], closing

    def _reply(self, protocol: str, request: dict[str, Any]) -> dict[str, Any]:
        if protocol == "openai_embeddings":
            return _embeddings(request)
        text = self._text(protocol, request)
        part: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": "stop"}
        if protocol == "openai_chat":
            part["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            part["text"] = text
        return {
            "id": self._id(request),
            "object": "chat.completion" if protocol == "openai_chat" else "text_completion",
            "created": int(time.time()),
            "model": request.get("model"),
            "choices": [part],
            "usage": _usage(request, text),
        }

    def _text(self, protocol: str, request: dict[str, Any]) -> str:
        said = _last_words(request["messages" if protocol == "openai_chat" else "prompt"])
        text = (
            f"Hello from Switchyard's simulator: provider {self.name} answered "
            f"as model {request.get('model')}."
        )
        return f"{text} You said: {said}" if said else text

    def _id(self, request: dict[str, Any]) -> str:
        seed = msgspec.json.encode([self.name, request], order="deterministic")
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


def _usage(request: dict[str, Any], text: str) -> dict[str, int]:
    said = request.get("messages", request.get("prompt", request.get("input")))
    prompt = max(1, len(msgspec.json.encode(said)) // 4)
    completion = len(text.split())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
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
    tokens = _usage(request, "")["prompt_tokens"]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request.get("model"), "data": data, "usage": usage}


def _vector(item: Any, size: int, *, packed: bool) -> list[float] | str:
    """A vector that depends on `item` alone, each number in [-1, 1)."""
    raw = hashlib.shake_256(msgspec.json.encode(item)).digest(2 * size)
    vector = [number / 32768 for number in struct.unpack(f"<{size}h", raw)]
    if not packed:
        return vector
    return base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()


def error_event_of(name: str) -> bytes:
    """What the provider `name` says in the middle of a stream when it fails."""
    return _event(_error("server_error", None, f"simulated error event of {name}"))


def _event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _error(type_: str, code: str | None, message: str) -> bytes:
    error = {"message": message, "type": type_, "param": None, "code": code}
    return msgspec.json.encode({"error": error})
