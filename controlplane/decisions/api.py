"""API of decisions: what a request would meet, and why a recorded one met what it met."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.urls import re_path
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.authentication import KeyHolder
from controlplane.decisions.deciding import (
    ENDPOINTS,
    Decision,
    Question,
    Then,
    Unanswerable,
    decide,
    decide_again,
    decide_now,
)
from controlplane.decisions.local_worker import LocalWorker, worker_of
from controlplane.decisions.pools_api import NoGateway
from controlplane.records.api import DecisionView, with_id
from controlplane.records.models import RequestRecord
from providers.managed.api import OrderSerializer
from providers.managed.models import ManagedSource
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from rest_framework.request import Request


class ExplainQuestion(OrderSerializer):
    """Either `model` and what else a request has, or `request` alone."""

    model = serializers.CharField(
        required=False,
        help_text="As a request names it: a pool, an alias, provider/model, a chain.",
    )
    endpoint = serializers.CharField(
        required=False, help_text=f"One of {', '.join(ENDPOINTS)}. Default: the first."
    )
    key = serializers.CharField(
        required=False,
        allow_null=True,
        help_text="A key's name. Without one: a key that may use everything.",
    )
    body = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="The request's body. Without one a short request is supposed.",
    )
    session = serializers.CharField(
        required=False, allow_null=True, help_text="As x-switchyard-session."
    )
    provider = serializers.CharField(
        required=False, allow_null=True, help_text="As x-switchyard-provider."
    )
    request = serializers.CharField(
        required=False,
        help_text="The id of a recorded request, or of its record: what was decided then, beside"
        " what would be decided now.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "request" in attrs:
            if len(attrs) > 1:
                raise serializers.ValidationError({"request": ["It stands alone."]})
        elif "model" not in attrs:
            raise serializers.ValidationError({"model": ["Give a model, or a request."]})
        return attrs


FLAG: Final = "What is odd about it now, such as that its provider does not list it; mostly empty."


class StepView(serializers.Serializer[Any]):
    """`stage` is request, chain or rule; `name` the name that brought the candidate in."""

    provider_name = serializers.CharField()
    model = serializers.CharField()
    stage = serializers.ChoiceField(choices=["request", "chain", "rule"])
    name = serializers.CharField()
    reason = serializers.CharField()
    inputs = serializers.DictField(help_text="The numbers that the strategy went by.")
    dropped = serializers.ListField(
        child=serializers.CharField(),
        help_text="Members of `body` that it would not get, as it speaks another protocol.",
    )
    flag = serializers.CharField(allow_blank=True, help_text=FLAG)


class LeftOutView(serializers.Serializer[Any]):
    provider_name = serializers.CharField()
    model = serializers.CharField()
    reason = serializers.CharField(help_text="The planner's word.")
    words = serializers.CharField(help_text="What it means.")
    returns_in_s = serializers.FloatField(allow_null=True)
    cause = serializers.CharField(allow_blank=True, help_text="What made a bench, if it is known.")
    flag = serializers.CharField(allow_blank=True, help_text=FLAG)


class RuleView(serializers.Serializer[Any]):
    primary_model = serializers.CharField()
    fallback_models = serializers.ListField(child=serializers.CharField())
    managed_source = serializers.ChoiceField(choices=ManagedSource.choices)


class AffinityView(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(choices=["session", "pool"])
    natural = serializers.CharField(help_text="The choice without benches, health and pins.")
    pinned = serializers.CharField(allow_blank=True, help_text="Empty without a pin.")
    ttl_s = serializers.FloatField()


class RefusalView(serializers.Serializer[Any]):
    """What the caller would be told at once."""

    status = serializers.IntegerField()
    code = serializers.CharField(allow_null=True)
    message = serializers.CharField()
    returns_in_s = serializers.FloatField(allow_null=True)


class ExplanationView(serializers.Serializer[Any]):
    requested_model = serializers.CharField()
    canonical_model = serializers.CharField()
    resolved_by = serializers.CharField()
    strategy = serializers.CharField()
    generation = serializers.IntegerField()
    candidates = StepView(many=True)
    rejected = LeftOutView(many=True)
    preferred = serializers.CharField(
        allow_null=True, help_text="The choice without benches and health."
    )
    last_standing = serializers.BooleanField()
    failover_rule = RuleView(allow_null=True)
    affinity = AffinityView(allow_null=True)
    warnings = serializers.ListField(child=serializers.CharField())
    refusal = RefusalView(allow_null=True)
    max_calls = serializers.IntegerField()


class WorkerView(serializers.Serializer[Any]):
    """Whose live state was asked. Counters of rotations are each worker's own."""

    name = serializers.CharField()
    plane = serializers.ChoiceField(choices=["both", "admin"])


