"""
Made-up protocols that the gateway has to know more of than PLAIN shows.

TERSE can be told in others, CALLED has its model in the path and its key in the query, TALLY
counts, and knows an answer of its own where nobody does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from providers.errors import Failure, ProtocolError
from providers.protocols import Judge, Problem, Protocol, Reply, Request, bodies
from providers.protocols.canonical import Answer, Finish, Prompt, Text, Turn, Written
from providers.protocols.protocol import Codec, Decoder, Encoder, Target
from tests.support.made_up import Plain, PlainRequest

KEY: Final = "sy_of-the-made-up"


class TerseCodec:
    words: Mapping[str, str] = {"top_k": "choosiness"}
    tool_name = re.compile(r"\w+")
    has_custom_tools = False
    has_object_arguments = False

    def prompt(self, request: Request) -> Prompt:
        """`choosiness` can be done without, `echoes` cannot; `unsaid` contradicts `say`."""
        assert isinstance(request, PlainRequest)
        fields = request.fields
        if "unsaid" in fields:
            raise ProtocolError("'unsaid' contradicts 'say'.", param="unsaid")
        say = bodies.string(fields["say"]) or ""
        return Prompt(
            turns=(Turn(role="user", parts=(Text(text=say),)),),
            sampling={"top_k": 1.0} if "choosiness" in fields else {},
            bound=frozenset({"echoes"} & fields.keys()),
        )

    def write(self, prompt: Prompt, target: Target) -> Written:
        said = "".join(part.text for turn in prompt.turns for part in turn.parts)
        return Written(body=msgspec.json.encode({"model": target.model, "say": said}))

    def upstream_path(self, prompt: Prompt, model: str) -> str:
        del prompt, model
        return ""

    def answer(self, document: dict[str, Any], judge: Judge) -> Answer | Failure:
        del judge
        said = (Text(text=document["said"]),)
        return Answer(id="1", model="m", parts=said, finish=Finish.STOP)

    def reply(self, answer: Answer, request: Request) -> bytes:
        del request
        said = "".join(part.text for part in answer.parts if isinstance(part, Text))
        return msgspec.json.encode({"said": said})

    def decoder(self, judge: Judge) -> Decoder:
        raise NotImplementedError

    def encoder(self, request: Request) -> Encoder:
        raise NotImplementedError


class Terse(Plain):
    name = "terse"
    path = "/v1/terse"
    upstream_path = "/terse"
    codec: Codec | None = TerseCodec()


class KeptRequest(PlainRequest):
    """`after` names an earlier answer."""

    __slots__ = ()

    @property
    def state_id(self) -> str:
        return bodies.string(self.fields.get("after")) or ""

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        reply = super().read(content_type, body, judge)
        if isinstance(reply, Failure):
            return reply
        return msgspec.structs.replace(reply, state_id=bodies.decode(body).get("id", ""))


class Kept(Plain):
    name = "kept"
    path = "/v1/kept"
    upstream_path = "/kept"

    def parse(self, body: bytes, target: str = "") -> Request:
        del target
        return KeptRequest(self, bodies.members_of(body))


class Tally(Plain):
    name = "anthropic_tally"
    path = "/v1/terse/tally"
    upstream_path = "/terse/tally"

    def estimated(self, request: Request) -> bytes:
        return msgspec.json.encode({"tally": request.estimated_input_tokens})


class CalledRequest(PlainRequest):
    __slots__ = ("target",)

    target: str

    def upstream_path(self, model: str) -> str:
        return self.target.replace("{model}", model)


class Called(Plain):
    name = "gemini_called"
    path = "/v1beta/models"
    upstream_path = "/models"
    verbs = frozenset({"sayAloud"})

    def parse(self, body: bytes, target: str = "") -> Request:
        path, _, query = target.partition("?")
        model, _, verb = path.removeprefix(f"{self.path}/").rpartition(":")
        asked = {**bodies.members_of(body), "model": Raw(msgspec.json.encode(model))}
        request = CalledRequest(self, asked)
        request.target = f"/models/{{model}}:{verb}" + (f"?{query}" if query else "")
        return request

    def error(self, problem: Problem) -> tuple[int, bytes]:
        return problem.status, msgspec.json.encode({"ouch": problem.message})


MADE_UP: Final[tuple[Protocol, ...]] = (Terse(), Tally(), Called(), Kept())
