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
from providers.adapters.simulator.scripts.completions import Completions
from providers.adapters.simulator.scripts.embeddings import Embeddings
from providers.adapters.simulator.scripts.responses import Responses
from providers.adapters.simulator.scripts.script import Ask, Events, Script

__all__ = ["SCRIPTS", "Ask", "Events", "Script"]

SCRIPTS: Final[Mapping[str, Script]] = MappingProxyType(
    {
        "openai_chat": Completions(is_chat=True),
        "openai_completions": Completions(is_chat=False),
        "openai_embeddings": Embeddings(),
        "openai_responses": Responses(),
        "anthropic_messages": messages.Messages(),
        "anthropic_count_tokens": messages.CountTokens(),
        "gemini_generate": gemini.Generate(),
        "gemini_count_tokens": gemini.CountTokens(),
    }
)
