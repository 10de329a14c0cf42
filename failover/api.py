"""API of failover rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.urls import re_path
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from failover.models import FailoverRule
from providers.managed.api import (
    MANAGED_FIELDS,
    ManagedSerializer,
    OrderSerializer,
    refuse_config,
    refuse_unknown,
)
from providers.managed.models import ManagedSource
from providers.managed.versioned_api import etag_of, refusal

if TYPE_CHECKING:
    from rest_framework.request import Request


class NameField(serializers.CharField):
    """A string and nothing else: a number is no name, though it could be written as one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class RuleSerializer(ManagedSerializer):
    ignored = ("evidence",)  # a draft can be saved as it is

    primary_model = NameField(help_text="A model pool, an alias or provider/model.")
    fallback_models = serializers.ListField(
        child=NameField(allow_blank=True),  # clean() names the blank entry's place
        help_text="Model pools, aliases or provider/model, tried from first to last.",
    )

    class Meta:
        model = FailoverRule
        fields = [
            "primary_model",
            "fallback_models",
            "enabled",
            *MANAGED_FIELDS,
        ]
        validators: list[Any] = []


class RuleName(OrderSerializer):
    primary_model = serializers.CharField()


class Deleted(serializers.Serializer[Any]):
    deleted = serializers.IntegerField()


class FailoverView(APIView):
    deletes_by_body = True
    permission_model = FailoverRule
    has_versions = True

    @extend_schema(operation_id="failover_list", responses=RuleSerializer(many=True))
    def get(self, request: Request) -> Response:
        rules = FailoverRule.with_shadowed(FailoverRule.objects.all())
        return Response(RuleSerializer(rules, many=True, context={"request": request}).data)

    @extend_schema(operation_id="failover_put", request=RuleSerializer, responses=RuleSerializer)
    @transaction.atomic
    def put(self, request: Request) -> Response:
        name = request.data.get("primary_model") if isinstance(request.data, dict) else None
        rule = _dashboard_rule(name.strip()) if isinstance(name, str) else None
        if rule is not None and (twin := rule.config_twins().first()):
            refuse_config(twin)
        context = {"request": request}
        if rule is not None:
            stored = RuleSerializer(rule, context=context)
            if (refused := refusal(request, rule, stored)) is not None:
                return refused
            rule.refresh_from_db()
        serializer = RuleSerializer(rule, data=request.data, partial=False, context=context)
        serializer.is_valid(raise_exception=True)
        etag = etag_of(serializer.save(), RuleSerializer.parts)
        return Response(serializer.data, headers={"ETag": etag})

    @transaction.atomic
    @extend_schema(
        operation_id="failover_delete",
        request=RuleName,
        parameters=[OpenApiParameter("primary_model", str, description="If there is no body.")],
        responses={204: None, 404: OpenApiResponse(description="There is no such rule.")},
    )
    def delete(self, request: Request) -> Response:
        body = request.data if isinstance(request.data, dict) else {}
        refuse_unknown(body, RuleName().fields)
        name = body.get("primary_model") or request.query_params.get("primary_model")
        if not isinstance(name, str) or not name.strip():
            raise ValidationError({"primary_model": ["This field is required."]})
        rule = _dashboard_rule(name.strip())
        if rule is None:
            twin = FailoverRule(primary_model=name.strip()).config_twins().first()
            if twin is None:
                raise NotFound(f"There is no failover rule for {name.strip()}.")
            refuse_config(twin)
        else:
            stored = RuleSerializer(rule, context={"request": request})
            if (refused := refusal(request, rule, stored)) is not None:
                return refused
            rule.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class FailoverResetView(APIView):
    permission_model = FailoverRule
    permission_verbs = ("delete",)

    @extend_schema(operation_id="failover_reset", request=None, responses=Deleted)
    @transaction.atomic
    def post(self, request: Request) -> Response:
        """Delete every rule of the dashboard; the configuration's stay."""
        del request
        rules = FailoverRule.objects.filter(managed_source=ManagedSource.DASHBOARD)
        _rows, by_model = rules.delete()
        return Response({"deleted": by_model.get("failover.FailoverRule", 0)})


def _dashboard_rule(name: str) -> FailoverRule | None:
    return FailoverRule.objects.filter(
        primary_model=name, managed_source=ManagedSource.DASHBOARD
    ).first()


urlpatterns = [
    re_path(r"^failover/?$", FailoverView.as_view()),
    re_path(r"^failover/reset/?$", FailoverResetView.as_view()),
]
