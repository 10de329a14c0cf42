"""The numbers that failover and benches go by, as the snapshot carries them."""

from __future__ import annotations

from msgspec import Struct

DEFAULT_RETRY_STATUSES = (
    408, 424, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530,
)  # fmt: skip

DEFAULT_RETRY_FIRST_STATUSES = (429, 500, 502, 503, 504)

# What has to be in hand before anything goes to a streaming caller.
FIRST_CONTENT, WHOLE_ANSWER = "first_content", "whole_answer"
GATES = (FIRST_CONTENT, WHOLE_ANSWER)
# What becomes of parameters that a provider of another protocol cannot take: left out and told, or
# that provider is left out.
LENIENT, STRICT = "lenient", "strict"
PARAM_MODES = (LENIENT, STRICT)
# What a caller is told where every provider failed: some proxies replace the body of a 502.
EXHAUSTED_STATUSES = (502, 503)


class Backoff(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Full jitter: uniform in [0, min(max_ms, base_ms * factor ** n)]."""

    base_ms: float = 100
    factor: float = 2
    max_ms: float = 5000


class RetryFirst(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    How often the same candidate is asked again before the next one; 0 is never.

    Only after these statuses, and only if the wait is at most `max_wait_s`.
    """

    statuses: tuple[int, ...] = DEFAULT_RETRY_FIRST_STATUSES
    times: int = 0
    max_wait_s: float = 2.5


class FailoverPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`routing.defaults.failover`, and what a pool overrides of it, already merged."""

    enabled: bool = True
    max_attempts: int = 3
    same_candidate_retries: int = 1
    retry_on_statuses: tuple[int, ...] = DEFAULT_RETRY_STATUSES
    retry_on_model_errors: bool = True
    retry_on_timeouts: bool = True
    retry_on_content_filter: bool = False
    deadline_s: float = 600
    hold_s: float = 20
    gate: str = FIRST_CONTENT
    exhausted_status: int = 502
    hedge_after_ms: float | None = None
    retry_first: RetryFirst = RetryFirst()
    backoff: Backoff = Backoff()


class BenchPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    When a candidate is benched by its window, and for how long (seconds).

    `max_cooldown_s` is the longest of all, `max_outage_s` that of a provider that is away or
    overloaded.
    """

    failures: int = 3
    failure_ratio: float = 0.5
    window_s: float = 60
    cooldown_s: float = 10
    max_outage_s: float = 20
    max_cooldown_s: float = 600
    auth_cooldown_s: float = 300
