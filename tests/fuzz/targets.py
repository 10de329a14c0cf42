"""
What must hold of any input: each target takes one, and raises Broken or whatever a codec raised.

    requests    a caller's body: read, and written for a provider of each protocol
    replies     a provider's whole reply: told to a caller of each protocol
    streams     a provider's stream: the same, cut anywhere
    sealing     what callers keep of a thought: read again, and in a request of each protocol
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any, Final

from msgspec.structs import asdict

from providers.errors import Failure, Fault, ProtocolError
from providers.protocols import Problem, Protocol, Reply, Request, Scanner, sealing
from providers.protocols.canonical import Reasoning, Unfit
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from tests.fuzz.inputs import CODED, HEAD
from tests.support import gemini_stream, messages_stream, responses_stream, validator
from tests.support.validator import check
from tests.support.wire import JUDGE, asked

TARGETS_ASKED: Final = (
    Target(model="m"),
    Target(model="gpt-5", max_output_tokens=100, reasons=True),
    Target(model="gemini-2.5-flash", reasons=True, max_output_tokens=70_000),
    Target(model="claude-opus-4-5", reasons=True, takes_foreign_reasoning=True),
    Target(model="o", reasons=False, refuses=frozenset({"temperature", "top_p", "tool_choice"}),
           renames={"max_completion_tokens": "max_tokens", "developer": "system"}),
)  # fmt: skip
PATHS: Final = {
    "gemini_generate": (
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        "/v1beta/models/m:generateContent",
        "/v1/models/m:streamGenerateContent",
    )
}
PROBLEM: Final = Problem(status=502, message="it broke", type="server_error", code="bad_gateway")
MOST_GROWTH: Final = 40  # times as many bytes out as in, once there is more than a page of them
STREAMS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "openai_chat": lambda body: validator.read_stream(body, wants_usage=True),
    "openai_responses": responses_stream.read_stream,
    "anthropic_messages": messages_stream.read_messages,
    "gemini_generate": gemini_stream.read_stream,
}
WHOLE: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "anthropic_messages": messages_stream.read_message,
    "gemini_generate": gemini_stream.read_whole,
}
# What is wrong in an answer because its provider said so: nobody knows better.
STATED: Final = ("more cached than read", "the id of another call")
# A last event without its blank line is believed at once, so that nothing may follow it.
BARE_END: Final = re.compile(rb"\[DONE\](?!\r|\n|$)|message_stop\"\}(?!\r|\n|$)")


def requests(data: bytes) -> None:
    protocol, way, body = _opened(data)
    paths = PATHS.get(protocol.name, ("",))
    _request(protocol, body, paths[way % len(paths)], TARGETS_ASKED[way % len(TARGETS_ASKED)])


def _request(protocol: Protocol, body: bytes, path: str, target: Target) -> None:
    try:
        request = protocol.parse(body, path)
        _look_at(request)
    except ProtocolError as error:
        _refused(protocol, error)
        return
    for spoken in CODED:
        if spoken is protocol:
            continue
        try:
            translated = Translated(request, spoken, target)
        except ProtocolError as error:
            _refused(protocol, error)
            return
        try:
            written = translated.written()
        except Unfit as error:
            check(bool(error.what), "unfit for nothing")
            continue
        _bounded(body, written.body)
        validator.read_json(written.body)
        check(all(written.dropped), f"dropped without a name: {written.dropped}")
        _reread(spoken, written.body, translated.upstream_path(target.model))


def _look_at(request: Request) -> None:
    check(request.estimated_input_tokens >= 0, "fewer than no tokens")
    check(request.needs is not None and isinstance(request.model, str), "no needs")
    check(request.session is None or isinstance(request.session, str), "a session of no words")
    limit = request.max_output_tokens
    check(limit is None or type(limit) is int, f"a limit of {limit}")
    for inject in (True, False):
        validator.read_json(request.encode("other", inject=inject))
    request.upstream_path("other")
    request.protocol.estimated(request)


def _refused(protocol: Protocol, error: ProtocolError) -> None:
    check(bool(error.message), "refused without a word")
    problem = Problem(
        status=error.status, message=error.message, type="invalid_request_error",
        param=error.param, code=error.code,
    )  # fmt: skip
    _, body = protocol.error(problem)
    validator.read_json(body)


def _reread(spoken: Protocol, body: bytes, path: str) -> None:
    """What is written for a provider is read again, or refused in words, as if a caller sent it."""
    assert spoken.codec is not None
    with suppress(ProtocolError):
        spoken.codec.prompt(spoken.parse(body, path))


def replies(data: bytes) -> None:
    spoken, way, body = _opened(data)
    kind = (b"application/json", b"text/event-stream", None)[0 if way < 200 else way % 3]
    for caller in CODED:
        for stream in (False, True):
            request = _asked(caller, spoken, stream=stream)
            reply = request.read(kind, body, JUDGE)
            if isinstance(reply, Failure):
                check(bool(reply.message), "a failure without a word")
                continue
            _bounded(body, reply.body)
            if isinstance(request, Translated):
                _sound_reply(caller, reply, stream=stream)


def _sound_reply(caller: Protocol, reply: Reply, *, stream: bool) -> None:
    if stream:
        _sound(STREAMS[caller.name], reply.body)
    else:
        _sound(WHOLE.get(caller.name, validator.read_json), reply.body)


def _sound(read: Callable[[bytes], Any], body: bytes) -> None:
    try:
        read(body)
    except validator.Unsound as error:
        if not str(error).startswith(STATED):
            raise


def streams(data: bytes) -> None:
    spoken, way, body = _opened(data)
    rng = Random(way)
    places = sorted(rng.randrange(len(body) + 1) for _ in range(rng.choice((1, 2, 5, 20))))
    pieces = [
        body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)
    ]
    for caller in CODED:
        request = _asked(caller, spoken, stream=True)
        whole = request.scanner(JUDGE)
        told = _told(whole, [body])
        cut = request.scanner(JUDGE)
        told_in_pieces = _told(cut, pieces)
        passed, fault = told
        if not BARE_END.search(body):
            check(told == told_in_pieces, f"cut at {places}: {told} or {told_in_pieces}")
            known, of_cut = _known(whole, fault), _known(cut, fault)
            check(known == of_cut, f"cut at {places}: {known} or {of_cut}")
        _bounded(body, passed)
        if fault is not None:
            if not whole.has_content:
                continue  # nothing of it is passed: another is asked
            passed += whole.error_event(PROBLEM)
        else:
            check(whole.finished and whole.is_over, "ended well, and not finished")
        if isinstance(request, Translated):
            _sound(STREAMS[caller.name], passed)


def _told(scanner: Scanner, pieces: list[bytes]) -> tuple[bytes, Fault | None]:
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    return passed + last, failure.fault if failure is not None else None


def _known(scanner: Scanner, fault: Fault | None) -> tuple[Any, ...]:
    """Of a stream that broke, it does not matter what was still read behind that."""
    if fault is not None:
        return (scanner.finished,)
    usage = asdict(scanner.usage) if scanner.usage is not None else None
    return scanner.has_content, scanner.finished, usage


def sealing_(data: bytes) -> None:
    protocol, way, payload = _opened(data)
    text = payload.decode(errors="replace")
    for opaque in (text, sealing.MARK + text, sealing.MARK + urlsafe_b64encode(payload).decode()):
        thought = sealing.unseal(opaque, "t")
        if thought is not None:
            check(sealing.unseal(sealing.seal(thought), "t") == thought, f"changed: {thought}")
        for caller in CODED:
            body = json.dumps(_with_thought(caller.name, opaque)).encode()
            _request(caller, body, PATHS.get(caller.name, ("",))[0],
                     TARGETS_ASKED[way % len(TARGETS_ASKED)])  # fmt: skip
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        return
    if isinstance(fields, dict):
        names = ("signature", "encrypted", "id", "call_id")
        said = {name: value for name in names if isinstance(value := fields.get(name), str)}
        thought = Reasoning(text="t", origin=protocol.name, **said)
        opaque = sealing.seal(thought)
        check(opaque.isascii() and sealing.is_sealed(opaque), f"open: {opaque}")
        check(sealing.unseal(opaque, "t") == thought, f"changed: {thought}")


def _with_thought(protocol: str, opaque: str) -> dict[str, Any]:
    """A request whose last turn but one was thought of, `opaque` beside it."""
    body: dict[str, Any] = {"model": "m"}
    match protocol:
        case "openai_chat":
            details = [{"type": "reasoning.encrypted", "data": opaque, "id": "c"},
                       {"type": "reasoning.text", "text": "t", "signature": opaque}]  # fmt: skip
            said = {"role": "assistant", "content": "a", "reasoning_details": details}
            body["messages"] = [{"role": "user", "content": "x"}, said,
                                {"role": "user", "content": "y"}]  # fmt: skip
        case "openai_responses":
            item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": opaque}
            body["input"] = [{"role": "user", "content": "x"}, item,
                             {"role": "assistant", "content": "a"},
                             {"role": "user", "content": "y"}]  # fmt: skip
        case "anthropic_messages":
            block = {"type": "thinking", "thinking": "t", "signature": opaque}
            hidden = {"type": "redacted_thinking", "data": opaque}
            body["max_tokens"] = 10
            body["messages"] = [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [block, hidden, {"type": "text", "text": "a"}]},
                {"role": "user", "content": "y"},
            ]
        case _:
            parts = [
                {"text": "t", "thought": True, "thoughtSignature": opaque},
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": opaque},
            ]
            answer = {"functionResponse": {"name": "f", "response": {"output": "1"}}}
            body["contents"] = [{"role": "user", "parts": [{"text": "x"}]},
                                {"role": "model", "parts": parts},
                                {"role": "user", "parts": [answer]}]  # fmt: skip
    return body


# What they share


def _opened(data: bytes) -> tuple[Protocol, int, bytes]:
    head = data[:HEAD].ljust(HEAD, b"\0")
    way = int.from_bytes(head[1:], "big")
    return CODED[head[0] % len(CODED)], way, data[HEAD:]


def _asked(caller: Protocol, spoken: Protocol, *, stream: bool) -> Request:
    path = PATHS.get(caller.name, ("", ""))[0 if stream else 1 % 2]
    if caller.name == "openai_chat":
        request = asked(caller.name, stream=stream, stream_options={"include_usage": True})
    elif path:
        request = asked(caller.name, path)
    else:
        request = asked(caller.name, stream=stream)
    return request if caller is spoken else Translated(request, spoken, Target(model="m"))


def _bounded(given: bytes, made: bytes) -> None:
    most = max(64 << 10, MOST_GROWTH * len(given))
    check(len(made) <= most, f"{len(made)} bytes of {len(given)}")


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "requests": requests, "replies": replies, "streams": streams, "sealing": sealing_,
}  # fmt: skip
