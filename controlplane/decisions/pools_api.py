"""API of model pools as they stand now: who is chosen, and who sits out why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec
from django.urls import re_path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.benches.api import BenchView, bench_view
from controlplane.decisions.local_worker import LocalWorker, worker_of
from providers.managed.models import ManagedSource
from routing.gateway.explain.overview import (
    PoolStatus,
    PoolView,
    RuntimeStatus,
    aliases_by_pool,
    board_of,
    view_pool,
)
from routing.models import CanonicalModel, SwitchKind

if TYPE_CHECKING:
    from rest_framework.request import Request

    from routing.gateway.deciding.snapshot import SwitchSpec

AT_ONCE: Final = 20  # pools between two turns of the worker's requests
WITHIN_S: Final = 30.0


class NoGateway(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = 1  # seconds: Retry-After
    default_detail = "The gateway of this process has no routing snapshot yet."
    default_code = "no_gateway"


class SwitchStanding(serializers.Serializer[Any]):
    """An operator's switch, from /api/routing-state, that takes a candidate or a pool out."""

    kind = serializers.ChoiceField(choices=SwitchKind.choices)
    reason = serializers.CharField(allow_blank=True)
    until = serializers.DateTimeField(allow_null=True)


class CandidateStanding(serializers.Serializer[Any]):
    """`blocked_reason` is a word of the documentation; null where it can be chosen."""

    provider_name = serializers.CharField()
    model = serializers.CharField()
    priority = serializers.IntegerField()
    weight = serializers.IntegerField()
    enabled = serializers.BooleanField()
    runtime_status = serializers.ChoiceField(choices=get_args(RuntimeStatus))
    selectable = serializers.BooleanField()
    blocked_reason = serializers.CharField(allow_null=True)
    bench = BenchView(allow_null=True)
    switch = SwitchStanding(allow_null=True)
    is_config_primary = serializers.BooleanField()
    is_effective_candidate = serializers.BooleanField()


class PoolStanding(serializers.Serializer[Any]):
    """The two candidates are "provider/model"; effective is who would be called now."""

    canonical_model = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    strategy = serializers.CharField()
    managed_source = serializers.ChoiceField(choices=ManagedSource.choices)
    enabled = serializers.BooleanField()
    switch = SwitchStanding(allow_null=True)
    status = serializers.ChoiceField(choices=get_args(PoolStatus))
    status_reason = serializers.CharField()
    config_primary_candidate = serializers.CharField(allow_null=True)
    effective_candidate = serializers.CharField(allow_null=True)
    candidates = CandidateStanding(many=True)


class ModelPoolsView(APIView):
    permission_model = CanonicalModel

    @extend_schema(
        operation_id="model_pools_list",
        parameters=[OpenApiParameter("canonical_model", str, description="Only this one.")],
        responses=PoolStanding(many=True),
    )
    def get(self, request: Request) -> Response:
        """Every pool as the worker that answers would route now. Reading moves nothing."""
        worker = worker_of(request._request)  # noqa: SLF001 - DRF has no other way to the scope
        if worker is None:
            raise NoGateway
        name = request.query_params.get("canonical_model")
        views = pools_of(worker, None if name is None else [name])
        return Response([_shown(view) for view in views])


def pools_of(worker: LocalWorker, names: list[str] | None = None) -> list[PoolView]:
    """The pools of `names`, or all, by name, as `worker` would route now."""
    return worker.run(_look(worker, names), WITHIN_S)


async def _look(worker: LocalWorker, names: list[str] | None) -> list[PoolView]:
    gateway = worker.gateway
    table = gateway.table
    if table is None:
        return []
    aliases = aliases_by_pool(table)
    live, now = gateway.live, gateway.clock()
    board = board_of(live, now)
    found = []
    for number, name in enumerate(sorted(table.pools) if names is None else sorted(set(names)), 1):
        view = view_pool(table, name, aliases, live, now, gateway.foresight(), board)
        if view is not None:
            found.append(view)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)  # requests have their turn
    return found


def _shown(view: PoolView) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.structs.asdict(view)
    shown["candidates"] = [
        {
            **msgspec.structs.asdict(candidate),
            "bench": bench_view(candidate.bench) if candidate.bench is not None else None,
            "switch": _switch(candidate.switch),
        }
        for candidate in view.candidates
    ]
    return shown | {"switch": _switch(view.switch)}


def _switch(switch: SwitchSpec | None) -> dict[str, Any] | None:
    if switch is None:
        return None
    until = None if switch.until is None else datetime.fromtimestamp(switch.until, UTC)
    shown = SwitchStanding({"kind": switch.kind, "reason": switch.reason, "until": until})
    return dict(shown.data)


urlpatterns = [re_path(r"^routing/model-pools/?$", ModelPoolsView.as_view())]
