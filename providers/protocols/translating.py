"""
A request of one protocol on its way to a provider that speaks another, and the answer's way back.

Both sides meet in the canonical form. To the engine it is a Request like any other: it writes
itself, and reads what comes.
"""

from __future__ import annotations

from msgspec.structs import replace

from providers.errors import Failure, Fault
from providers.protocols import bodies
from providers.protocols.canonical import (
    Answer,
    CallBegin,
    CallDelta,
    CallEnd,
    Event,
    Prompt,
    TextDelta,
    ToolCall,
    Unfit,
    Written,
)
from providers.protocols.pieces import answer_of, events_of
from providers.protocols.protocol import (
    Codec,
    Decoder,
    Encoder,
    Judge,
    Problem,
    Protocol,
    Reply,
    Request,
    Scanner,
    Target,
)
from providers.protocols.tooling import Restoring, tooling_of
from providers.protocols.usage import Usage
from providers.protocols.whole import decoded, no_answer
from providers.secrets.redaction import safe_text

_JSON = b"application/json"
_TOO_DEEP = "the reply is nested too deeply"
_UNNAMED = "a call of a tool does not name it"
_NAME_LIMIT = 60
_EVENTS_LIMIT = 8 << 20  # of a stream that is put together at once


def may_translate(asked: Protocol, spoken: Protocol) -> bool:
    return asked is not spoken and asked.codec is not None and spoken.codec is not None


class Translated(Request):
    """
    `request` as a provider gets it who speaks `spoken`; `prompt` is what the request says.
    """

    __slots__ = ("_asked", "_codec", "_spoken", "_target", "_tooling", "_written", "prompt")

    def __init__(
        self, request: Request, spoken: Protocol, target: Target, prompt: Prompt | None = None
    ) -> None:
        """Raises ProtocolError where the request contradicts itself."""
        super().__init__(spoken, request.model, stream=request.stream)
        asked, codec = request.protocol.codec, spoken.codec
        assert asked is not None and codec is not None  # noqa: S101, PT018  # may_translate
        self._asked = request
        self._codec: Codec = codec
        self._spoken: Codec = asked
        self._target = target
        self.prompt = asked.prompt(request) if prompt is None else prompt
        self._tooling = tooling_of(
            self.prompt,
            allowed=codec.tool_name,
            has_custom_tools=codec.has_custom_tools and "custom_tools" not in target.refuses,
        )
        self._written: Written | None = None
        self.is_long = request.is_long

    def forget(self) -> None:
        """Let go of a long body that has been written; it is written again when it is needed."""
        if self.is_long:
            self._written = None

    @property
    def needs(self) -> frozenset[str]:
        return self._asked.needs

    @property
    def estimated_input_tokens(self) -> int:
        return self._asked.estimated_input_tokens

    @property
    def stream_type(self) -> bytes:
        return self._asked.stream_type

    def upstream_path(self, model: str) -> str:
        return self._codec.upstream_path(self.prompt, model)

    def encode(self, model: str, *, inject: bool = True) -> bytes:
        """Raises Unfit."""
        del model, inject  # the target says both
        return self.written().body

    def written(self) -> Written:
        """The body and what is dropped of it, in the caller's words. Raises Unfit."""
        if self._written is None:
            words = self._spoken.words
            try:
                tooling = self._tooling
                prompt = self.prompt if tooling is None else tooling.prompt
                written = self._codec.write(prompt, self._target)
            except Unfit as error:
                raise Unfit(_shown(words.get(error.what, error.what))) from error
            dropped = dict.fromkeys(_shown(words.get(name, name)) for name in written.dropped)
            self._written = replace(written, dropped=tuple(dropped))
        return self._written

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        try:
            return self._read(content_type, body, judge)
        except RecursionError:  # what can just be decoded may be too deep to be written again
            return no_answer(_TOO_DEEP)

    def _read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        if content_type is not None and content_type.lower().startswith(b"text/event-stream"):
            return self._read_events(body, judge)
        document = decoded(content_type, body, judge)
        if isinstance(document, Failure):
            return document
        assert isinstance(document, dict)  # noqa: S101  # without a quick look nothing else comes
        answer = self._codec.answer(document, judge)
        if isinstance(answer, Failure):
            return answer
        return self._told(answer)

    def _told(self, answer: Answer) -> Reply | Failure:
        """An answer as its caller wants it."""
        asked = self._asked
        if self._tooling is not None:
            answer = self._tooling.answer(answer)
        for part in answer.parts:
            if isinstance(part, ToolCall) and (problem := self._problem_of(part)):
                return no_answer(problem)
        if asked.stream:
            told = self._spoken.encoder(asked).write(events_of(answer))
            return Reply(told, asked.stream_type, answer.usage)
        return Reply(self._spoken.reply(answer, asked), _JSON, answer.usage)

    def _read_events(self, body: bytes, judge: Judge) -> Reply | Failure:
        """A stream where a whole answer was asked for."""
        if len(body) > _EVENTS_LIMIT:
            return no_answer(
                f"an event stream of more than {_EVENTS_LIMIT >> 20} MiB came as a whole reply"
            )
        decoder = self._codec.decoder(judge)
        decoder.feed(body)
        _, failure = decoder.end()
        answer = answer_of(decoder.take())
        if failure is not None or answer is None:
            message = failure.message if failure is not None else "the stream has no end"
            is_cut = failure is None or failure.fault is Fault.INTERRUPTED
            return no_answer(message) if is_cut or failure is None else failure
        return self._told(answer)

    def scanner(self, judge: Judge) -> Scanner:
        decoder, encoder = self._codec.decoder(judge), self._spoken.encoder(self._asked)
        restoring = self._tooling.restoring() if self._tooling is not None else None
        takes_objects = self._spoken.has_object_arguments
        return TranslatingScanner(decoder, encoder, restoring, takes_objects=takes_objects)

    def _problem_of(self, call: ToolCall) -> str:
        """Why a call cannot be told; "" for nothing."""
        if not call.name:
            return _UNNAMED
        is_text = not self._spoken.has_object_arguments or call.is_custom
        if is_text or is_object(call.arguments):
            return ""
        return _not_an_object(call)


