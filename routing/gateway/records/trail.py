"""What is known of a request so far, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from failover.engine.outcome import Attempt
from failover.engine.plan import Candidate, Inputs, Plan, Rejected
from providers.protocols import Request, Usage
from routing.gateway.deciding.features import Features
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.keylimits.allowances import Allowance
from routing.gateway.records.capture import Capture
from routing.gateway.records.record import Outcome

NO_MISFITS: Final[Mapping[str, str]] = MappingProxyType({})
_CUT_SHORT: Final = (Outcome.ABANDONED, Outcome.INTERRUPTED)


class Trail(Struct):
    """
    What is known of a request so far, whatever becomes of it: for its response headers, and in the
    end for its record.

    Times are time.monotonic's, of which the event loop's own are the coarser reading. `calls` is
    None until the engine is asked. `is_named` if the request id is the caller's; `is_estimated` if
    the gateway answered by itself. `misfits` fills as candidates are found who cannot take the
    request. `held_bytes` of bodies count as held for it, and `turn` of them have their key's
    turn. `record_id` is the record's where the request's own is the caller's; `slot` is where it is
    noted as long as it has no record (underway.py). Neither the request's body nor the answer's is
    kept, unless `capture` does.
    """

    request_id: bytes
    started_at: float = 0.0
    ended_at: float = 0.0
    endpoint: str = ""
    protocol: str = ""
    key: Key | None = None
    allowance: Allowance | None = None
    generation: int | None = None
    requested: str = ""
    canonical_model: str = ""
    resolution: Resolution | None = None
    plan: Plan | None = None
    rejected: Sequence[Rejected] = ()
    inputs: Inputs | None = None
    calls: list[Attempt] | None = None
    served: Candidate | None = None
    usage: Usage | None = None
    stream: bool = False
    estimated_input_tokens: int | None = None
    max_output_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    features: Features | None = None
    status: int | None = None
    code: str = ""
    outcome: Outcome = Outcome.ABANDONED
    is_named: bool = False
    is_estimated: bool = False
    misfits: Mapping[str, str] = NO_MISFITS
    capture: Capture | None = None
    held_bytes: int = 0
    record_id: str = ""
    slot: int = -1
    turn: int = 0

    def note(self, request: Request) -> None:
        """Keep what the record says of the request."""
        self.requested = request.model
        self.stream = request.stream
        self.needs = request.needs
        self.estimated_input_tokens = request.estimated_input_tokens
        self.max_output_tokens = request.max_output_tokens

    def wanted_tokens(self) -> int:
        """What the request may take, as far as it says."""
        return (self.estimated_input_tokens or 0) + (self.max_output_tokens or 0)

    def spent_tokens(self) -> int | None:
        """What counts against the key: 0 if nobody served it, None if nobody knows."""
        usage = self.usage
        if usage is not None and usage.input_tokens is not None:
            return usage.input_tokens + (usage.output_tokens or 0)
        is_unknown = self.served is not None or (self.calls and self.outcome in _CUT_SHORT)
        return None if is_unknown else 0
