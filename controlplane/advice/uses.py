"""What would lose an object that is deleted: rules, keys, and the last day's traffic."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.models import ApiKey, Team
from controlplane.records.models import CallMinute, RequestMinute
from controlplane.records.reading import totals
from failover.models import FailoverRule
from providers.managed.models import ManagedModel
from providers.models import Provider
from routing.models import Alias, CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import Model
    from rest_framework.request import Request

NAMED: Final = 5
DAY: Final = timedelta(days=1)
KINDS: Final[dict[str, type[Model]]] = {
    "pool": CanonicalModel,
    "alias": Alias,
    "provider": Provider,
    "key": ApiKey,
    "team": Team,
}


def uses_of(row: Model) -> list[str]:
    """As sentences; empty where nothing hangs on `row`, or another row of its name counts."""
    if isinstance(row, ManagedModel) and row.has_twin:
        return []
    return list(_uses(row))


def _uses(row: Model) -> Iterator[str]:
    if isinstance(row, CanonicalModel | Alias):
        yield from _named(row.name.__eq__)
        if isinstance(row, CanonicalModel):
            yield from _traffic(RequestMinute, "requests", "key", pool=row.name)
    elif isinstance(row, Provider):
        start = f"{row.name}/"
        yield from _named(lambda name: name.startswith(start))
        yield from _traffic(CallMinute, "calls", "pool", provider=row.name)
    elif isinstance(row, ApiKey):
        yield from _traffic(RequestMinute, "requests", "pool", key=row.name)
    elif isinstance(row, Team):
        keys = sorted(set(ApiKey.objects.filter(team=row).values_list("name", flat=True)))
        if keys:
            yield f"Keys that would be of no team, and go on: {_listed(keys)}."
            yield from _traffic(RequestMinute, "requests", "key", key=keys)


def _named(is_meant: Callable[[str], bool]) -> Iterator[str]:
    """Rules and keys that have a name which is meant."""
    rules = FailoverRule.effective().values_list("primary_model", "fallback_models")
    found = list(rules.order_by("primary_model"))
    if primaries := [primary for primary, _ in found if is_meant(primary)]:
        yield f"Failover rules that nobody could follow any more: those for {_listed(primaries)}."
    if losers := [primary for primary, names in found if any(map(is_meant, names))]:
        yield f"Failover rules that would lose a fallback: those for {_listed(losers)}."
    allowed = ApiKey.effective().exclude(models=[]).order_by("name").values_list("name", "models")
    if keys := [key for key, names in allowed if any(map(is_meant, names))]:
        yield f"Keys that may use it by name: {_listed(keys)}."


def _traffic(
    of: type[RequestMinute | CallMinute], what: str, by: str, **only: Any
) -> Iterator[str]:
    now = timezone.now()
    sums: dict[Any, Any] = totals(of, now - DAY, now, by=[by], **only)
    counts = {str(name): getattr(found, what) for (name,), found in sums.items()}
    total = sum(counts.values())
    if not total:
        return
    most = sorted(counts, key=lambda name: (-counts[name], name))
    words = _listed(f"{name or 'without one'} {counts[name]:,}" for name in most)
    yield f"In the last 24 hours {total:,} {what}, by {by}: {words}."


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


class UsesAsked(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=[*KINDS])
    name = serializers.CharField()


class Uses(serializers.Serializer[Any]):
    uses = serializers.ListField(child=serializers.CharField())


class UsesView(APIView):
    @property
    def permission_names(self) -> tuple[str, ...]:
        """Who may delete it is told what that would do."""
        model = KINDS.get(self.request.query_params.get("kind", ""), CanonicalModel)
        return (f"{model._meta.app_label}.delete_{model._meta.model_name}",)  # noqa: SLF001 - Django's own API

    @extend_schema(
        operation_id="uses_list",
        parameters=[
            OpenApiParameter("kind", str, required=True, enum=[*KINDS]),
            OpenApiParameter("name", str, required=True),
        ],
        responses=Uses,
    )
    def get(self, request: Request) -> Response:
        """
        What would lose an object if it were deleted, and why it cannot be.

        The answer to its DELETE says the first, too.
        """
        asked = UsesAsked(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        model = KINDS[asked.validated_data["kind"]]
        rows = model._default_manager.filter(name=asked.validated_data["name"])  # noqa: SLF001 - Django's own API
        row = rows.order_by("pk").last()
        if row is None:
            raise Http404
        blocking = row.deletion_problems() if isinstance(row, ManagedModel) else []
        return Response({"uses": [*blocking, *uses_of(row)]})


urlpatterns = [re_path(r"^uses/?$", UsesView.as_view())]
