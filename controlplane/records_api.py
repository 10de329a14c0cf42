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
from rest_framework.pagination import CursorPagination

from controlplane.models import RequestRecord
from providers.managed_api import SlashOrNoneRouter
from routing.gateway.records import AttemptRecord

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework.request import Request
    from rest_framework.response import Response

WITHOUT_PARTS = tuple(
    field.name
    for field in RequestRecord._meta.fields  # noqa: SLF001 - Django's own API
    if field.name not in {"rejected", "attempts"}
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


class Words(serializers.ListField):
    child = serializers.CharField()


class RecordSerializer(serializers.ModelSerializer[RequestRecord]):
    needs = Words()
    planned = Words()

    class Meta:
        model = RequestRecord
        fields = WITHOUT_PARTS
        read_only_fields = fields


class WholeRecordSerializer(RecordSerializer):
    """A record with its attempts, and those who were left out."""

    rejected = RejectedView(many=True)
    attempts = serializers.SerializerMethodField()

    class Meta(RecordSerializer.Meta):
        fields = (*WITHOUT_PARTS, "rejected", "attempts")
        read_only_fields = fields

    @extend_schema_field(AttemptView(many=True))
    def get_attempts(self, row: RequestRecord) -> Any:
        return AttemptView(msgspec.convert(row.attempts, list[AttemptRecord]), many=True).data


def uuid_of(text: str) -> UUID | None:
    """A record's own id; None if `text` is none, and so a request's."""
    try:
        return UUID(text)
    except ValueError:
        return None


def with_id(rows: QuerySet[RequestRecord], text: str) -> QuerySet[RequestRecord]:
    """By the record's own id or the request's, which callers may have used twice."""
    own = uuid_of(text)
    found = rows.filter(pk=own) if own is not None else rows.none()
    return found if found.exists() else rows.filter(request_id=text)


def names_model(text: str) -> Q:
    """Who asked for the canonical model `text`, or was served by the provider/model `text`."""
    provider, _, model = text.partition("/")
    return Q(canonical_model=text) | Q(provider=provider, model=model)


class RecordFilter(django_filters.FilterSet):  # type: ignore[misc] # it carries no types
    id = django_filters.CharFilter(method="by_id", help_text="A record's id or a request's.")
    key = django_filters.CharFilter()
    model = django_filters.CharFilter(
        method="by_model", help_text="A canonical model, or the provider/model that served."
    )
    provider = django_filters.CharFilter()
    outcome = django_filters.ChoiceFilter(choices=[(name, name) for name in RequestRecord.OUTCOMES])
    since = django_filters.IsoDateTimeFilter(method="from_time")
    until = django_filters.IsoDateTimeFilter(method="to_time", help_text="Not included.")

    class Meta:
        model = RequestRecord
        fields: tuple[str, ...] = ()

    def by_id(
        self, rows: QuerySet[RequestRecord], _name: str, text: str
    ) -> QuerySet[RequestRecord]:
        return with_id(rows, text)

    def by_model(
        self, rows: QuerySet[RequestRecord], _name: str, text: str
    ) -> QuerySet[RequestRecord]:
        return rows.filter(names_model(text))

    def from_time(
        self, rows: QuerySet[RequestRecord], _name: str, moment: datetime
    ) -> QuerySet[RequestRecord]:
        return rows.filter(pk__gte=RequestRecord.first_id_at(moment))

    def to_time(
        self, rows: QuerySet[RequestRecord], _name: str, moment: datetime
    ) -> QuerySet[RequestRecord]:
        return rows.filter(pk__lt=RequestRecord.first_id_at(moment))


class NewestFirst(CursorPagination):
    """Pages that stay where they are while records come in, and never count them."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


class RecordViewSet(viewsets.ReadOnlyModelViewSet[RequestRecord]):
    """Requests of the past, newest first."""

    permission_model = RequestRecord
    queryset = RequestRecord.objects.all()
    pagination_class = NewestFirst
    filterset_class = RecordFilter
    lookup_value_regex = "[^/]+"

    def get_serializer_class(self) -> type[RecordSerializer]:
        return RecordSerializer if self.action == "list" else WholeRecordSerializer

    def get_queryset(self) -> QuerySet[RequestRecord]:
        rows = super().get_queryset()
        return rows.defer("rejected", "attempts") if self.action == "list" else rows

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

    def get_object(self) -> RequestRecord:
        row = with_id(self.get_queryset(), self.kwargs["pk"]).first()
        if row is None:
            raise Http404
        self.check_object_permissions(self.request, row)
        return row


router = SlashOrNoneRouter()
router.register("requests", RecordViewSet, basename="request")
urlpatterns = router.urls
