"""API of suggestions: what the worker proposes, and an operator's word on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.urls import re_path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from controlplane.advice.accepting import DoesNotFit, IsConfigured, NotAllowed, accept, dismiss
from controlplane.advice.models import Suggestion, SuggestionKind, SuggestionState
from controlplane.authentication import KeyHolder
from failover.api import RuleSerializer
from failover.models import FailoverRule
from providers.api import ProviderSerializer
from providers.managed.api import OrderSerializer
from providers.models import Provider
from routing.api import PoolSerializer
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

MOST: Final = 500
SHOWN_BY: Final = {
    CanonicalModel: PoolSerializer,
    Provider: ProviderSerializer,
    FailoverRule: RuleSerializer,
}
FITS_NO_MORE: Final = OpenApiResponse(
    description="It is no longer open, or what it would change is not as it was."
)


class Overtaken(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "does_not_fit"


class EditProposed(serializers.Serializer[Any]):
    """`from` and `to` are any JSON; null is what is not there."""

    object = serializers.CharField(help_text="pool, provider or rule")
    name = serializers.CharField()
    candidate = serializers.CharField(allow_blank=True, help_text="The pool's, if it is about one.")
    field = serializers.CharField()
    to = serializers.JSONField(allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.JSONField(allow_null=True)}


class ChangeProposed(serializers.Serializer[Any]):
    text = serializers.CharField()
    edits = EditProposed(many=True)


class GroundView(serializers.Serializer[Any]):
    """
    Why. `figures` are sums over the rollups of `window_s` seconds up to the figure `until`;
    docs/suggestions.md has the query for each.
    """

    text = serializers.CharField()
    figures = serializers.DictField()
    window_s = serializers.IntegerField()


class SuggestionView(serializers.ModelSerializer[Suggestion]):
    """`price_change`: US dollars for a million tokens, more or less than now; null: not known."""

    change = ChangeProposed()
    evidence = GroundView(many=True)
    confidence = serializers.FloatField(help_text="From 0 to 1.")
    outcome = serializers.DictField(
        allow_null=True, help_text="After it was accepted: errors and failovers before and after."
    )

    class Meta:
        model = Suggestion
        fields = [
            "id",
            "kind",
            "target",
            "change",
            "evidence",
            "confidence",
            "price_change",
            "state",
            "created_at",
            "expires_at",
            "outcome",
        ]
        read_only_fields = fields


class DismissOrder(OrderSerializer):
    reason = serializers.CharField(max_length=500)


class SuggestionsView(APIView):
    permission_model = Suggestion

    @extend_schema(
        operation_id="suggestions_list",
        parameters=[
            OpenApiParameter("state", str, enum=SuggestionState.values),
            OpenApiParameter("kind", str, enum=SuggestionKind.values),
        ],
        responses=SuggestionView(many=True),
    )
    def get(self, request: Request) -> Response:
        """The suggestions, newest first; at most 500."""
        rows: QuerySet[Suggestion] = Suggestion.objects.all()
        for name, allowed in (("state", SuggestionState.values), ("kind", SuggestionKind.values)):
            given = request.query_params.get(name)
            if given is None:
                continue
            if given not in allowed:
                raise ValidationError({name: [f"This must be one of {', '.join(allowed)}."]})
            rows = rows.filter(**{name: given})
        return Response(SuggestionView(rows[:MOST], many=True).data)


class AcceptView(APIView):
    permission_model = Suggestion
    permission_verbs = ("change",)

    @extend_schema(
        operation_id="suggestions_accept",
        request=None,
        responses={
            200: OpenApiTypes.OBJECT,
            400: OpenApiResponse(description="What it would change is managed by configuration."),
            409: FITS_NO_MORE,
        },
    )
    def post(self, request: Request, number: str) -> Response:
        """
        Make the edit that is proposed. The answer is the edited object, as its own resource has
        it; of two providers the first.
        """

        def allowed(permission: str) -> bool:
            return isinstance(request.auth, KeyHolder) or request.user.has_perm(permission)

        try:
            _row, edited = accept(_number(number), allowed)
        except Suggestion.DoesNotExist as error:
            raise Http404 from error
        except IsConfigured as error:
            said = {api_settings.NON_FIELD_ERRORS_KEY: [str(error)]}
            raise ValidationError(said) from error
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from error
        except DoesNotFit as error:
            raise Overtaken(str(error)) from error
        first = edited[0]
        return Response(SHOWN_BY[type(first)](first, context={"request": request}).data)


class DismissView(APIView):
    permission_model = Suggestion
    permission_verbs = ("change",)

    @extend_schema(
        operation_id="suggestions_dismiss",
        request=DismissOrder,
        responses={200: SuggestionView, 409: FITS_NO_MORE},
    )
    def post(self, request: Request, number: str) -> Response:
        """Have it not proposed again for 30 days."""
        order = DismissOrder(data=request.data)
        order.is_valid(raise_exception=True)
        try:
            row = dismiss(_number(number), order.validated_data["reason"])
        except Suggestion.DoesNotExist as error:
            raise Http404 from error
        except DoesNotFit as error:
            raise Overtaken(str(error)) from error
        return Response(SuggestionView(row).data)


def _number(given: str) -> int:
    return min(int(given), 2**63 - 1)


urlpatterns = [
    re_path(r"^suggestions/?$", SuggestionsView.as_view()),
    re_path(r"^suggestions/(?P<number>[0-9]{1,30})/accept/?$", AcceptView.as_view()),
    re_path(r"^suggestions/(?P<number>[0-9]{1,30})/dismiss/?$", DismissView.as_view()),
]
