"""
What protocols cost without a socket: 60-chunk streams forwarded and translated, and large images.

Each figure is CPU time, the best of several runs that are taken in turn, so that a slow moment of
the machine falls on all alike. Only their ratios mean something elsewhere.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Any, Final

from bench.scene import CHUNKS
from providers.protocols import PROTOCOLS, Request
from providers.protocols.canonical import Begin, Done, Event, Finish, TextDelta
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.support.wire import JUDGE, asked, parse

CHAT, RESPONSES = "openai_chat", "openai_responses"
MESSAGES, GEMINI = "anthropic_messages", "gemini_generate"
SHORT: Final = {CHAT: "chat", RESPONSES: "responses", MESSAGES: "messages", GEMINI: "gemini"}
PATHS: Final = {GEMINI: "/v1beta/models/m:streamGenerateContent?alt=sse"}
TURNS, STREAMS, IMAGES = 15, 20, 5
IMAGE_BYTES: Final = 5_000_000  # of base64
SPOKEN: Final[tuple[Event, ...]] = (
    Begin(id="bench", model="fixed", created_at=1_700_000_000),
    *(TextDelta(text=f" word{number}") for number in range(1, CHUNKS)),
    Done(finish=Finish.STOP),
)

Figures = dict[str, float]


def measure() -> Figures:
    return measure_streams() | measure_images()


def measure_streams() -> Figures:
    """Microseconds of a whole stream, each event in a piece of its own."""
    told = {name: _told(name) for name in SHORT}
    runs: dict[str, Callable[[], None]] = {}
    for caller, asks in SHORT.items():
        for spoken, speaks in SHORT.items():
            name = f"forwarded_{asks}" if caller == spoken else f"{speaks}_to_{asks}"
            runs[f"{name}_us"] = _stream(_request(caller, spoken), told[spoken])
    best = _best(runs, TURNS)
    return {name: seconds / STREAMS * 1e6 for name, seconds in best.items()}


def _request(caller: str, spoken: str) -> Request:
    path = PATHS.get(caller, "")
    request = asked(caller, path) if path else asked(caller, stream=True)
    if caller == spoken:
        return request
    return Translated(request, PROTOCOLS[spoken], Target(model="fixed"))


def _told(name: str) -> list[bytes]:
    """The events of a provider's stream."""
    codec = PROTOCOLS[name].codec
    assert codec is not None
    stream = codec.encoder(_request(name, name)).write(SPOKEN)
    return [event + b"\n\n" for event in stream.split(b"\n\n") if event]


def _stream(request: Request, pieces: list[bytes]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(STREAMS):
            scanner = request.scanner(JUDGE)
            for piece in pieces:
                scanner.feed(piece)
            assert scanner.end()[1] is None

    return run


def measure_images() -> Figures:
    """Milliseconds that a request with an image holds the event loop, at most, of all pairs."""
    data = b64encode(Random(1).randbytes(IMAGE_BYTES * 3 // 4)).decode()
    bodies = {name: json.dumps(body).encode() for name, body in _with_image(data).items()}
    runs = {
        f"{caller} {spoken}": _image(caller, bodies[caller], spoken)
        for caller in SHORT
        for spoken in SHORT
    }
    best = _best(runs, IMAGES)
    forwarded = [best[f"{name} {name}"] for name in SHORT]
    translated = [best[pair] for pair in best if len(set(pair.split())) == 2]
    return {
        "image_forwarded_ms": max(forwarded) * 1e3,
        "image_translated_ms": max(translated) * 1e3,
    }


def _image(caller: str, body: bytes, spoken: str) -> Callable[[], None]:
    path = PATHS.get(caller, "")

    def run() -> None:
        request = parse(caller, body, path)
        assert request.needs
        assert request.estimated_input_tokens
        if caller != spoken:
            request = Translated(request, PROTOCOLS[spoken], Target(model="fixed"))
        request.encode("fixed")

    return run


def _with_image(data: str) -> dict[str, dict[str, Any]]:
    url = f"data:image/png;base64,{data}"
    source = {"type": "base64", "media_type": "image/png", "data": data}
    chat = {"type": "image_url", "image_url": {"url": url}}
    responses = {"type": "input_image", "image_url": url}
    messages = {"type": "image", "source": source}
    gemini = {"inlineData": {"mimeType": "image/png", "data": data}}
    return {
        CHAT: {"model": "m", "messages": [{"role": "user", "content": [chat]}]},
        RESPONSES: {"model": "m", "input": [{"role": "user", "content": [responses]}]},
        MESSAGES: {
            "model": "m",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [messages]}],
        },
        GEMINI: {"contents": [{"role": "user", "parts": [gemini]}]},
    }


def _best(runs: dict[str, Callable[[], None]], turns: int) -> Figures:
    best: Figures = {}
    for _ in range(turns):
        for name, run in runs.items():
            began = time.process_time()
            run()
            took = time.process_time() - began
            best[name] = min(took, best.get(name, took))
    return best
