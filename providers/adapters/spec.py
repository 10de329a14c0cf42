"""What a provider is, as the snapshot carries it: plain frozen values, secrets still encrypted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct


class Timeouts(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Seconds. None means not set at this level; the next level down counts (see `over`)."""

    connect_s: float | None = None
    first_token_s: float | None = None
    reasoning_first_token_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None
    stream_total_s: float | None = None

    def over(self, base: Timeouts) -> Timeouts:
        """These values, and those of `base` where nothing is set here."""
        return Timeouts(
            **{
                name: own if (own := getattr(self, name)) is not None else getattr(base, name)
                for name in self.__struct_fields__
            }
        )


class CredentialSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`secret` is a token of ENCRYPTION_KEYS; `label` is what operators see."""

    label: str
    secret: str


class PriceTier(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What replaces the prices of a whole request whose input is over so many tokens."""

    above_input_tokens: int
    input: float | None = None
    output: float | None = None
    cached_input: float | None = None
    cache_write: float | None = None


class Prices(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    US dollars a million tokens. None is unknown; 0 is free.

    `tiers` ascend; each that the input is over changes the prices that it names.
    """

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None
    cache_write: float | None = None
    tiers: tuple[PriceTier, ...] = ()


class ModelFacts(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What is known of a provider's model. Whatever is missing is unknown, and refuses nobody.

    `capabilities` has keys of CAPABILITIES. `reasons`: it reasons by itself, unasked.
    """

    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: dict[str, bool] = {}
    reasons: bool | None = None
    prices: Prices | None = None


CAPABILITIES: Final = (
    "tools",
    "parallel_tools",
    "vision",
    "audio",
    "files",
    "json_schema",
    "reasoning",
    "embeddings",
    "streaming",
)
NO_FACTS: Final = ModelFacts()


class ProviderSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    One provider.

    `models` is its configured inventory (exact upstream ids, in order); `facts` has what is
    known of models that this snapshot names, by upstream id. `protocols` are what it speaks
    besides its kind's usual. `proxy`: "" means none given; then the environment counts
    unless `trust_env_proxy` is off. `fault` is the simulator's setting ("" none), for example
    "status:503". Values of `headers`, and `proxy`, are tokens; plain where an older version wrote
    them. `source` is who manages it, which its tokens are bound to. `is_unconfirmed`: secrets were
    left out, because they were entered for another destination; then no call goes out without.
    """

    name: str
    kind: str
    base_url: str = ""
    auth: str = ""
    enabled: bool = True
    credentials: tuple[CredentialSpec, ...] = ()
    models: tuple[str, ...] = ()
    facts: dict[str, ModelFacts] = {}
    protocols: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    timeouts: Timeouts = Timeouts()
    proxy: str = ""
    trust_env_proxy: bool = True
    fault: str = ""
    source: str = "dashboard"
    is_unconfirmed: bool = False


def split_name(name: str, is_provider: Callable[[str], bool]) -> tuple[str, str] | None:
    """(provider, model) of a "provider/model" name; the longest provider that fits wins."""
    cut = name.rfind("/")
    while cut > 0:
        if cut + 1 < len(name) and is_provider(name[:cut]):
            return name[:cut], name[cut + 1 :]
        cut = name.rfind("/", 0, cut)
    return None
