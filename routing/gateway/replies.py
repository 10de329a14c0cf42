"""What goes out: the headers that tell who served, and ASGI's messages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from failover.engine.attempts import Served
from failover.engine.plan import Plan
from routing.gateway.families import Family, family_of
from routing.gateway.ingress import Exchange, Send
from routing.gateway.records.record import Outcome
from routing.gateway.records.trail import Trail

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")
# No proxy may keep a stream, or hold it back.
_UNHELD: tuple[Header, ...] = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_UPSTREAM_IDS = frozenset({b"x-request-id", b"request-id"})
REFLECTED_MAX, REFLECTED_BYTES = 32, 256  # 8 KiB: many clients take no more than that in all
TOLD_BYTES = 1024  # of one header that may be in the caller's own words


def trail_headers(trail: Trail) -> list[Header]:
    """For an answer that nobody has served."""
    return [
        *_ids(trail),
        *(trail.allowance.headers() if trail.allowance is not None else ()),
        *_known(
            trail.canonical_model,
            len(trail.calls) if trail.calls is not None else None,
            trail.generation,
        ),
        *_warned(trail.plan),
    ]


def early_headers(trail: Trail, stream_type: bytes) -> list[Header]:
    """For a 200 that goes out before anybody served: it cannot name who will."""
    return [(b"content-type", stream_type), *_UNHELD, *trail_headers(trail)]


def served_headers(served: Served, trail: Trail) -> list[Header]:
    """The head of an answer; its length is for whoever knows that it is whole."""
    standing, _ = _standing_of(served, trail)
    headers = [*_ids(trail), *standing, _kind(served.content_type)]
    if served.stream is None:
        headers.append((b"content-length", b"%d" % len(served.first)))
    else:
        headers += _UNHELD
    headers += _beside(served, trail, family_of(trail.protocol))
    return headers


def served_lines(served: Served, trail: Trail) -> bytes:
    """What `served_headers` has, without a length, as lines: 4 µs less."""
    _, standing = _standing_of(served, trail)
    family = family_of(trail.protocol)
    beside = _beside(served, trail, family)
    if served.stream is not None:
        beside += _UNHELD
    if len(family.request_ids) > 1:
        beside += [(name, trail.request_id) for name in family.request_ids[1:]]
    return b"x-request-id: %b\r\n%b%b%b" % (
        trail.request_id,
        standing,
        _kind_line(served.content_type),
        _lines(beside) if beside else b"",
    )


def pass_on(served: Served, trail: Trail, exchange: Exchange) -> bool:
    """Send a whole answer without a wait. False if there is none, or it may not go out yet."""
    if served.stream is not None or not exchange.answer(served_lines(served, trail), served.first):
        return False
    trail.served, trail.usage, trail.status = served.candidate, served.usage, 200
    trail.outcome = Outcome.ANSWERED
    return True


def _ids(trail: Trail) -> list[Header]:
    """The request's id, where the caller looks for it."""
    return [(name, trail.request_id) for name in family_of(trail.protocol).request_ids]


def _standing_of(served: Served, trail: Trail) -> tuple[tuple[Header, ...], bytes]:
    candidate, plan = served.candidate, trail.plan
    return _standing(
        trail.canonical_model,
        len(trail.calls or ()),
        trail.generation,
        candidate.provider,
        candidate.model,
        plan is not None and plan.preferred is not candidate,
    )


@lru_cache(maxsize=4096)
def _standing(
    canonical_model: str,
    attempts: int,
    generation: int | None,
    provider: str,
    model: str,
    moved: bool,
) -> tuple[tuple[Header, ...], bytes]:
    """The headers that many answers share, and the same as lines."""
    headers = [
        *_known(canonical_model, attempts, generation),
        (b"x-switchyard-provider", visible(provider)),
        (b"x-switchyard-provider-model", visible(model)),
        (b"x-switchyard-failover", b"true" if moved else b"false"),
    ]
    return tuple(headers), _lines(headers)


def _known(
    canonical_model: str,
    attempts: int | None,
    generation: int | None,
) -> list[Header]:
    found: list[Header] = []
    if canonical_model:
        found.append((b"x-switchyard-model", visible(canonical_model)))
    if attempts is not None:
        found.append((b"x-switchyard-attempts", b"%d" % attempts))
    if generation is not None:
        found.append((b"x-switchyard-generation", b"%d" % generation))
    return found


def _warned(plan: Plan | None, more: tuple[str, ...] = ()) -> list[Header]:
    """What was not as asked. It may be in the caller's words, which no cache keeps."""
    warnings = more if plan is None else (*plan.warnings, *more)
    return [(b"x-switchyard-warning", visible("; ".join(warnings)))] if warnings else []


def _beside(served: Served, trail: Trail, family: Family) -> list[Header]:
    """Warnings, and the limits of the key, if it has any; else those of the provider."""
    plan = trail.plan
    beside: list[Header] = []
    if served.warnings or (plan is not None and plan.warnings):
        beside = _warned(plan, served.warnings)
    if served.dropped:
        beside.append((b"x-switchyard-dropped", visible(",".join(served.dropped))))
    if trail.allowance is None:
        return beside + _reflected(served.headers, family.reflected)
    return beside + trail.allowance.headers() + _reflected(served.headers, family.facts)


def _reflected(headers: Sequence[Header], prefixes: tuple[bytes, ...]) -> list[Header]:
    """What of a provider's headers its callers get to see."""
    reflected: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(prefixes):
            if _is_modest(value):
                reflected.setdefault(name, value)
        elif name in _UPSTREAM_IDS and _is_modest(value):
            reflected[b"x-switchyard-upstream-request-id"] = value
    return list(reflected.items())[:REFLECTED_MAX] if reflected else []


@lru_cache(maxsize=64)
def _kind(content_type: bytes) -> Header:
    return (b"content-type", content_type) if _is_modest(content_type) else JSON


@lru_cache(maxsize=64)
def _kind_line(content_type: bytes) -> bytes:
    return _lines([_kind(content_type)])


def _lines(headers: Sequence[Header]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def _is_modest(value: bytes) -> bool:
    """Whether a provider's header value may go to a caller: others' parsers are stricter."""
    return len(value) <= REFLECTED_BYTES and value.isascii()


def visible(text: str) -> bytes:
    """`text` as a header value: ASCII without control characters, at most TOLD_BYTES of it."""
    shown = text[:TOLD_BYTES].encode("ascii", "backslashreplace").translate(_SPACES)
    if len(shown) <= TOLD_BYTES and len(text) <= TOLD_BYTES:
        return shown
    return shown[: TOLD_BYTES - len(_CUT)] + _CUT


_CUT = b" ..."
_SPACES = bytes(byte if 32 <= byte < 127 else 32 for byte in range(256))


async def send_start(send: Send, status: int, headers: list[Header]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_body(send: Send, body: bytes, *, last: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