class TranslatingScanner:
    """
    A provider's events decoded, and written again in the caller's protocol.

    A call without a name breaks the stream; with `takes_objects` one, too, whose arguments are no
    object.
    """

    __slots__ = ("_calls", "_decoder", "_encoder", "_failure", "_restoring", "_takes_objects")

    def __init__(
        self,
        decoder: Decoder,
        encoder: Encoder,
        restoring: Restoring | None = None,
        *,
        takes_objects: bool = False,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._restoring = restoring
        self._takes_objects = takes_objects
        self._calls: dict[int, tuple[ToolCall, list[str]]] = {}
        self._failure: Failure | None = None

    @property
    def has_content(self) -> bool:
        return self._decoder.has_content

    @property
    def failure(self) -> Failure | None:
        return self._failure or self._decoder.failure

    @property
    def is_over(self) -> bool:
        return self._failure is not None or self._decoder.is_over

    @property
    def usage(self) -> Usage | None:
        return self._decoder.usage

    @property
    def finished(self) -> bool:
        return self._failure is None and self._decoder.finished

    def feed(self, data: bytes) -> bytes:
        if self._failure is not None:
            return b""
        self._decoder.feed(data)
        return self._written(self._decoder.take())

    def end(self) -> tuple[bytes, Failure | None]:
        if self._failure is not None:
            return b"", self._failure
        _, failure = self._decoder.end()
        told = self._written(self._decoder.take())
        return told, self._failure or failure

    def error_event(self, problem: Problem) -> bytes:
        return self._encoder.error_event(problem)

    def _written(self, events: list[Event]) -> bytes:
        if self._restoring is not None:
            events = self._restoring.events(events)
        for place, event in enumerate(events):
            if (
                type(event) is not TextDelta
                and isinstance(event, (CallBegin, CallDelta, CallEnd))
                and not self._is_sound(event)
            ):
                events = events[:place]
                break
        try:
            return self._encoder.write(events) if events else b""
        except RecursionError:
            self._failure = Failure(fault=Fault.INTERRUPTED, message=_TOO_DEEP)
            return b""

    def _is_sound(self, event: CallBegin | CallDelta | CallEnd) -> bool:
        """False where a call has no name, and at its end where its arguments are no object."""
        if isinstance(event, CallBegin) and not event.call.name:
            self._failure = Failure(fault=Fault.INTERRUPTED, message=_UNNAMED)
        elif not self._takes_objects:
            return True
        elif isinstance(event, CallBegin):
            self._calls[event.index] = (event.call, [event.call.arguments])
        elif (begun := self._calls.get(event.index)) is None:
            return True  # pieces behind its end are nobody's
        elif isinstance(event, CallDelta):
            begun[1].append(event.arguments)
        else:
            call, pieces = self._calls.pop(event.index)
            if not (call.is_custom or is_object("".join(pieces))):
                self._failure = Failure(fault=Fault.INTERRUPTED, message=_not_an_object(call))
        return self._failure is None


def _shown(name: str) -> str:
    """A member's name, which may be whatever a caller has made up."""
    return name[:_NAME_LIMIT] or '""'


def is_object(arguments: str) -> bool:
    """Whether the arguments of a call are an object of JSON; none at all are an empty one."""
    if not arguments.strip():
        return True
    try:
        return isinstance(bodies.decode_text(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _not_an_object(call: ToolCall) -> str:
    return safe_text(f"the arguments of a call of {call.name} are no JSON object")
