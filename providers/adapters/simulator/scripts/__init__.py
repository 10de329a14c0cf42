"""
What the simulator says, by protocol: whole answers, streams, and errors in the vendor's shape.

A script makes what a provider would send for a decoded request; when it fails is the provider's
business (provider.py). It says hello, and what the caller said last; to "call the tool NAME with
{…}" it answers with that call, if the request offers the tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from providers.adapters.simulator.scripts import gemini, messages
from providers.adapters.simulator.scripts.completions import CompletionsScript
from providers.adapters.simulator.scripts.embeddings import EmbeddingsScript
from providers.adapters.simulator.scripts.responses import ResponsesScript
from providers.adapters.simulator.scripts.script import Ask, Events, Script

__all__ = ["SCRIPTS", "Ask", "Events", "Script"]

SCRIPTS: Final[Mapping[str, Script]] = MappingProxyType(
    {
        "openai_chat": CompletionsScript(is_chat=True),
        "openai_completions": CompletionsScript(is_chat=False),
        "openai_embeddings": EmbeddingsScript(),
        "openai_responses": ResponsesScript(),
        "anthropic_messages": messages.MessagesScript(),
        "anthropic_count_tokens": messages.MessagesCountScript(),
        "gemini_generate": gemini.GenerateScript(),
        "gemini_count_tokens": gemini.GeminiCountScript(),
    }
)
