"""
What the planner of this process says to a question of a person, and to a request of the past.

The answers are those of the worker that serves the page: its table, its benches, its counters.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from controlplane.decisions.trying import GUEST_PREFIX
from controlplane.publishing.snapshots import NotKept, snapshot_of
from failover.engine.plan import Fitting
from providers.errors import ProtocolError
from providers.listed import flags
from routing.gateway.auth import digest_of
from routing.gateway.deciding.affinity import SESSION_HEADER
from routing.gateway.deciding.features import features_of
from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.resolution import Resolution, Unknown
from routing.gateway.deciding.resolver import resolve
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.deciding.table import Table, compile_table
from routing.gateway.errors import unknown_model
from routing.gateway.explain.explaining import (
    Explanation,
    explain,
    explain_again,
)
from routing.gateway.explain.replay import features_then
from routing.gateway.listing import resolve_for
from routing.gateway.routes import ROUTES, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.decisions.local_worker import LocalWorker
    from controlplane.records.models import RequestRecord
    from routing.gateway.deciding.features import Features
    from routing.gateway.records.record import DecisionRecord

ENDPOINTS: Final = ROUTES.endpoints


class Unanswerable(Exception):
    """A question with a mistake: which field, and what is wrong with its value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    A request that is not made. `key` is a key's name, or a key; None may use everything.

    Without `body` a short request is supposed.
    """

    model: str
    endpoint: str = ENDPOINTS[0]
    key: str | None = None
    body: Mapping[str, Any] | None = None
    session: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`key` is the name of the key that it was decided for; None: one that may use everything."""

    explanation: Explanation
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """
    A recorded decision, made again from its record.

    `explanation` is None where `problem` says why it cannot be; `is_same` whether it comes to
    what the record says.
    """

    explanation: Explanation | None
    is_same: bool | None
    problem: str = ""


def decide(worker: LocalWorker, question: Question) -> Decision:
    """What the next request of that kind would meet at `worker`. Raises Unanswerable."""
    return _flagged(worker.read(lambda: _decide(worker, question)))


def decide_now(worker: LocalWorker, record: RequestRecord) -> Decision:
    """What a request like `record` would meet at `worker` now. Raises Unanswerable."""

    def look() -> Decision:
        table = _table(worker)
        try:
            key = _key_of(record, table)
        except LookupError as error:
            raise Unanswerable("key", str(error)) from error
        resolution = _resolve(table, record.requested_model, key)
        features = features_then(record.told, key)
        return _explained(worker, table, resolution, features)

    return _flagged(worker.read(look))


def _flagged(decision: Decision) -> Decision:
    """With what is odd about each candidate, as far as the providers' own lists say."""
    told = decision.explanation
    both = (told.candidates, told.rejected)
    odd = flags({(one.provider_name, one.model) for group in both for one in group})
    if not odd:
        return decision
    candidates, rejected = (
        tuple(
            msgspec.structs.replace(one, flag=odd.get((one.provider_name, one.model), ""))
            for one in group
        )
        for group in both
    )
    marked = msgspec.structs.replace(told, candidates=candidates, rejected=rejected)
    return dataclasses.replace(decision, explanation=marked)


def decide_again(record: RequestRecord) -> Then:
    """The decision of `record`, made again with the snapshot and the inputs that it had."""
    told = record.told
    if record.generation is None or not told.decision.resolved_by:
        return Then(
            explanation=None,
            is_same=None,
            problem="The request ended before anything was decided.",
        )
    try:
        snapshot = snapshot_of(record.generation)
        # A decision needs no secret, only that there is one: none is decrypted for it.
        table = compile_table(snapshot, decrypt=lambda _token: "not asked for", environ={})
        key = _key_of(record, table)
        resolution = resolve(table, record.requested_model)
        if isinstance(resolution, Unknown):
            problem = unknown_model(resolution).message
            return Then(explanation=None, is_same=None, problem=problem)
        explanation = explain_again(table, resolution, features_then(told, key), told.decision)
    except (NotKept, ValueError, LookupError) as error:
        return Then(explanation=None, is_same=None, problem=str(error))
    is_same = is_as_recorded(explanation, told.decision)
    problem = "" if is_same else "Made again, the decision comes out differently from the record's."
    return Then(explanation=explanation, is_same=is_same, problem=problem)


