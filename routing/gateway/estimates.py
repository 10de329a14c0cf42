"""Answers that the gateway gives itself where no provider can: counts of tokens."""

from __future__ import annotations

from typing import Final

from providers.protocols import Request
from routing.gateway.errors import GatewayError, NoCandidate, ProvidersFailed

# Reasons that are somebody's will.
_FORBIDDEN: Final = frozenset(
    {"key_not_allowed", "provider_disabled", "canonical_model_disabled", "candidate_disabled"}
)


def estimate(request: Request, error: GatewayError) -> bytes | None:
    """
    The protocol's own answer to `request` instead of `error`; None where there is none.

    It is for whoever may use the model: not for a key that may not, nor where operators switched
    everybody off.
    """
    if isinstance(error, NoCandidate):
        rejected = error.nobody.rejected if error.nobody is not None else ()
        if all(entry.reason in _FORBIDDEN for entry in rejected):
            return None
    elif not isinstance(error, ProvidersFailed):
        return None
    return request.protocol.estimated(request)
