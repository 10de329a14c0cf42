"""What a provider is, as the snapshot carries it: plain frozen values, secrets still encrypted."""

from __future__ import annotations

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
    """`secret` is a Fernet token of ENCRYPTION_KEYS; `label` is what operators see."""

    label: str
    secret: str


class ProviderSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    One provider.

    `models` is its configured inventory (exact upstream ids, in order); `context_windows` gives
    tokens per model id where the operator states them. `protocols` are what it speaks besides
    its kind's usual. `proxy`: "" means none given; then the environment counts
    unless `trust_env_proxy` is off. `fault` is the simulator's setting ("" none), for example
    "status:503".
    """

    name: str
    kind: str
    base_url: str = ""
    auth: str = ""
    enabled: bool = True
    credentials: tuple[CredentialSpec, ...] = ()
    models: tuple[str, ...] = ()
    context_windows: dict[str, int] = {}
    protocols: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    timeouts: Timeouts = Timeouts()
    proxy: str = ""
    trust_env_proxy: bool = True
    fault: str = ""
