"""How the blocks of pools and keys look in a form."""

from __future__ import annotations

from typing import Final

from failover.engine.policy import EXHAUSTED_STATUSES
from failover.validation import GATE_WORDS
from providers.managed.block_field import CHOICE, FLAG, STATUSES, BlockMember, BlockMembers

STATUS_WORDS: Final = tuple((status, str(status)) for status in EXHAUSTED_STATUSES)

FAILOVER: Final[BlockMembers] = {
    "enabled": BlockMember("failover inside the pool", FLAG, setting="failover_in_pools"),
    "max_attempts": BlockMember("calls at most"),
    "same_candidate_retries": BlockMember("retries of the same candidate"),
    "deadline_s": BlockMember("deadline (seconds)"),
    "hold_s": BlockMember("hold (seconds)"),
    "hedge_after_ms": BlockMember("hedge after (milliseconds)"),
    "gate": BlockMember("streams go out", CHOICE, choices=GATE_WORDS),
    "exhausted_status": BlockMember("status when all have failed", CHOICE, choices=STATUS_WORDS),
    "retry_on_statuses": BlockMember("go on after these statuses", STATUSES),
    "retry_on_model_errors": BlockMember("go on after model errors", FLAG),
    "retry_on_timeouts": BlockMember("go on after timeouts", FLAG),
    "retry_on_content_filter": BlockMember("go on after content filters", FLAG),
    "retry_first.times": BlockMember("ask the same first (times)", setting="retry_first_times"),
    "retry_first.statuses": BlockMember(
        "ask the same after these statuses", STATUSES, setting="retry_first_statuses"
    ),
    "retry_first.max_wait_s": BlockMember(
        "wait for the same (seconds)", setting="retry_first_max_wait_s"
    ),
    "backoff.base_ms": BlockMember("backoff, first (milliseconds)", setting="backoff_base_ms"),
    "backoff.factor": BlockMember("backoff, factor", setting="backoff_factor"),
    "backoff.max_ms": BlockMember("backoff, longest (milliseconds)", setting="backoff_max_ms"),
}
CAPTURE: Final[BlockMembers] = {
    "requests": BlockMember("prompts are kept", FLAG, usual=False),
    "responses": BlockMember("answers are kept", FLAG, usual=False),
    "keep_days": BlockMember("for (days)", usual=7),
}
