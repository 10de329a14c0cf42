"""How often the same candidate may be called again: backoff, and a bucket per provider."""

from __future__ import annotations

from random import Random

from failover.engine.policy import Backoff

BUCKET_TOKENS = 500
RETRY_COST = 14
THROTTLE_COST = 5


def backoff_s(backoff: Backoff, retry: int, rng: Random) -> float:
    """
    Seconds to wait before retry number `retry` (0 is the first), by full jitter.

    Source: AWS Architecture Blog, "Exponential Backoff And Jitter", checked 2026-11-21.
    """
    ceiling_ms = min(backoff.max_ms, backoff.base_ms * backoff.factor**retry)
    return rng.uniform(0, ceiling_ms) / 1000


class RetryBudget:
    """
    Tokens for same-candidate retries, one bucket per provider.

    A retry takes 14, one after a throttle 5 (if that many are left); a success gives back 1.
    Source: AWS SDK retry behaviour (2026 rules), checked 2026-11-21.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}

    def take(self, provider: str, *, after_throttle: bool) -> bool:
        tokens = self._tokens.get(provider, BUCKET_TOKENS)
        cost = THROTTLE_COST if after_throttle else RETRY_COST
        if tokens < cost:
            return False
        self._tokens[provider] = tokens - cost
        return True

    def succeeded(self, provider: str) -> None:
        tokens = self._tokens.get(provider)
        if tokens is not None:
            if tokens + 1 >= BUCKET_TOKENS:
                del self._tokens[provider]
            else:
                self._tokens[provider] = tokens + 1