class RecordedView(serializers.Serializer[Any]):
    """
    What was decided then. `again` is the decision made again from the record and the snapshot of
    its generation; null where `problem` says why that cannot be.
    """

    id = serializers.UUIDField()
    request_id = serializers.CharField()
    started_at = serializers.DateTimeField()
    key = serializers.CharField(allow_blank=True)
    generation = serializers.IntegerField(allow_null=True)
    decision = DecisionView()
    again = ExplanationView(allow_null=True)
    is_same = serializers.BooleanField(
        allow_null=True, help_text="Whether it comes to the same order again."
    )
    problem = serializers.CharField(allow_blank=True)


class ExplainAnswer(ExplanationView):
    key = serializers.CharField(allow_null=True)
    worker = WorkerView()
    recorded = RecordedView(allow_null=True, help_text="Null unless a request was asked for.")


class ExplainView(APIView):
    permission_model = CanonicalModel
    permission_verbs = ("view",)

    @extend_schema(
        operation_id="explain",
        request=ExplainQuestion,
        responses={
            200: ExplainAnswer,
            404: OpenApiResponse(description="There is no record of this request."),
        },
    )
    def post(self, request: Request) -> Response:
        """What a request would meet at the worker that answers. Nobody is called, nothing moves."""
        asked = ExplainQuestion(data=request.data)
        asked.is_valid(raise_exception=True)
        worker = worker_of(request._request)  # noqa: SLF001 - DRF has no other way to the scope
        if worker is None:
            raise NoGateway
        given = asked.validated_data
        try:
            if "request" in given:
                return Response(_recorded(request, worker, given["request"]))
            known = {field.name for field in fields(Question)}
            question = Question(**{k: v for k, v in given.items() if k in known and v is not None})
            return Response(_answer(worker, decide(worker, question)))
        except Unanswerable as error:
            raise ValidationError({error.field: [error.message]}) from error


def _recorded(request: Request, worker: LocalWorker, text: str) -> dict[str, Any]:
    may_look = isinstance(request.auth, KeyHolder) or request.user.has_perm(
        "controlplane.view_requestrecord"
    )
    if not may_look:
        raise PermissionDenied("This needs the permission to view request records.")
    record = with_id(RequestRecord.objects.all(), text).first()
    if record is None:
        raise NotFound(f"There is no record of the request {text[:100]!r}.")
    return _answer(worker, decide_now(worker, record), record, decide_again(record))


def _answer(
    worker: LocalWorker,
    decision: Decision,
    record: RequestRecord | None = None,
    then: Then | None = None,
) -> dict[str, Any]:
    recorded = None
    if record is not None and then is not None:
        recorded = {
            "id": str(record.id),
            "request_id": record.public_id,
            "started_at": record.started_at,
            "key": record.key,
            "generation": record.generation,
            "decision": DecisionView(record.told.decision).data,
            "again": then.explanation and msgspec.to_builtins(then.explanation),
            "is_same": then.is_same,
            "problem": then.problem,
        }
    return {
        **msgspec.to_builtins(decision.explanation),
        "key": decision.key,
        "worker": {"name": worker.name, "plane": worker.plane},
        "recorded": recorded,
    }


urlpatterns = [re_path(r"^explain/?$", ExplainView.as_view())]
