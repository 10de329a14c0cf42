"""Chat completions to and from the canonical form: the package's Codec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from providers.errors import Failure
from providers.protocols.canonical import Answer, Prompt, Written
from providers.protocols.chat import answers, prompt, writing
from providers.protocols.chat.decoding import ChatDecoder
from providers.protocols.chat.encoding import ChatEncoder
from providers.protocols.chat.request import CompletionRequest
from providers.protocols.protocol import Judge, Request, Target


class ChatCodec:
    # What callers call what has another canonical name.
    words: Mapping[str, str] = {"reasoning": "reasoning_details"}
    tool_name = re.compile(r"[a-zA-Z0-9_-]{1,64}")
    has_custom_tools = True
    has_object_arguments = False

    def prompt(self, request: Request) -> Prompt:
        assert isinstance(request, CompletionRequest)  # noqa: S101  # its protocol made it
        return prompt.prompt_of(request.fields, stream=request.stream)

    def write(self, prompt: Prompt, target: Target) -> Written:
        return writing.write(prompt, target)

    def upstream_path(self, prompt: Prompt, model: str) -> str:
        del prompt, model  # the protocol's own
        return ""

    def answer(self, document: dict[str, Any], judge: Judge) -> Answer | Failure:
        return answers.answer_of(document, judge)

    def reply(self, answer: Answer, request: Request) -> bytes:
        del request
        return answers.reply_of(answer)

    def decoder(self, judge: Judge) -> ChatDecoder:
        return ChatDecoder(judge)

    def encoder(self, request: Request) -> ChatEncoder:
        assert isinstance(request, CompletionRequest)  # noqa: S101  # its protocol made it
        return ChatEncoder(wants_usage=request.wants_usage)


CODEC: Final = ChatCodec()
