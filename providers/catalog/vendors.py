"""Which vendor a provider is. Its models are looked up among that vendor's, and nowhere else."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from providers.adapters.registry import ADAPTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

# By the host that an address names, itself or as the end of a longer name. Hosts of each vendor's
# own API pages, read 2026-11-21.
HOSTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "api.openai.com": "openai",
        "api.anthropic.com": "anthropic",
        "generativelanguage.googleapis.com": "google",
        "api.mistral.ai": "mistral",
        "api.deepseek.com": "deepseek",
        "api.x.ai": "xai",
        "api.groq.com": "groq",
        "api.cerebras.ai": "cerebras",
        "api.together.ai": "together",
        "api.together.xyz": "together",
        "api.fireworks.ai": "fireworks",
        "openrouter.ai": "openrouter",
        "api.moonshot.ai": "moonshotai",
        "api.z.ai": "zai",
        "api.perplexity.ai": "perplexity",
        "api.minimax.io": "minimax",
    }
)


def vendor_of(kind: str, base_url: str) -> str:
    """
    The vendor behind a provider, or "" where that is not certain.

    The address decides: a kind says what a server speaks, and one that speaks like a vendor may
    serve other models by the same names, with other limits and prices. Without an address it is
    the kind's usual.
    """
    adapter = ADAPTERS.get(kind)
    address = base_url or (adapter.default_base_url if adapter else "")
    if not address:
        return ""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return ""  # no address; saying so is the provider's own check
    while host:
        if host in HOSTS:
            return HOSTS[host]
        _, _, host = host.partition(".")
    return ""
