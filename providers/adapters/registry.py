"""The kinds of providers. A vendor that speaks a known protocol is one row."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from providers.adapters.adapter import Adapter
from providers.adapters.simulator.scripts import SCRIPTS
from providers.protocols import PROTOCOLS
from providers.protocols.chat import CHAT, TEXT
from providers.protocols.embeddings import EMBEDDINGS

_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {name: protocol.upstream_path for name, protocol in PROTOCOLS.items()}
)
_CHAT: Final = frozenset({CHAT.name})
_CHAT_EMBEDDINGS: Final = frozenset({CHAT.name, EMBEDDINGS.name})
_ALL: Final = frozenset({CHAT.name, TEXT.name, EMBEDDINGS.name})

# Vendors and servers that differ from OpenAI by data only: base URL, what they document to speak,
# whether a key is needed. Each vendor's own API pages, read 2026-11-21.
_PRESETS: Final = (
    ("cerebras", "https://api.cerebras.ai/v1", _CHAT, True),
    ("deepseek", "https://api.deepseek.com", _CHAT, True),
    ("fireworks", "https://api.fireworks.ai/inference/v1", _ALL, True),
    ("groq", "https://api.groq.com/openai/v1", _CHAT, True),
    ("mistral", "https://api.mistral.ai/v1", _CHAT_EMBEDDINGS, True),
    ("ollama", "http://localhost:11434/v1", _ALL, False),
    ("openai", "https://api.openai.com/v1", _ALL, True),
    ("openai_compatible", "", _ALL, False),
    ("openrouter", "https://openrouter.ai/api/v1", _CHAT_EMBEDDINGS, True),
    ("together", "https://api.together.ai/v1", _ALL, True),
    ("vllm", "http://localhost:8000/v1", _ALL, False),
    ("xai", "https://api.x.ai/v1", _CHAT, True),
)

ADAPTERS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {
        kind: Adapter(
            kind=kind,
            default_base_url=base_url,
            protocols=protocols,
            paths=_PATHS,
            needs_credential=needs_credential,
        )
        for kind, base_url, protocols, needs_credential in _PRESETS
    }
    | {
        "simulator": Adapter(
            kind="simulator",
            protocols=frozenset(SCRIPTS),
            paths=_PATHS,
            needs_credential=False,
            is_simulated=True,
        )
    }
)

# Legal in configuration, which outlives versions; without an adapter they are never called.
KNOWN_KINDS: Final = frozenset(ADAPTERS) | {"anthropic", "azure_openai", "bedrock", "gemini"}
