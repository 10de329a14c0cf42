"""What differs between kinds of providers, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from providers.adapters.classify import classify
from providers.errors import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """
    One kind of provider.

    `protocols` are those it usually speaks; `paths` has the path below the base URL for each one
    that it can be told to speak. `auth` names a scheme (auth.py). `needs_credential`: no call
    without one. `is_simulated`: it answers in this process. `version` is the end of every base
    address, which operators may leave out. `headers` are sent where neither the operator nor the
    caller says otherwise. `refuses` and `renames` are of translated requests (codec.Target).
    """

    kind: str
    default_base_url: str = ""
    protocols: frozenset[str] = frozenset()
    paths: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    auth: str = "bearer"
    needs_credential: bool = True
    is_simulated: bool = False
    version: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
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
