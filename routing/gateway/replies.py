"""What goes out: the headers that tell who served, and ASGI's messages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from failover.engine.attempts import Served
from failover.engine.outcome import Attempt
from failover.engine.plan import Candidate, Plan, Rejected
from providers.protocols import Request, Usage, error_event
from routing.gateway.auth import Key
from routing.gateway.errors import GatewayError
from routing.gateway.ingress import Send
from routing.gateway.planner import Features
from routing.gateway.records import Outcome
from routing.gateway.resolver import Resolution

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")
EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
UPSTREAM_ID = b"x-request-id"
REFLECTED_MAX, REFLECTED_BYTES = 32, 256  # 8 KiB: many clients take no more than that in all


class Trail(Struct):
    """
    What is known of a request so far, whatever becomes of it: for its response headers, and in the
    end for its record.

    Times are time.monotonic's, of which the event loop's own are the coarser reading. `calls` is
    None until the engine is asked. `is_named` if the request id is the caller's. The request's body
    is not held, nor is the answer's.
    """

    request_id: bytes
    started_at: float = 0.0
    ended_at: float = 0.0
    endpoint: str = ""
    protocol: str = ""
    key: Key | None = None
    generation: int | None = None
    requested: str = ""
    canonical_model: str = ""
    resolution: Resolution | None = None
    plan: Plan | None = None
    rejected: Sequence[Rejected] = ()
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

    def note(self, request: Request) -> None:
        """Keep what the record says of the request."""
        self.requested = request.model
        self.stream = request.stream
        self.needs = request.needs
        self.estimated_input_tokens = request.estimated_input_tokens
        self.max_output_tokens = request.max_output_tokens

    def headers(self) -> list[Header]:
        found = [(b"x-request-id", self.request_id)]
        if self.canonical_model:
            found.append((b"x-switchyard-model", visible(self.canonical_model)))
        if self.calls is not None:
            found.append((b"x-switchyard-attempts", b"%d" % len(self.calls)))
        if self.generation is not None:
            found.append((b"x-switchyard-generation", b"%d" % self.generation))
        if self.plan is not None and self.plan.warnings:
            found.append((b"x-switchyard-warning", visible("; ".join(self.plan.warnings))))
        return found

    def early_headers(self) -> list[Header]:
        """For a 200 that goes out before anybody served: it cannot name who will."""
        return [*EVENT_STREAM, *self.headers()]


def served_headers(served: Served, trail: Trail) -> list[Header]:
    candidate, plan = served.candidate, trail.plan
    headers = trail.headers()
    if served.stream is None:
        kind = served.content_type
        headers.append((b"content-type", kind) if _is_modest(kind) else JSON)
        headers.append((b"content-length", b"%d" % len(served.first)))
    else:
        headers += EVENT_STREAM
    moved = plan is not None and plan.preferred is not candidate
    headers += (
        (b"x-switchyard-provider", visible(candidate.provider)),
        (b"x-switchyard-provider-model", visible(candidate.model)),
        (b"x-switchyard-failover", b"true" if moved else b"false"),
    )
    reflected: dict[bytes, bytes] = {}
    for name, value in served.headers:
        if name.startswith((b"openai-", b"x-ratelimit-")) and _is_modest(value):
            reflected.setdefault(name, value)
        elif name == UPSTREAM_ID and _is_modest(value):
            reflected[b"x-switchyard-upstream-request-id"] = value
    headers += list(reflected.items())[:REFLECTED_MAX]
    return headers


def _is_modest(value: bytes) -> bool:
    """Whether a provider's header value may go to a caller: others' parsers are stricter."""
    return len(value) <= REFLECTED_BYTES and value.isascii()


@lru_cache(maxsize=4096)
def visible(text: str) -> bytes:
    """`text` as a header value: ASCII without control characters."""
    return text.encode("ascii", "backslashreplace").translate(_SPACES)


_SPACES = bytes(byte if 32 <= byte < 127 else 32 for byte in range(256))


def error_event_of(error: GatewayError) -> bytes:
    """The end of a stream whose 200 has gone out already."""
    return error_event(error.message, type=error.type, code=error.code, extra=error.extra)


async def send_start(send: Send, status: int, headers: list[Header]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_body(send: Send, body: bytes, *, last: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
