"""API of request records: read-only, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import django_filters
import msgspec
from django.db.models import Q
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from controlplane.records.looking import look
from controlplane.records.models import Captured, RequestRecord
from providers.managed.api import SlashOrNoneRouter
from providers.managed.filters import FlagFilter, StrictFilterSet
from providers.managed.pages import Pages
from routing.gateway.records.record import OWN_PREFIX, Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from routing.gateway.records.record import DecisionRecord

LISTED = (
    "id",
    "request_id",
    "started_at",
    *[
        field.name
        for field in RequestRecord._meta.fields  # noqa: SLF001 - Django's own API
        if field.name not in {"id", "request_id", "detail"}
    ],
)


class RejectedView(serializers.Serializer[Any]):
    """A candidate that was not tried."""

    candidate = serializers.CharField()
    reason = serializers.CharField()


class AttemptView(serializers.Serializer[Any]):
    """One call. Times are milliseconds since the request came in; null: it never got so far."""

    provider = serializers.CharField()
    model = serializers.CharField()
    credential = serializers.CharField(allow_blank=True)
    started_ms = serializers.FloatField()
    headers_ms = serializers.FloatField(allow_null=True)
    content_ms = serializers.FloatField(allow_null=True)
    ended_ms = serializers.FloatField(allow_null=True)
    status = serializers.IntegerField(allow_null=True)
    fault = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    simulated = serializers.CharField(
        allow_blank=True, help_text="The fault that the provider pretended, if one was asked for."
    )
    is_hedge = serializers.BooleanField(
        help_text="The call began beside another that had no content yet."
    )
    dropped = serializers.ListField(
        child=serializers.CharField(),
        help_text="Members of the request that the provider could not take.",
    )


class Words(serializers.ListField):
    child = serializers.CharField()


class FeaturesView(serializers.Serializer[Any]):
    """What the request asked of routing."""

    needs = Words()
    estimated_input_tokens = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    preferred_provider = serializers.CharField(allow_blank=True)
    no_failover = serializers.BooleanField()
    strict_params = serializers.BooleanField()
    session = serializers.CharField(
        allow_blank=True, help_text="The affinity key's hash; empty without one."
    )


class DecisionView(serializers.Serializer[Any]):
    """Who was to be tried, and why not the others."""

    resolved_by = serializers.CharField(allow_blank=True)
    strategy = serializers.CharField(allow_blank=True)
    config_primary = serializers.CharField(
        allow_blank=True, help_text="Who comes first by configuration alone."
    )
    effective = serializers.CharField(allow_blank=True, help_text="Who came first at that moment.")
    planned = Words(help_text="In the order of trying.")
    rejected = RejectedView(many=True)
    last_standing = serializers.BooleanField(
        help_text="Everybody was benched, and was tried because nobody else was left."
    )
    inputs = serializers.SerializerMethodField(
        help_text="What the decision read besides the snapshot; null if it read nothing."
    )
    pin = serializers.CharField(
        allow_blank=True, help_text="The candidate that the session was pinned to."
    )

    @extend_schema_field({"type": "object", "nullable": True})
    def get_inputs(self, decision: DecisionRecord) -> Any:
        return msgspec.to_builtins(decision.inputs)


class RecordSerializer(serializers.ModelSerializer[RequestRecord]):
    request_id = serializers.CharField(source="public_id")
    started_at = serializers.DateTimeField()

    class Meta:
        model = RequestRecord
        fields: tuple[str, ...] = LISTED
        read_only_fields = fields


class WholeRecordSerializer(RecordSerializer):
    """A record with what was decided, and every attempt."""

    worker = serializers.CharField(source="told.worker", allow_blank=True)
    endpoint = serializers.CharField(source="told.endpoint", allow_blank=True)
    protocol = serializers.CharField(source="told.protocol", allow_blank=True)
    user_path = serializers.CharField(source="told.user_path", allow_blank=True)
    fallback_target = serializers.CharField(
        source="told.fallback_target",
        allow_blank=True,
        help_text="The failover rule's name for who served.",
    )
    features = FeaturesView(source="told.features")
    decision = DecisionView(source="told.decision")
    attempts = AttemptView(source="told.attempts", many=True)
    skipped = RejectedView(
        source="told.skipped",
        many=True,
        help_text="Whose turn came, but who could not take the request.",
    )
    is_estimated = serializers.BooleanField(
        source="told.is_estimated", help_text="The gateway answered by itself."
    )

    class Meta(RecordSerializer.Meta):
        fields = (
            *LISTED,
            "worker",
            "endpoint",
            "protocol",
            "user_path",
            "fallback_target",
            "features",
            "decision",
            "attempts",
            "skipped",
            "is_estimated",
        )
        read_only_fields = fields


class CapturedView(serializers.ModelSerializer[Captured]):
    """Bodies as they came and went, without encoded data and secrets; empty: not captured."""

    class Meta:
        model = Captured
        fields = ("record", "key", "pool", "request", "response", "is_cut", "expires_at")
        read_only_fields = fields
        extra_kwargs = {"is_cut": {"help_text": "A body was too long, and lacks its end."}}


def uuid_of(text: str) -> UUID | None:
    """A record's own id; None if `text` is none, and so a request's."""
    try:
        return UUID(text)
    except ValueError:
        return None


def with_id(rows: QuerySet[RequestRecord], text: str) -> QuerySet[RequestRecord]:
    """By the record's own id or the request's, which callers may have used twice."""
    # The second condition is the index's.
    given = Q(request_id=text, request_id__gt="")
    if text.startswith(OWN_PREFIX):
        own = uuid_of(text.removeprefix(OWN_PREFIX))
        return rows.filter(given if own is None else Q(pk=own, request_id="") | given)
    own = uuid_of(text)
    found = rows.filter(pk=own) if own is not None else rows.none()
    return found if found.exists() else rows.filter(given)


def of_outcome(rows: QuerySet[RequestRecord], outcome: str) -> QuerySet[RequestRecord]:
    """Those that ended so."""
    found = rows.filter(outcome=outcome)
    if outcome == Outcome.ANSWERED:
        return found
    return found.exclude(outcome=Outcome.ANSWERED.value)  # the index's condition


def names_model(text: str) -> Q:
    """Who asked for the canonical model `text`, or was served by the provider/model `text`."""
    provider, slash, model = text.partition("/")
    canonical = Q(canonical_model=text)
    return canonical | Q(provider=provider, model=model) if slash else canonical


class RecordFilter(StrictFilterSet):
    id = django_filters.CharFilter(method="by_id", help_text="A record's id or a request's.")
    key = django_filters.CharFilter()
    team = django_filters.CharFilter(method="by_team")
    model = django_filters.CharFilter(
        method="by_model", help_text="A canonical model, or the provider/model that served."
    )
    provider = django_filters.CharFilter()
    outcome = django_filters.ChoiceFilter(
        method="by_outcome", choices=[(name, name) for name in RequestRecord.OUTCOMES]
    )
    failover = FlagFilter(
        help_text="Whether another served than the choice made without benches and health."
    )
    since = django_filters.IsoDateTimeFilter(method="from_time")
    until = django_filters.IsoDateTimeFilter(method="to_time", help_text="Not included.")

    class Meta:
        model = RequestRecord
        fields: tuple[str, ...] = ()

    def by_id(
        self, rows: QuerySet[RequestRecord], _name: str, text: str
    ) -> QuerySet[RequestRecord]:
        return with_id(rows, text)

    def by_team(
        self, rows: QuerySet[RequestRecord], _name: str, text: str
    ) -> QuerySet[RequestRecord]:
        return rows.filter(team=text).exclude(team="")  # the index's condition

    def by_model(
        self, rows: QuerySet[RequestRecord], _name: str, text: str
    ) -> QuerySet[RequestRecord]:
        return rows.filter(names_model(text))

    def by_outcome(
        self, rows: QuerySet[RequestRecord], _name: str, outcome: str
    ) -> QuerySet[RequestRecord]:
        return of_outcome(rows, outcome)

    def from_time(
        self, rows: QuerySet[RequestRecord], _name: str, moment: datetime
    ) -> QuerySet[RequestRecord]:
        return rows.filter(pk__gte=RequestRecord.first_id_at(moment))

    def to_time(
        self, rows: QuerySet[RequestRecord], _name: str, moment: datetime
    ) -> QuerySet[RequestRecord]:
        return rows.filter(pk__lt=RequestRecord.first_id_at(moment))


class NewestFirst(Pages):
    ordering = "-id"

    def check_position(self, position: str) -> None:
        UUID(position)


class RecordViewSet(viewsets.ReadOnlyModelViewSet[RequestRecord]):
    """Requests of the past, newest first."""

    permission_model = RequestRecord
    queryset = RequestRecord.objects.all()
    pagination_class = NewestFirst
    filterset_class = RecordFilter
    lookup_value_regex = "[^/]+"

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        if self.action == "captured":
            return CapturedView
        return RecordSerializer if self.action == "list" else WholeRecordSerializer

    def get_queryset(self) -> QuerySet[RequestRecord]:
        rows = super().get_queryset()
        return rows.defer("detail") if self.action == "list" else rows

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "id",
                OpenApiTypes.STR,
                OpenApiParameter.PATH,
                description="A record's id, or a request's: then its newest record.",
            )
        ]
    )
    def retrieve(self, request: Request, *arguments: Any, **options: Any) -> Response:
        return super().retrieve(request, *arguments, **options)

    @extend_schema(
        parameters=[
            OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="As above.")
        ],
        responses={200: CapturedView},
    )
    @action(
        detail=True,
        permission_model=Captured,
        serializer_class=CapturedView,
        filterset_class=None,
        pagination_class=None,
    )
    def captured(self, request: Request, pk: str | None = None) -> Response:
        """The prompt and the answer, where they were captured. Who asks is noted."""
        del pk
        found = look(self.get_object().pk, request._request, "API")  # noqa: SLF001 - as Django has it
        if found is None:
            raise Http404
        return Response(CapturedView(found).data, headers={"Cache-Control": "no-store"})

    def get_object(self) -> RequestRecord:
        row = with_id(self.get_queryset(), self.kwargs["pk"]).first()
        if row is None:
            raise Http404
        self.check_object_permissions(self.request, row)
        return row


router = SlashOrNoneRouter()
router.register("requests", RecordViewSet, basename="request")
urlpatterns = router.urls