def is_as_recorded(explanation: Explanation, decision: DecisionRecord) -> bool:
    """Whether both try the same candidates in one order, and leave out the same for one reason."""
    rejected = {(f"{e.provider_name}/{e.model}", e.reason) for e in explanation.rejected}
    return explanation.planned == decision.planned and rejected == {
        (e.candidate, e.reason) for e in decision.rejected
    }


def route_of(endpoint: str) -> Route:
    """The endpoint of a path, or of a protocol's name. Raises Unanswerable."""
    if (route := ROUTES.find(endpoint) or ROUTES.named(endpoint)) is not None:
        return route
    raise Unanswerable("endpoint", f"{endpoint[:100]!r} is none; allowed are {_or(ENDPOINTS)}")


def _decide(worker: LocalWorker, question: Question) -> Decision:
    table = _table(worker)
    route = route_of(question.endpoint)
    protocol = route.protocol
    key = MASTER if question.key is None else _key(table, question.key)
    body = {**(protocol.example if question.body is None else question.body)}
    if not protocol.verbs:
        body["model"] = question.model
    try:
        request = protocol.parse(json.dumps(body).encode(), route.naming(question.model))
    except ProtocolError as error:
        field = "model" if error.param == "model" else "body"
        raise Unanswerable(field, error.message) from error
    resolution = _resolve(table, request.model, key)
    headers = {}
    if question.session:
        headers[SESSION_HEADER] = question.session.encode("latin-1", "replace")
    if question.provider:
        headers[b"x-switchyard-provider"] = question.provider.encode("latin-1", "replace")
    features = features_of(request, headers, key, resolution)
    fitting = Fitting(request, is_strict=features.strict_params)
    return _explained(worker, table, resolution, features, fitting)


def _explained(
    worker: LocalWorker,
    table: Table,
    resolution: Resolution,
    features: Features,
    fitting: Fitting | None = None,
) -> Decision:
    gateway = worker.gateway
    now = gateway.clock()
    board = {entry.key: entry for entry in gateway.live.benches.entries(now)}
    explanation = explain(
        table, resolution, features, gateway.live, now, gateway.foresight(), board, fitting
    )
    key = features.key
    return Decision(explanation=explanation, key=None if key is MASTER else key.spec.name)


def _table(worker: LocalWorker) -> Table:
    table = worker.gateway.table
    if table is None:
        raise Unanswerable("model", "the gateway has no routing snapshot yet")
    return table


def _resolve(table: Table, model: str, key: Key) -> Resolution:
    found = resolve_for(key, table, model)
    if isinstance(found, Unknown):
        raise Unanswerable("model", unknown_model(found).message)
    return found


def _key(table: Table, asked: str) -> Key:
    """The key of that name, or that key itself. What was asked is not repeated: it may be one."""
    if asked == MASTER.spec.name:
        return MASTER
    digest = digest_of(asked.encode())
    for key in table.keys.values():
        spec = key.spec
        if spec.name != asked and not hmac.compare_digest(spec.digest, digest):
            continue
        if spec.expires_at is not None and time.time() >= spec.expires_at:
            raise Unanswerable("key", f"the key {spec.name} has expired: its requests are refused")
        if "inference" not in spec.scopes:
            raise Unanswerable("key", f"the key {spec.name} may not be used for inference")
        return key
    raise Unanswerable(
        "key", "no key has this name, or it is disabled; allowed are the names of enabled keys"
    )


def _key_of(record: RequestRecord, table: Table) -> Key:
    """The key that the request of `record` came with. Raises LookupError if `table` has none."""
    for key in table.keys.values():
        if key.spec.name == record.key:
            return key
    if record.key == MASTER.spec.name or record.key.startswith(GUEST_PREFIX):
        return Key(KeySpec(name=record.key, digest=b""), None)
    raise LookupError(f"there is no key {record.key} in generation {table.generation}")


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
