"""Messages to and from the canonical form: the package's Codec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from providers.errors import Failure
from providers.protocols.canonical import Answer, Prompt, Written
from providers.protocols.messages import answers, prompt, writing
from providers.protocols.messages.decoding import MessagesDecoder
from providers.protocols.messages.encoding import MessagesEncoder
from providers.protocols.messages.request import MessagesRequest
from providers.protocols.protocol import Judge, Request, Target


class MessagesCodec:
    # What callers call what has another canonical name.
    words: Mapping[str, str] = {
        "max_completion_tokens": "max_tokens",
        "parallel_tool_calls": "disable_parallel_tool_use",
        "reasoning": "thinking",
        "reasoning_effort": "thinking",
        "response_format": "output_config.format",
        "stop": "stop_sequences",
        "user": "metadata.user_id",
    }
    tool_name = re.compile(r"[a-zA-Z0-9_-]{1,128}")
    has_custom_tools = False
    has_object_arguments = True

    def prompt(self, request: Request) -> Prompt:
        assert isinstance(request, MessagesRequest)  # noqa: S101  # its protocol made it
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

    def decoder(self, judge: Judge) -> MessagesDecoder:
        return MessagesDecoder(judge)

    def encoder(self, request: Request) -> MessagesEncoder:
        return MessagesEncoder(request)


CODEC: Final = MessagesCodec()
