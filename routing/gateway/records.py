"""
What is kept of a request, as values: workers make them, spools carry them to the database.

Never a prompt and never an answer. Texts that a caller or a provider made up are cut to their
limits where the record is made (routing.gateway.recorder).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

NAME_LIMIT: Final = 200


class Outcome(StrEnum):
    """How a request ended, in one word. docs/records.md explains them to operators."""

    ANSWERED = "answered"  # a whole answer, or a stream to its end
    CALLER_ERROR = "caller_error"  # the provider found the request wrong, and its words went back
    REFUSED = "refused"  # by us, for what the caller may mend: the request, the model, the rights
    UNAVAILABLE = "unavailable"  # nobody could be tried, so no call was made
    FAILED = "failed"  # everybody who was tried failed
    INTERRUPTED = "interrupted"  # the answer had begun, and broke off
    ABANDONED = "abandoned"  # the caller went away before the end
    INTERNAL_ERROR = "internal_error"  # a fault of the gateway itself


class AttemptRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """
    One call. Times are milliseconds since the request came in; None: it never got so far.

    `fault` is a row of the verdict table ("" for none), `message` at most 500 characters.
    """

    provider: str
    model: str
    credential: str
    started_ms: float
    headers_ms: float | None = None
    content_ms: float | None = None
    ended_ms: float | None = None
    status: int | None = None
    fault: str = ""
    message: str = ""


class RejectedRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A candidate ("provider/model") that was not tried, and the planner's word for why."""

    candidate: str
    reason: str


class RequestRecord(Struct, frozen=True, array_like=True, gc=False):
    """
    One inference request.

    `id` is ours alone (a UUID in hex that sorts by time); `request_id` is the caller's if it sent
    one, so it may repeat. `started_at` is Unix time in seconds. `key` is empty where nobody was
    let in; those records are counted, not kept. `code` is the error's, "" for none. `status` is
    None if no response was begun. `planned` are the candidates in the order of trying,
    `config_primary`, `effective` and `provider`/`model` the configured, the chosen and the serving
    one. `fallback_target` is the failover rule's name for who served, "" if no rule was needed.

    The fields travel by position: new ones go to the end, with a default.
    """

    id: str
    request_id: str
    started_at: float
    duration_ms: float
    outcome: str
    worker: str = ""
    key: str = ""
    team: str = ""
    user_path: str = ""
    endpoint: str = ""
    protocol: str = ""
    requested_model: str = ""
    canonical_model: str = ""
    resolved_by: str = ""
    strategy: str = ""
    config_primary: str = ""
    effective: str = ""
    provider: str = ""
    model: str = ""
    failover: bool = False
    fallback_target: str = ""
    last_standing: bool = False
    stream: bool = False
    status: int | None = None
    code: str = ""
    generation: int | None = None
    first_content_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    estimated_input_tokens: int | None = None
    max_output_tokens: int | None = None
    needs: tuple[str, ...] = ()
    preferred_provider: str = ""
    no_failover: bool = False
    planned: tuple[str, ...] = ()
    rejected: tuple[RejectedRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
