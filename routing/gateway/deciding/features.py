"""What a request asks of routing."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from providers.protocols import NO_NEEDS, Request
from routing.gateway.deciding.affinity import session_of
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution


class Features(Struct, frozen=True, kw_only=True, gc=False):
    """
    What a request asks of routing. `preferred_provider` is a wish, not a condition.

    `strict_params`: who cannot take every member of it is left out.
    `max_output_tokens` is None where the request does not say; `session` is the hash of who is
    talking.
    """

    protocol: str
    key: Key
    needs: frozenset[str] = NO_NEEDS
    input_tokens: int = 0
    max_output_tokens: int | None = None
    preferred_provider: str = ""
    no_failover: bool = False
    strict_params: bool = False
    session: int | None = None


def features_of(
    request: Request,
    headers: Mapping[bytes, bytes],
    key: Key,
    resolution: Resolution,
    *,
    strict: bool | None = None,
) -> Features:
    """What `request` asks of routing, as the gateway reads it; `strict`: None is as its pool."""
    return Features(
        protocol=request.protocol.name,
        key=key,
        needs=request.needs,
        input_tokens=request.estimated_input_tokens,
        max_output_tokens=request.max_output_tokens,
        preferred_provider=headers.get(b"x-switchyard-provider", b"").decode("latin-1"),
        no_failover=headers.get(b"x-switchyard-no-failover", b"").lower() == b"true",
        strict_params=resolution.groups[0].pool.is_strict if strict is None else strict,
        session=session_of(headers, request, key, resolution)
        if resolution.takes_sessions
        else None,
    )
