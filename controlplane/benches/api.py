"""API of benches: what this host's workers know, and an operator's word to them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.authentication import KeyHolder
from controlplane.edits.poke import hub_request
from failover.engine.benches import BenchEntry
from failover.models import Bench
from providers.managed.api import NumberField, OrderSerializer
from routing.gateway.link.channel import (
    BenchByHand,
    Benched,
    BenchesChanged,
    Release,
    Released,
    Sitting,
    ToClient,
    ToHub,
)
from routing.names import unknown_subject

_Told = TypeVar("_Told", bound=ToClient)

LONGEST = timedelta(days=366)


class NoControlChild(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = 1  # seconds: Retry-After
    default_detail = "The control process of this host does not answer; benches cannot be changed."
    default_code = "no_control_process"


class Subject(serializers.CharField):
    """ "provider/model", or "provider/*" for all models of a provider."""

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        if problem := subject_problem(text):
            raise serializers.ValidationError(problem)
        return text


def subject_problem(text: str) -> str:
    """Why `text` names nobody who could be benched; "" if it does."""
    provider, slash, model = text.partition("/")
    if provider and slash and model:
        return ""
    return f'{text[:100]!r} is not allowed: write "provider/model" or "provider/*".'


class BenchView(serializers.Serializer[Any]):
    """One bench. `status` and `sample_error` are what the provider last said."""

    model = serializers.CharField()
    credential = serializers.CharField(allow_null=True)
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    reason = serializers.CharField()
    status = serializers.IntegerField(allow_null=True)
    sample_error = serializers.CharField(allow_blank=True)
    request_id = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField()
    manual = serializers.BooleanField()


class BenchOrder(OrderSerializer):
    """Exactly one of `for_s` and `until`."""

    model = Subject()
    credential = serializers.CharField(
        required=False, allow_null=True, max_length=200, help_text="Only this credential of it."
    )
    for_s = NumberField(required=False, min_value=1, help_text="Seconds from now.")
    until = serializers.DateTimeField(required=False)
    reason = serializers.CharField(max_length=500)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("for_s" in attrs) == ("until" in attrs):
            raise serializers.ValidationError({"for_s": ["Give exactly one of for_s and until."]})
        now = timezone.now()
        if "for_s" in attrs:
            seconds = min(attrs["for_s"], LONGEST.total_seconds() + 1)
            attrs["until"] = now + timedelta(seconds=seconds)
        field = "for_s" if "for_s" in attrs else "until"
        if not now < attrs["until"] <= now + LONGEST:
            raise serializers.ValidationError(
                {field: ["The end has to lie in the future, at most 366 days from now."]}
            )
        if problems := unknown_subject(attrs["model"], attrs.get("credential") or ""):
            raise serializers.ValidationError(problems)
        return attrs


class BenchName(OrderSerializer):
    model = Subject()
    credential = serializers.CharField(required=False)
    reason = serializers.CharField(required=False, max_length=500, help_text="For the log.")


class BenchesView(APIView):
    deletes_by_body = True
    permission_model = Bench

    @extend_schema(operation_id="benches_list", responses=BenchView(many=True))
    def get(self, request: Request) -> Response:
        del request
        sitting = _ask(BenchesChanged(), Sitting)
        return Response([bench_view(entry) for entry in sitting.entries])

    @extend_schema(operation_id="benches_create", request=BenchOrder, responses={201: BenchView})
    def post(self, request: Request) -> Response:
        order = BenchOrder(data=request.data)
        order.is_valid(raise_exception=True)
        entry = BenchEntry(
            subject=order.validated_data["model"],
            credential=order.validated_data.get("credential"),
            since=time.time(),
            until=order.validated_data["until"].timestamp(),
            reason=order.validated_data["reason"],
            manual=True,
            by=author_of(request),
        )
        benched = _ask(BenchByHand(entry=entry), Benched)
        return Response(bench_view(benched.entry), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="benches_delete",
        request=BenchName,
        parameters=[
            OpenApiParameter("model", str, description="If there is no body."),
            OpenApiParameter("credential", str, description="Only this credential's bench."),
        ],
        responses={204: None, 404: OpenApiResponse(description="There is no such bench.")},
    )
    def delete(self, request: Request) -> Response:
        given = request.data if isinstance(request.data, dict) and request.data else None
        name = BenchName(data=given if given is not None else request.query_params.dict())
        name.is_valid(raise_exception=True)
        subject = name.validated_data["model"]
        credential = name.validated_data.get("credential")
        wanted = Release(
            subject=subject,
            credential=credential,
            by=author_of(request),
            reason=name.validated_data.get("reason", ""),
        )
        if not _ask(wanted, Released).released:
            raise NotFound(f"Nothing is benched as {subject}.")
        return Response(status=status.HTTP_204_NO_CONTENT)


def author_of(request: Request) -> str:
    """Who asks: a person's name, or a key's."""
    if isinstance(request.auth, KeyHolder):
        return f"key {request.auth.name}"
    return str(request.user.get_username())


def _ask(message: ToHub, kind: type[_Told]) -> _Told:
    answer = hub_request(message, kind)
    if answer is None:
        raise NoControlChild
    return answer


def bench_view(entry: BenchEntry) -> dict[str, Any]:
    """A bench as the API shows it."""
    row = BenchView(
        {
            "model": entry.subject,
            "credential": entry.credential,
            "since": datetime.fromtimestamp(entry.since, UTC),
            "until": datetime.fromtimestamp(entry.until, UTC),
            "reason": entry.reason,
            "status": entry.status,
            "sample_error": entry.sample_error,
            "request_id": entry.request_id,
            "count": entry.count,
            "manual": entry.manual,
        }
    )
    return dict(row.data)


urlpatterns = [re_path(r"^benches/?$", BenchesView.as_view())]
