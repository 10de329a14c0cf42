"""The kinds of providers. A vendor that speaks a known protocol is one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from providers.adapters.adapter import Adapter
from providers.adapters.simulator.scripts import SCRIPTS
from providers.protocols import PROTOCOLS

_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {name: protocol.upstream_path for name, protocol in PROTOCOLS.items()}
)
# Google serves OpenAI's endpoints as well, elsewhere and for another header: openai_compatible.
_GEMINI_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {name: path for name, path in _PATHS.items() if name.startswith("gemini_")}
)

_CHAT: Final = frozenset({"openai_chat"})
_CHAT_EMBEDDINGS: Final = _CHAT | {"openai_embeddings"}
_THREE: Final = _CHAT_EMBEDDINGS | {"openai_completions"}
_RESPONSES: Final = frozenset({"openai_responses"})
_MESSAGES: Final = frozenset({"anthropic_messages"})

# What OpenAI alone takes of its own chat. Free-form tools become functions, a choice among tools
# becomes fewer tools.
_OPENAIS_OWN: Final = frozenset({"custom_tools", "allowed_tools"})
# Hints, of which the others' pages say nothing; some answer 400 or 422 to what they do not know.
_HINTS: Final = _OPENAIS_OWN | {"verbosity", "prompt_cache_key"}
_OLD_LIMIT: Final = {"max_completion_tokens": "max_tokens"}
_TOP_K: Final = {"top_k": "top_k"}

# Vendors and servers that differ from OpenAI by data only. Addresses: each vendor's own API pages,
# read 2026-11-21; Responses and Messages of Ollama, vLLM and OpenRouter, and what Cerebras refuses:
# their pages, 2026-11-28. The other parameters are general knowledge, not read again. Listed are
# those endpoints which take what coding agents send: Groq's Responses takes neither `include` nor
# `store`, so that its chat serves them better. DeepSeek's and others' Messages have an address of
# their own (…/anthropic), which is one for kind anthropic.
_PRESETS: Final = (
    Adapter(
        kind="cerebras",
        default_base_url="https://api.cerebras.ai/v1",
        protocols=_CHAT,
        # "will result in a 400 error if they are supplied"
        refuses=_HINTS | {"frequency_penalty", "presence_penalty", "parallel_tool_calls"},
    ),
    Adapter(
        kind="deepseek",
        default_base_url="https://api.deepseek.com",
        protocols=_CHAT,
        # What is not on its page is ignored in silence: a limit, a seed, a schema among it.
        refuses=_HINTS | {"json_schema", "seed", "parallel_tool_calls"},
        renames=_OLD_LIMIT,
    ),
    Adapter(
        kind="fireworks",
        default_base_url="https://api.fireworks.ai/inference/v1",
        protocols=_THREE | _RESPONSES,
        refuses=_HINTS,
        renames=_OLD_LIMIT | _TOP_K,
    ),
    Adapter(
        kind="groq",
        default_base_url="https://api.groq.com/openai/v1",
        protocols=_CHAT,
        refuses=_HINTS,
    ),
    Adapter(
        kind="mistral",
        default_base_url="https://api.mistral.ai/v1",
        protocols=_CHAT_EMBEDDINGS,
        # 422 extra_forbidden for whatever its page does not name; usage comes unasked.
        refuses=_HINTS | {"user", "reasoning_effort", "stream_options"},
        renames=_OLD_LIMIT | {"seed": "random_seed"},
    ),
    Adapter(
        kind="ollama",
        default_base_url="http://localhost:11434/v1",
        protocols=_THREE | _RESPONSES | _MESSAGES,
        needs_credential=False,
        version="/v1",
        # Ignored in silence, says its page of OpenAI's API.
        refuses=_HINTS | {"tool_choice", "parallel_tool_calls", "user"},
        renames=_OLD_LIMIT,
    ),
    Adapter(
        kind="openai",
        default_base_url="https://api.openai.com/v1",
        protocols=_THREE | _RESPONSES,
    ),
    Adapter(
        kind="openai_compatible",
        protocols=_THREE,
        needs_credential=False,
        refuses=_OPENAIS_OWN,
    ),
    Adapter(
        kind="openrouter",
        default_base_url="https://openrouter.ai/api/v1",
        protocols=_CHAT_EMBEDDINGS | _RESPONSES | _MESSAGES,
        refuses=_OPENAIS_OWN,
        renames=_TOP_K,
    ),
    Adapter(
        kind="together",
        default_base_url="https://api.together.ai/v1",
        protocols=_THREE,
        refuses=_HINTS,
        renames=_OLD_LIMIT | _TOP_K,
    ),
    Adapter(
        kind="vllm",
        default_base_url="http://localhost:8000/v1",
        protocols=_THREE | _RESPONSES | _MESSAGES | {"anthropic_count_tokens"},
        needs_credential=False,
        version="/v1",
        refuses=_HINTS,
        renames=_TOP_K,
    ),
    Adapter(
        kind="xai",
        default_base_url="https://api.x.ai/v1",
        protocols=_CHAT | _RESPONSES,
        # An error with models that reason, and all newer ones do.
        refuses=_HINTS | {"frequency_penalty", "presence_penalty"},
    ),
    # Both generations are in the field: x-api-key is what every server takes that speaks Messages,
    # Bearer the operator's choice. docs.anthropic.com and the SDKs 0.125 and 2.11, 2026-11-27.
    Adapter(
        kind="anthropic",
        default_base_url="https://api.anthropic.com",
        protocols=_MESSAGES | {"anthropic_count_tokens"},
        auth="x-api-key",
        version="/v1",
        models_path="/models?limit=1000",
    ),
    # ai.google.dev/api, and the SDK 3.4, 2026-11-27; an address may end in /v1 as well.
    Adapter(
        kind="gemini",
        default_base_url="https://generativelanguage.googleapis.com",
        protocols=frozenset({"gemini_generate", "gemini_count_tokens"}),
        auth="x-goog-api-key",
        version="/v1beta",
        models_path="/models?pageSize=1000",
    ),
    Adapter(
        kind="simulator",
        protocols=frozenset(SCRIPTS),
        needs_credential=False,
        is_simulated=True,
    ),
)

ADAPTERS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {
        adapter.kind: replace(adapter, paths=_GEMINI_PATHS if adapter.kind == "gemini" else _PATHS)
        for adapter in _PRESETS
    }
)

# Legal in configuration, which outlives versions; without an adapter they are never called.
KNOWN_KINDS: Final = frozenset(ADAPTERS) | {"azure_openai", "bedrock"}


def address_problems(kind: str, base_url: object) -> list[str]:
    """What is wrong with having no address."""
    adapter = ADAPTERS.get(kind)
    if base_url or adapter is None or adapter.is_simulated or adapter.default_base_url:
        return []
    return [f"missing, kind {kind} has no address of its own"]
