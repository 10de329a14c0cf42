"""Gemini's generateContent to and from the canonical form: the package's Codec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from providers.errors import Failure
from providers.protocols.canonical import Answer, Prompt, Written
from providers.protocols.gemini import answers, prompt, writing
from providers.protocols.gemini.decoding import GeminiDecoder
from providers.protocols.gemini.encoding import GeminiEncoder
from providers.protocols.gemini.request import GENERATE, STREAM, GenerateRequest, path_of
from providers.protocols.protocol import Judge, Request, Target


class GeminiCodec:
    # What callers call what has another canonical name.
    words: Mapping[str, str] = {
        **{name: word for word, name in prompt.SAMPLING.items()},
        "max_completion_tokens": "maxOutputTokens",
        "max_tokens": "maxOutputTokens",
        "stop": "stopSequences",
        "reasoning": "thought",
        "reasoning_effort": "thinkingConfig",
        "response_format": "responseSchema",
        "service_tier": "serviceTier",
        "tool_choice": "toolConfig",
    }
    # google-genai's documentation of FunctionDeclaration.name, read 2026-11-27.
    tool_name = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
    has_custom_tools = False
    has_object_arguments = True

    def prompt(self, request: Request) -> Prompt:
        assert isinstance(request, GenerateRequest)  # noqa: S101  # its protocol made it
        return prompt.prompt_of(request.fields, stream=request.stream)

    def write(self, prompt: Prompt, target: Target) -> Written:
        return writing.write(prompt, target)

    def upstream_path(self, prompt: Prompt, model: str) -> str:
        verb = STREAM if prompt.stream else GENERATE
        return path_of(model, verb=verb)

    def answer(self, document: dict[str, Any], judge: Judge) -> Answer | Failure:
        return answers.answer_of(document, judge)

    def reply(self, answer: Answer, request: Request) -> bytes:
        del request
        return answers.reply_of(answer)

    def decoder(self, judge: Judge) -> GeminiDecoder:
        return GeminiDecoder(judge)

    def encoder(self, request: Request) -> GeminiEncoder:
        assert isinstance(request, GenerateRequest)  # noqa: S101  # its protocol made it
        return GeminiEncoder(is_array=request.is_array)


CODEC: Final = GeminiCodec()
