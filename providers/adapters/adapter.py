"""What differs between kinds of providers, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from providers.adapters.classify import classify
from providers.errors import Failure

# Who speaks Messages wants to know which generation of it. The newest changes what a request may
# say, so that it is the caller's to ask for; this is the one that all servers know.
_VERSION: Final = ((b"anthropic-version", b"2023-06-01"),)
_VERSIONS: Final[Mapping[str, tuple[tuple[bytes, bytes], ...]]] = MappingProxyType(
    {"anthropic_messages": _VERSION, "anthropic_count_tokens": _VERSION}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """
    One kind of provider.

    `protocols` are those it usually speaks; `paths` has the path below the base URL for each one
    that it can be told to speak. `auth` names a scheme (auth.py). `needs_credential`: no call
    without one. `is_simulated`: it answers in this process. `version` is the end of every base
    address, which operators may leave out. `headers` are, by protocol, those that are sent where
    neither the operator nor the caller says otherwise. `models_path` lists its models.

    `refuses` and `renames` are of translated requests (protocol.Target): dropped and told, or
    said in another way. A rename of `top_k` says that it is taken, which OpenAI does not.
    """

    kind: str
    default_base_url: str = ""
    protocols: frozenset[str] = frozenset()
    paths: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    auth: str = "bearer"
    needs_credential: bool = True
    is_simulated: bool = False
    version: str = ""
    headers: Mapping[str, tuple[tuple[bytes, bytes], ...]] = field(
        default_factory=lambda: _VERSIONS
    )
    models_path: str = "/models"
    refuses: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def classify(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        now: float,
        secrets: Sequence[str] = (),
    ) -> Failure:
        """The failure in an answer that is no 200. `now` is Unix time."""
        return classify(status, headers, body, now=now, secrets=secrets)
