"""
What is kept of a request, as values: workers make them, spools carry them to the database.

A record is a row: the columns that are searched, sorted, listed or summed, and last `detail`, the
JSON text of everything else. The worker has the objects at hand, so it writes that text; on the
way to the database nobody looks into it again.

Never a prompt and never an answer. Texts that a caller or a provider made up are cut to their
limits where the record is made (routing.gateway.records.recording).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from failover.engine.plan import Inputs

NAME_LIMIT: Final = 200
OWN_PREFIX: Final = "req_"  # and then the record's id: a request id that we made


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
    LOST = "lost"  # its worker died before the end; what became of it nobody knows


class AttemptRecord(Struct, frozen=True, array_like=True, gc=False):
    """
    One call. Times are milliseconds since the request came in; None: it never got so far.

    `fault` is a row of the verdict table ("" for none), `message` at most 500 characters.
    `simulated` is the fault that the provider pretended, as it was asked for; `is_hedge` says that
    the call began beside another one.

    The fields travel by position: new ones go to the end, with a default.
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
    simulated: str = ""
    is_hedge: bool = False
    dropped: tuple[str, ...] = ()


class RejectedRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A candidate ("provider/model") that was not tried, and the planner's word for why."""

    candidate: str
    reason: str


class FeaturesRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """
    What the request asked of routing: with the protocol, the key and the snapshot of its
    generation, all that the decision was made from besides `DecisionRecord.inputs`.

    `session` is the hash of the affinity key in hex, "" without one; never the key itself.
    """

    needs: tuple[str, ...] = ()
    estimated_input_tokens: int | None = None
    max_output_tokens: int | None = None
    preferred_provider: str = ""
    no_failover: bool = False
    strict_params: bool = False
    session: str = ""


class DecisionRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """
    What was decided. Requests with one plan share it.

    `planned` are the candidates in the order of trying, the first of them the effective one;
    `config_primary` is who comes first by configuration alone, `preferred` who would have without
    benches and health, "" for the effective one. `inputs` is None where nothing but the routing
    table was looked at.
    """

    resolved_by: str = ""
    strategy: str = ""
    config_primary: str = ""
    planned: tuple[str, ...] = ()
    rejected: tuple[RejectedRecord, ...] = ()
    last_standing: bool = False
    inputs: Inputs | None = None
    preferred: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def effective(self) -> str:
        return self.planned[0] if self.planned else ""

    @property
    def pin(self) -> str:
        """The candidate that the session was pinned to."""
        return self.inputs.pin if self.inputs is not None else ""


NO_FEATURES: Final = FeaturesRecord()
NO_DECISION: Final = DecisionRecord()


class Detail(Struct, frozen=True, omit_defaults=True, gc=False):
    """
    What is kept of a request beside the columns. New fields need a default.

    `fallback_target` is the failover rule's name for who served, "" if no rule was needed.
    `skipped` are those whose turn came, but who could not take the request. `is_estimated`: the
    gateway answered by itself, as nobody else could.
    """

    worker: str = ""
    endpoint: str = ""
    protocol: str = ""
    user_path: str = ""
    fallback_target: str = ""
    features: FeaturesRecord = NO_FEATURES
    decision: DecisionRecord = NO_DECISION
    attempts: tuple[AttemptRecord, ...] = ()
    skipped: tuple[RejectedRecord, ...] = ()
    is_estimated: bool = False


NO_DETAIL: Final = Detail()


class _Columns(Struct, frozen=True, gc=False):
    """
    `id` is ours alone (a UUID in hex that sorts by the time at which the request came in);
    `request_id` is the caller's if it sent one, so it may repeat. `key` is empty where nobody was
    let in; those records are counted, not kept. `code` is the error's, "" for none. `status` is
    None if no response was begun. `provider`/`model` is who served; `calls` how many were made.
    """

    id: str
    request_id: str
    outcome: str
    status: int | None = None
    code: str = ""
    key: str = ""
    team: str = ""
    requested_model: str = ""
    canonical_model: str = ""
    provider: str = ""
    model: str = ""
    failover: bool = False
    stream: bool = False
    calls: int = 0
    duration_ms: float = 0.0
    first_content_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    generation: int | None = None


class RequestRecord(_Columns, frozen=True, gc=False):
    """One inference request, as the worker's observers see it."""

    detail: Detail = NO_DETAIL


class RecordRow(_Columns, frozen=True, array_like=True, gc=False):
    """
    One inference request, as it travels to the database.

    `request_id` is empty where it is ours, so that an index need only hold those that callers
    sent. The fields travel by position: new ones go to the end, with a default.
    """

    detail: str = "{}"


COLUMNS: Final = RecordRow.__struct_fields__
Row = tuple[Any, ...]

_to_json: Final = msgspec.json.Encoder().encode
_to_detail: Final = msgspec.json.Decoder(Detail).decode
_astuple: Final = msgspec.structs.astuple


def row_of(record: RequestRecord) -> Row:
    """The values of COLUMNS: a RecordRow, without the cost of making one."""
    values = _astuple(record)
    own, given = values[0], values[1]
    given = "" if given[len(OWN_PREFIX) :] == own else given
    return (own, given, *values[2:-1], _to_json(values[-1]).decode())


def written_out(record: RequestRecord) -> RequestRecord:
    """
    The same with halves of surrogate pairs spelled out: a model's name may hold them, UTF-8 cannot.
    """
    return msgspec.convert(_spelled(msgspec.to_builtins(record)), RequestRecord)


def _spelled(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_spelled(name): _spelled(member) for name, member in value.items()}
    return [_spelled(entry) for entry in value] if isinstance(value, list | tuple) else value


def detail_of(text: str) -> Detail:
    """What a row's `detail` says. Raises msgspec.DecodeError."""
    return _to_detail(text)
