"""Responses to and from the canonical form: the package's Codec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from providers.errors import Failure
from providers.protocols.canonical import Answer, Prompt, Written
from providers.protocols.pieces import events_of
from providers.protocols.protocol import Judge, Request, Target
from providers.protocols.responses import answers, prompt, writing
from providers.protocols.responses.decoding import ResponsesDecoder
from providers.protocols.responses.encoding import ResponsesEncoder
from providers.protocols.responses.request import ResponsesRequest


class ResponsesCodec:
    # What callers call what has another canonical name.
    words: Mapping[str, str] = {
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "reasoning_effort": "reasoning.effort",
        "verbosity": "text.verbosity",
        "response_format": "text.format",
        "json_schema": "text.format",
        "cache_control": "prompt_cache_breakpoint",
        "user": "safety_identifier",
    }
    tool_name = re.compile(r"[a-zA-Z0-9_-]{1,64}")
    has_custom_tools = True
    has_object_arguments = False

    def prompt(self, request: Request) -> Prompt:
        assert isinstance(request, ResponsesRequest)  # noqa: S101  # its protocol made it
        return prompt.prompt_of(request.fields, stream=request.stream)

    def write(self, prompt: Prompt, target: Target) -> Written:
        return writing.write(prompt, target)

    def upstream_path(self, prompt: Prompt, model: str) -> str:
        del prompt, model  # the protocol's own
        return ""

    def answer(self, document: dict[str, Any], judge: Judge) -> Answer | Failure:
        return answers.answer_of(document, judge)

    def reply(self, answer: Answer, request: Request) -> bytes:
        encoder = self.encoder(request)
        encoder.write(events_of(answer))
        return encoder.response

    def decoder(self, judge: Judge) -> ResponsesDecoder:
        return ResponsesDecoder(judge)

    def encoder(self, request: Request) -> ResponsesEncoder:
        assert isinstance(request, ResponsesRequest)  # noqa: S101  # its protocol made it
        return ResponsesEncoder(request.fields)


CODEC: Final = ResponsesCodec()
