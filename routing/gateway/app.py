"""
The inference plane: one raw ASGI callable. What is no inference request, answers.py answers.

A request is authenticated, parsed, resolved and planned without a wait; then the engine calls
providers, and what they say is passed on. The table is taken once and kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from failover.engine.attempts import Call, Engine, Served
from failover.engine.availability import mended
from failover.engine.benches import Benches
from failover.engine.loads import Loads
from failover.engine.plan import Fitting, Nobody
from providers.adapters.headers import VIA
from providers.protocols import Request
from providers.protocols.slices import LONG
from providers.secrets.encryption import load_keyring
from providers.secrets.redaction import known
from providers.transport import Transport
from routing.gateway.admission import Admission
from routing.gateway.answering import Answering, answer_to, nobody_fits
from routing.gateway.answers import Scrape, answer
from routing.gateway.auth import authenticate, digest_of
from routing.gateway.deciding.binding import bind, holder_of, label_of, owner_of, remember
from routing.gateway.deciding.features import features_of
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.planner import plan
from routing.gateway.deciding.resolution import Unknown
from routing.gateway.deciding.snapshot import Snapshot, Steps, finish
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.table import Table, compiling
from routing.gateway.errors import GatewayError, NoCandidate, not_ready, unknown_model
from routing.gateway.families import GEMINI
from routing.gateway.ingress import (
    PARAMS,
    SIMULATE,
    USUAL_BODY,
    Exchange,
    Hangup,
    Receive,
    Scope,
    Send,
    body_of,
    check_body_headers,
    exchange_of,
    faults_of,
    holds_whole,
    is_unusual,
    patience_s,
    wants_strict,
)
from routing.gateway.intake import SLOW_TO_TELL, SMALL, Intake, begin, once_heard
from routing.gateway.keylimits.allowances import KeyLimits
from routing.gateway.limits import GatewayLimits
from routing.gateway.link.hops import hop_of, hops_of
from routing.gateway.listing import hold_alternatives, resolve_for
from routing.gateway.records.record import Outcome
from routing.gateway.records.recorder import Recorder
from routing.gateway.records.spool import SpoolWriter
from routing.gateway.records.trail import Trail
from routing.gateway.records.underway import RUN_DIR, Underway
from routing.gateway.replies import early_headers, pass_on
from routing.gateway.routes import ROUTES, Route, query_key
from routing.gateway.telemetry.failure_log import FailureLog
from routing.gateway.telemetry.metrics import Meter
from routing.gateway.telemetry.promtext import KEY_LIMITED
from routing.gateway.visits import Visit, Visits


class Gateway:
    """
    The ASGI application of one worker.

    `load` swaps the routing table. `guests` are keys by digest that pages of this process made for
    one request each. `status` is what /readyz adds to what it knows itself; `draining` makes it say
    no. `workers` is how many the host has.
    """

    def __init__(
        self,
        *,
        decrypt: Callable[[str], str],
        environ: Mapping[str, str],
        master: bytes | None = None,
        transport: Transport | None = None,
        rng: Random | None = None,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
        spool: SpoolWriter | None = None,
        key_limits: KeyLimits | None = None,
        limits: GatewayLimits | None = None,
        worker: str = "1",
        workers: int = 1,
        hop: bytes = b"",
        underway: Underway | None = None,
    ) -> None:
        self.hop, self.worker, self.workers = hop, worker, workers
        self.status: dict[str, Any] = {}
        self.draining = False
        self.table: Table | None = None
        self._decrypt, self._environ = decrypt, environ
        self.master = master
        self.guests: dict[bytes, Key] = {}
        self._rng = rng or Random()
        self.clock, self._wall = clock, wall
        self._transport = transport or Transport()
        self.benches = Benches(rng=self._rng, wall=wall)
        self.live = LiveState(benches=self.benches, loads=Loads(workers))
        self.visits = Visits()
        limits = limits or GatewayLimits()
        self.admission = Admission(limits)
        self.recorder = Recorder(spool=spool, worker=worker, wall=wall, underway=underway)
        self.meter = Meter(lambda: self.table)
        self.recorder.observers += [self.meter.observe, FailureLog().observe]
        self.key_limits = key_limits or KeyLimits()
        self.key_limits.refused = lambda limit: self.meter.add(KEY_LIMITED, limit)
        self.intake = Intake(limits, self.admission, self.key_limits, self.meter)
        self.scrape: Scrape | None = None
        self._answering = Answering(
            key_limits=self.key_limits,
            admission=self.admission,
            benches=self.benches,
            clock=clock,
            room=self.recorder.room,
        )
        self.engine = Engine(
            transport=self._transport,
            benches=self.benches,
            clock=clock,
            wall=wall,
            sleep=asyncio.sleep,
            rng=self._rng,
            loads=self.live.loads,
        )

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        data_dir: Path,
        clock: Callable[[], float],
        limits: GatewayLimits | None = None,
        worker: str = "1",
        workers: int = 1,
    ) -> Gateway:
        """`clock` is the event loop's: deadlines that the transport gets are its."""
        master = environ.get("SWITCHYARD_MASTER_KEY")
        return cls(
            decrypt=load_keyring(environ, data_dir).decrypt,
            environ=environ,
            master=digest_of(master.encode()) if master else None,
            clock=clock,
            spool=SpoolWriter.from_environment(environ, data_dir, worker=worker),
            key_limits=KeyLimits.from_environment(environ, data_dir, workers=workers),
            limits=limits,
            worker=worker,
            workers=workers,
            hop=hop_of(data_dir),
            underway=Underway(data_dir / RUN_DIR, worker=worker),
        )

    def load(self, snapshot: Snapshot) -> None:
        """Route by `snapshot` from now on. Raises ValueError and keeps the old table."""
        finish(self.loading(snapshot))

    def loading(self, snapshot: Snapshot) -> Steps[None]:
        """load() in steps, between which requests may run."""
        decrypt, environ = self._decrypt, self._environ
        table = yield from compiling(snapshot, decrypt=decrypt, environ=environ, hop=self.hop)
        yield
        before, self.table = self.table, table
        known.digests = table.keys
        self.live.prune(table)
        if before is not None:
            for provider, labels in mended(before.upstreams, table.upstreams):
                self.benches.release_mended(provider, labels, self.clock())

    def foresight(self) -> Random:
        """Dice that fall as those of the next request will, and leave those alone."""
        dice = Random()
        dice.setstate(self._rng.getstate())
        return dice

    async def startup(self) -> None:
        self.visits.start()
        self.recorder.start()
        self.key_limits.start(self.status)

    def cut(self, error: GatewayError) -> None:
        """End every request with `error`; a stream that runs gets it as its last event."""
        self.admission.refuse_all()
        self.visits.cut(error)

    async def shutdown(self) -> None:
        await self.visits.stop()
        await self.recorder.aclose()
        await self.key_limits.aclose()
        await self._transport.aclose()
        self.intake.close()

    def table_in_use(self) -> Table:
        """Raises GatewayError where there is none yet."""
        if self.table is None:
            raise not_ready()
        return self.table

    def authenticate(
        self, table: Table, headers: Mapping[bytes, bytes], in_query: bytes = b""
    ) -> Key:
        """The caller's key. Raises Refused."""
        return authenticate(
            headers,
            table.keys,
            master=self.master,
            now=self._wall(),
            guests=self.guests,
            in_query=in_query,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        route = ROUTES.find(scope["path"]) if scope["method"] == "POST" else None
        return self._infer(route, scope, receive, send) if route else answer(self, scope, send)

    async def _infer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """The way of one request: let in, read, decided, called, answered; and one way out."""
        exchange = exchange_of(scope)
        headers = dict(scope["headers"]) if exchange is None else exchange.fields
        protocol, trail = route.protocol, begin(route, headers)
        visit: Visit | None = None
        admission, intake = self.admission, self.intake
        is_admitted = False
        try:
            query = scope.get("query_string")
            in_query = query_key(query) if query and route.family is GEMINI else b""
            table, key = self._let_in(trail, headers, in_query)
            faults = faults_of(headers, key, table.providers) if SIMULATE in headers else None
            check_body_headers(headers)
            hops = hops_of(scope["headers"], self.hop) if VIA in headers else ()
            body = exchange.whole_body() if exchange is not None else None
            if body is None:
                body = await intake.read(receive, headers, key, trail)
            elif len(body) > SMALL:
                intake.hold(key, trail, len(body))
            if admission.in_flight < admission.limit:
                admission.in_flight += 1
            else:
                await admission.queue()
            is_admitted = True
            task = exchange.task if exchange is not None else asyncio.current_task()
            visit = Visit(receive, send, self.clock(), task)
            self.visits.begin(visit)
            if len(body) > LONG:
                request = await intake.parse_long(route, body, route.asked(query))
            else:
                request = protocol.parse(body_of(route, body), route.asked(query))
            visit.request = request
            trail.note(request)
            if key.is_limited:
                await intake.count_against(key, trail, trail.wanted_tokens(), table)
            fitting = Fitting(request, is_slow=True) if len(body) > SLOW_TO_TELL else None
            try:
                if fitting is not None:
                    decide = partial(self._decided, request, table, headers, trail, visit, fitting)
                    call = await intake.decided(decide, fitting, body)
                else:
                    call = self._decided(request, table, headers, trail, visit)
            except NoCandidate as error:
                decide = partial(self._decided, request, table, headers, trail, visit, fitting)
                call = await once_heard(error, decide)
            call.headers, call.faults = protocol.forwarded(scope["headers"]), faults
            call.apart, call.caller = intake.apart(body), key.spec.name
            if call.headers or len(body) > USUAL_BODY:
                call.is_unusual = is_unusual(call.headers, body)
            if hops:
                call.headers, call.hops = [*call.headers, *hops], hops
            if table.captures:
                exchange = self._answering.capture(table, trail, visit, body, exchange)
            result = await self.engine.run(call)
            if not isinstance(result, Served):
                await self._answering.fail(result, trail, visit)
            elif not self._passed_on(result, trail, visit, exchange, is_real=faults is None):
                await self._answering.serve(result, trail, visit, exchange)
        except Hangup:
            pass  # nobody is there to be told
        except asyncio.CancelledError:
            if visit is None or not visit.gone:
                trail.outcome = Outcome.INTERRUPTED
            if visit is None or not (visit.gone or visit.cut):
                raise
            if visit.cut is not None and not (visit.opened and visit.hold_at is None):
                await self._answering.refuse(visit.cut, protocol, trail, send, visit)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is answered
            await self._answering.refuse(answer_to(error, trail), protocol, trail, send, visit)
        finally:
            self._leave(trail, visit, is_admitted=is_admitted)

    def _let_in(
        self, trail: Trail, headers: Mapping[bytes, bytes], in_query: bytes
    ) -> tuple[Table, Key]:
        """The table that the request keeps, and its key. Raises GatewayError."""
        table = self.table_in_use()
        trail.generation = table.generation
        trail.key = key = self.authenticate(table, headers, in_query)
        return table, key

    def _decided(
        self,
        request: Request,
        table: Table,
        headers: Mapping[bytes, bytes],
        trail: Trail,
        visit: Visit,
        fitting: Fitting | None = None,
    ) -> Call:
        """What `request` means and who is to be tried. Raises GatewayError where nobody may be."""
        key = trail.key
        assert key is not None  # noqa: S101  # it has been let in
        resolution = resolve_for(key, table, request.model)
        if isinstance(resolution, Unknown):
            raise unknown_model(resolution)
        trail.resolution, trail.canonical_model = resolution, resolution.canonical_model
        if key.pattern is not None:
            hold_alternatives(key, resolution, request.alternatives)
        strict = wants_strict(headers) if PARAMS in headers else None
        trail.features = features = features_of(request, headers, key, resolution, strict=strict)
        fitting = fitting or Fitting(request)
        fitting.is_strict = features.strict_params
        trail.misfits = fitting.misfits
        now = self.clock()
        planned = plan(table, resolution, features, self.live, now, self._rng, fitting)
        if request.state_id:
            planned = bind(planned, resolution, request, owner_of(key, table), self.live, now)
        if isinstance(planned, Nobody):
            raise nobody_fits(planned, fitting)
        trail.plan, policy = planned, planned.policy
        self.recorder.underway.note(trail, key, resolution)
        if request.stream:
            visit.early_headers = early_headers(trail, request.stream_type)
            visit.hold_at = now + policy.hold_s
        trail.calls = []
        return Call(
            request=request,
            fitting=fitting,
            plan=planned,
            deadline=now + patience_s(headers, policy.deadline_s),
            request_id=trail.request_id.decode(),
            session=features.session,
            attempts=trail.calls,
            credential="" if planned.inputs is None else label_of(planned),
            holds_whole=holds_whole(headers, policy.gate) and request.stream,
        )

    def _passed_on(
        self,
        served: Served,
        trail: Trail,
        visit: Visit,
        exchange: Exchange | None,
        *,
        is_real: bool,
    ) -> bool:
        """Note who served, and send a whole answer without a wait where that can be."""
        if trail.turn:
            self.intake.let_next(trail)
        if is_real and trail.plan is not None and trail.plan.affinity is not None:
            self.live.served(trail.plan, served.candidate, self.clock())
        if served.state_id and is_real and trail.key is not None and visit.request is not None:
            owner, now = owner_of(trail.key, self.table_in_use()), self.clock()
            holder = holder_of(served.candidate, served.credential)
            remember(self.live.pins, owner, holder, now, served.state_id, visit.request.state_id)
        if trail.allowance is not None and served.stream is None:
            trail.served = served.candidate
            self._answering.settle(trail, served)
        return exchange is not None and not visit.opened and pass_on(served, trail, exchange)

    def _leave(self, trail: Trail, visit: Visit | None, *, is_admitted: bool) -> None:
        """Whatever became of the request: its record, and its places for others."""
        if visit is not None:
            self.visits.end(visit)
            if trail.status is None and visit.opened:
                trail.status = 200
        trail.ended_at = time.monotonic()
        if trail.allowance is not None:
            self._answering.settle(trail)
        if trail.held_bytes:
            self.intake.release(trail)
        self.recorder.add(trail)
        if is_admitted and visit is not None and visit.is_stream:
            self.admission.end_stream()
        elif is_admitted:
            self.admission.leave()
