"""
Reading an OpenAI event stream in passing.

Bytes in, whole events out, and what they say about how the answer goes. One scanner per attempt.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from providers.errors import Failure, Fault
from providers.protocols import bodies, openai
from providers.protocols.protocol import Blame, Judge
from providers.protocols.usage import Usage
from providers.secrets.redaction import safe_text

EVENT_LIMIT: Final = 8 << 20
_TERMINATOR: Final = b"data: [DONE]\n\n"
_BOM: Final = b"\xef\xbb\xbf"
_DONE: Final = b"[DONE]"
_BARE_DONE: Final = (b"data: [DONE]", b"data:[DONE]")
_SHORT: Final = 64
# What makes a delta content. `reasoning_content` is DeepSeek's and vLLM's word, `reasoning`
# OpenRouter's and Groq's; `audio` and `images` are answers too.
_CONTENT: Final = (
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "images",
)


# The view of a chunk once content has come. msgspec skips what it does not name but parses it all
# the same, so this is the JSON check too: 0.3 µs an event, against 0.65 µs for decoding it whole.
class _Choice(Struct, gc=False):
    finish_reason: str | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode_chunk: Final = msgspec.json.Decoder(_Chunk).decode


class StreamScanner:
    """
    Scans one stream of chat.completion.chunk or text_completion events.

    `several`: more choices than one may come, and each has to finish. `has_content`: text,
    reasoning, a refusal, a tool call or a finish reason has come. `finished`: the finish reasons
    and the terminator have come. `failure`: the stream is no answer (any more); what `feed` has
    returned until then is sound. `is_over`: finished or failed, so nothing more is passed on.
    """

    __slots__ = (
        "_begun",
        "_ended",
        "_finish_seen",
        "_is_done",
        "_judge",
        "_parts",
        "_several",
        "_size",
        "_unwanted",
        "failure",
        "has_content",
        "is_over",
        "usage",
        "wants_usage",
    )

    def __init__(
        self,
        judge: Judge,
        *,
        wants_usage: bool = False,
        several: bool = False,
    ) -> None:
        self.wants_usage = wants_usage
        self.has_content = False
        self.usage: Usage | None = None
        self.failure: Failure | None = None
        self._several = several
        self._judge = judge
        self._finish_seen = False
        self._begun: set[int] = set()
        self._ended: set[int] = set()  # of the choices begun, those with a finish reason
        self._is_done = False
        self.is_over = False  # done or failed: what follows is ignored
        # What has to go if the next data begins with it: a byte order mark, later the LF of a CRLF.
        self._unwanted = _BOM
        self._parts: list[bytes] = []  # of the event that has not ended yet
        self._size = 0

    @property
    def finished(self) -> bool:
        return self._is_done and self._has_ended

    @property
    def _has_ended(self) -> bool:
        """Whether every choice that has begun has its finish reason."""
        return self._finish_seen and self._begun <= self._ended

    def feed(self, data: bytes) -> bytes:
        """The whole events that may go to the caller, each as one `data:` line."""
        if (
            self.has_content
            and data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n")
            and not (self._parts or self._unwanted or self.is_over)
            and self._is_delta(data[6:-2])
        ):
            # The one event of the middle of a stream: half the time of the way below.
            return data
        if self.is_over:
            return b""
        if self._unwanted or b"\r" in data:
            data = self._with_plain_lines(data)
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if b"\n" not in data and self._size > _SHORT:
                # A large event that dribbles in is put together at its next line end, not often.
                if self._size > EVENT_LIMIT:
                    self._fail_size()
                return b""
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        events = data.split(b"\n\n")
        rest = events.pop()
        passed = []
        for event in events:
            if len(event) > EVENT_LIMIT:
                self._fail_size()
                break
            # Nearly every event is one `data:` line, and goes on as it is.
            is_plain = event[:6] == b"data: " and b"\n" not in event
            payload = event[6:] if is_plain else _payload(event)
            if payload and self._passes(payload):
                passed.append(event if is_plain else b"data: " + payload)
            if self.is_over:
                break
        else:
            if rest:
                self._keep(rest, passed)
        if not passed:
            return b""
        passed.append(b"")
        return b"\n\n".join(passed)

    def end(self) -> tuple[bytes, Failure | None]:
        """
        The provider has closed. Where all has been said, a missing terminator is written for it.

        An event whose blank line is missing counts if it is whole: nothing can follow it any more.
        """
        passed = b""
        if self._parts and not self.is_over and bodies.is_sound(_payload(self._rest) or b""):
            passed = self.feed(b"\n\n")
        if self.failure is None and self._has_ended:
            if not self._is_done:
                self._is_done = self.is_over = True
                passed += _TERMINATOR
        elif self.failure is None:
            self._fail_unended()
        return passed, self.failure

    @property
    def _rest(self) -> bytes:
        return b"".join(self._parts)

    def _fail_unended(self) -> None:
        if not self.has_content:
            self._fail_empty()
        elif not self._finish_seen:
            self._fail("the stream ended without a finish reason")
        else:
            self._fail("the stream ended before every choice had a finish reason")

    # Lines and events

    def _with_plain_lines(self, data: bytes) -> bytes:
        """`data` without a byte order mark, its line ends all LF; both may be cut anywhere."""
        if self._unwanted == _BOM:
            data = b"".join(self._parts) + data
            self._parts.clear()
            self._size = 0
            if len(data) < len(_BOM) and _BOM.startswith(data):
                return data  # kept as the start of an event, and looked at again
        if data:
            data = data.removeprefix(self._unwanted)
            self._unwanted = b""
        if b"\r" in data:
            if data.endswith(b"\r"):
                self._unwanted = b"\n"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _keep(self, rest: bytes, passed: list[bytes]) -> None:
        if rest.rstrip(b"\n") in _BARE_DONE:  # some servers leave out the last blank line
            if self._passes_done():
                passed.append(_BARE_DONE[0])
            return
        self._parts.append(rest)
        self._size = len(rest)
        if self._size > EVENT_LIMIT:
            self._fail_size()

    def _fail_size(self) -> None:
        self._parts.clear()
        self._fail(f"an event of the stream is larger than {EVENT_LIMIT >> 20} MiB")

    def _is_delta(self, payload: bytes) -> bool:
        """Whether `payload` is sound and says nothing but more content. False decides nothing."""
        if self._several:
            return False  # each of them has to finish, so that each index counts
        try:
            # msgspec does not look into the bytes of strings that it skips.
            if not payload.isascii():
                payload.decode()
            chunk = _decode_chunk(payload)
        except (ValueError, RecursionError):
            return False  # whoever asked looks closer
        choices = chunk.choices
        if not choices or chunk.usage is not None or chunk.error is not None:
            return False
        for choice in choices:  # noqa: SIM110  # any() makes a generator: 0.2 µs
            if choice.finish_reason:
                return False
        return True

    def _passes(self, payload: bytes) -> bool:
        """Take in one event. False if it is not for the caller."""
        if self.has_content and self._is_delta(payload):
            return True
        try:
            document = bodies.decode(payload)
        except (ValueError, RecursionError):
            if payload.strip() == _DONE:
                return self._passes_done()
            self._fail("an event of the stream is not JSON")
            return False
        return self._passes_document(document, payload)

    # What an event says

    def _passes_done(self) -> bool:
        """The terminator. Without a finish reason it is withheld: the caller would believe it."""
        self._is_done = self.is_over = True
        if not self._has_ended:
            self._fail_unended()
        return self.failure is None

    def _passes_document(self, document: Any, payload: bytes) -> bool:
        """The same for whatever JSON: first events, last events, and those of odd shape."""
        if not isinstance(document, dict):
            self._fail("an event of the stream is not a JSON object")
            return False
        choices = document.get("choices")
        failure = self._judge.error_in(document, payload, otherwise=Fault.BAD_STREAM)
        if failure is not None:
            self._fail(failure.message, failure)
            return False
        usage = openai.usage_of(document.get("usage"))
        if usage is not None:
            self.usage = usage
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not self._takes_choice(choice):
                return False
        if choices:
            return True
        # No choices: the usage chunk, Azure's prompt_filter_results, or something foreign.
        is_withheld = usage is not None and not self.wants_usage
        return not is_withheld and document.get("type") != "ping"

    def _takes_choice(self, choice: dict[str, Any]) -> bool:
        """False if the choice says that the answer failed."""
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str) and self._judge.blame(finish) is Blame.PROVIDER:
            self._fail(f"the stream ended with finish reason {finish}")
            return False
        delta = choice.get("delta")
        index = choice.get("index")
        if type(index) is int:
            self._begun.add(index)
        if finish and isinstance(finish, str):
            self._finish_seen = self.has_content = True
            if type(index) is int:
                self._ended.add(index)
        elif choice.get("text") or (
            isinstance(delta, dict) and any(delta.get(name) for name in _CONTENT)
        ):
            self.has_content = True
        return True

    def _fail_empty(self) -> None:
        """A stream without content; it may have been a plain JSON error all along."""
        rest = self._rest
        failure = None
        if rest[:1] in (b"{", b"["):
            try:
                document = bodies.decode(rest)
            except (ValueError, RecursionError):
                document = None  # not JSON either: just an empty stream
            failure = self._judge.error_in(document, rest, otherwise=Fault.BAD_STREAM)
        message = failure.message if failure else "the stream ended without any content"
        self._fail(message, failure)

    def _fail(self, message: str, stated: Failure | None = None) -> None:
        """Once content has been seen, any failure is an interruption: nobody else can go on."""
        self.is_over = True
        if self.has_content:
            self.failure = Failure(
                fault=Fault.INTERRUPTED,
                message=safe_text(message),
                status=stated.status if stated else None,
                code=stated.code if stated else None,
            )
        else:
            self.failure = stated or Failure(fault=Fault.BAD_STREAM, message=safe_text(message))


def _payload(event: bytes) -> bytes | None:
    """The data of an event that is not one plain `data: ` line; None if it has none."""
    data = []
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event" and value == b"ping":
            return None  # its data is no chunk, and SDKs would take it for one
    # Within JSON a line end is white space, so that one line says the same.
    return b" ".join(data) or None
