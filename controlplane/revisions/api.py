"""API of the configuration as text, and of its revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import HttpResponse
from django.urls import re_path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from controlplane.config.apply import apply_text
from controlplane.config.changes import Change, Changeset, shown_edits
from controlplane.config.objects import collect, effective
from controlplane.config.text import text_of
from controlplane.config.yaml import MAX_BYTES, ConfigErrors
from controlplane.edits.models import Revision
from controlplane.edits.noting import as_author, current_author
from controlplane.edits.patience import APPLY_S, limited
from controlplane.revisions.history import NoSuchRevision, changes_of, edits_of, revision_of
from controlplane.revisions.returning import roll_back, undo
from providers.managed.api import OrderSerializer
from providers.managed.models import ManagedSource
from providers.managed.parsing import StorableJSONParser
from providers.managed.rights import rights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from rest_framework.request import Request

YAML: Final = "application/yaml"
PAGE: Final = 50
MOST: Final = 500


class YamlRenderer(BaseRenderer):
    """Lets a caller ask for YAML; the text is ready, so nothing is rendered."""

    media_type = YAML
    format = "yaml"

    def render(self, data: Any, *_context: Any) -> bytes:
        return JSONRenderer().render(data)  # an error; YAML too


class YamlParser(BaseParser):
    """A configuration as it is: the body is the text."""

    media_type = YAML

    def parse(self, stream: IO[bytes], *_context: Any) -> dict[str, str]:
        raw = stream.read(MAX_BYTES + 1)
        try:
            return {"yaml": raw.decode("utf-8-sig")}
        except UnicodeDecodeError as error:
            raise ParseError("The body is not UTF-8.") from error


class ConfigText(OrderSerializer):
    yaml = serializers.CharField(
        trim_whitespace=False,
        allow_blank=True,
        help_text="A configuration file. No variable is set here: `${NAME}` keeps a secret.",
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class FieldChangeView(serializers.Serializer[Any]):
    """`old` and `new` are any JSON; null where it is not given. Secrets are never shown."""

    field = serializers.CharField()
    old = serializers.JSONField(allow_null=True)
    new = serializers.JSONField(allow_null=True)


class ChangeView(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="alias, key, pool, provider, rule or settings")
    name = serializers.CharField(allow_blank=True)
    managed_source = serializers.ChoiceField(choices=ManagedSource.choices)
    action = serializers.ChoiceField(choices=["added", "changed", "removed"])
    fields = FieldChangeView(many=True)  # type: ignore[assignment]


class StayingView(serializers.Serializer[Any]):
    """`fields` are those of the settings; empty where the whole object is left out."""

    kind = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    reasons = serializers.ListField(child=serializers.CharField())


class OutcomeView(serializers.Serializer[Any]):
    """
    `applied` is false for a preview. `notes` tell what is left as it is, and why.

    `left_out` is what of a revision cannot be had again; the rest is made all the same.
    """

    applied = serializers.BooleanField()
    changes = ChangeView(many=True)
    notes = serializers.ListField(child=serializers.CharField())
    left_out = StayingView(many=True)


class AuthorView(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="user, key, file, environment, command or process")
    name = serializers.CharField(allow_blank=True)


class EditView(AuthorView):
    at = serializers.DateTimeField()
    object = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)


class RevisionView(serializers.Serializer[Any]):
    """`objects` names the first of what changed, `changes` has all of it."""

    revision = serializers.IntegerField()
    generation = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    authors = AuthorView(many=True)
    reason = serializers.CharField(allow_blank=True)
    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    removed = serializers.IntegerField()
    objects = serializers.ListField(child=serializers.CharField())


class WholeRevision(RevisionView):
    changes = ChangeView(many=True)
    edits = EditView(many=True)


class RollbackOrder(OrderSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)
    preview = serializers.BooleanField(
        required=False, default=False, help_text="Only tell what would change."
    )


def shown_change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.key.kind,
        "name": change.key.name,
        "managed_source": change.key.source,
        "action": change.action,
        "fields": [{"field": f.field, "old": f.old, "new": f.new} for f in change.fields],
    }


def _shown_outcome(outcome: Changeset, *, is_preview: bool) -> Response:
    return Response(
        {
            "applied": not is_preview,
            "changes": [shown_change(change) for change in outcome.changes],
            "notes": outcome.notes,
            "left_out": [
                {
                    "kind": entry.key.kind,
                    "name": entry.key.name,
                    "fields": entry.fields,
                    "reasons": entry.reasons,
                }
                for entry in outcome.left_out
            ],
        }
    )


class ExportView(APIView):
    permission_model = Revision
    renderer_classes = (JSONRenderer, YamlRenderer)

    @extend_schema(operation_id="config_export", responses={(200, YAML): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        """Everything that counts, as a configuration file; secrets are references."""
        del request
        return HttpResponse(text_of(effective(collect())), content_type=f"{YAML}; charset=utf-8")


class PreviewView(APIView):
    permission_model = Revision
    parser_classes = (StorableJSONParser, YamlParser)
    is_preview = True

    @extend_schema(
        operation_id="config_preview",
        request={"application/json": ConfigText, YAML: OpenApiTypes.STR},
        responses=OutcomeView,
    )
    def post(self, request: Request) -> Response:
        """What applying a configuration would change. It does, and is rolled back."""
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        order = ConfigText(data=request.data)
        order.is_valid(raise_exception=True)
        author = current_author()
        reason = order.validated_data.get("reason", "") or author.reason
        try:
            with as_author(author.kind, author.name, reason), limited(APPLY_S):
                outcome = apply_text(
                    order.validated_data["yaml"],
                    filename="yaml",
                    environ={},
                    is_preview=self.is_preview,
                    rights=rights_of(request),
                )
        except ConfigErrors as error:
            raise ValidationError({"yaml": list(error.errors)}) from error
        return _shown_outcome(outcome, is_preview=self.is_preview)


class ApplyView(PreviewView):
    is_preview = False

    @extend_schema(
        operation_id="config_apply",
        request={"application/json": ConfigText, YAML: OpenApiTypes.STR},
        responses=OutcomeView,
    )
    def post(self, request: Request) -> Response:
        """Make admin's objects what a configuration says: all of it, or nothing."""
        return self._answer(request)


class RevisionsView(APIView):
    permission_model = Revision

    @extend_schema(
        operation_id="revisions_list",
        parameters=[
            OpenApiParameter("before", int, description="Only older ones than this."),
            OpenApiParameter("generation", int, description="Only those of this generation."),
            OpenApiParameter("limit", int, description=f"At most {MOST}; default {PAGE}."),
        ],
        responses=RevisionView(many=True),
    )
    def get(self, request: Request) -> Response:
        """The revisions, newest first."""
        rows = Revision.objects.defer("packed")
        if (before := _number(request, "before")) is not None:
            rows = rows.filter(pk__lt=before)
        if (generation := _number(request, "generation")) is not None:
            rows = rows.filter(generation=generation)
        limit = _number(request, "limit")
        return Response([_shown(row) for row in rows[: min(limit or PAGE, MOST)]])


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not given.isdecimal() or len(given) > 18:
        raise ValidationError({name: ["This must be a whole number."]})
    return int(given)


def _shown(row: Revision) -> dict[str, Any]:
    return {
        "revision": row.pk,
        "generation": row.generation,
        "created_at": row.created_at,
        "authors": row.authors,
        "reason": row.reason,
        **row.summary,
    }


def _found(number: str) -> Revision:
    try:
        return revision_of(int(number))
    except NoSuchRevision as error:
        raise NotFound(str(error)) from error


class RevisionDetailView(APIView):
    permission_model = Revision

    @extend_schema(operation_id="revisions_retrieve", responses=WholeRevision)
    def get(self, request: Request, number: str) -> Response:
        """One revision with everything that it changed, old and new, and each edit."""
        del request
        row = _found(number)
        changes = [shown_change(change) for change in changes_of(row)]
        return Response({**_shown(row), "changes": changes, "edits": shown_edits(edits_of(row))})


class RollbackView(APIView):
    permission_model = Revision

    @extend_schema(
        operation_id="revisions_rollback",
        request=RollbackOrder,
        responses={200: OutcomeView, 404: OpenApiResponse(description="There is none.")},
    )
    def post(self, request: Request, number: str) -> Response:
        """Make admin's objects what they were at a revision; `left_out` is what cannot be."""
        return self._answer(request, number, roll_back)

    def _answer(self, request: Request, number: str, way: Callable[..., Changeset]) -> Response:
        order = RollbackOrder(data=request.data)
        order.is_valid(raise_exception=True)
        reason = order.validated_data.get("reason", "") or current_author().reason
        is_preview = order.validated_data["preview"]
        row = _found(number)
        try:
            with limited(APPLY_S):
                outcome = way(
                    row.pk, reason=reason, is_preview=is_preview, rights=rights_of(request)
                )
        except ConfigErrors as error:
            raise ValidationError(
                {api_settings.NON_FIELD_ERRORS_KEY: list(error.errors)}
            ) from error
        return _shown_outcome(outcome, is_preview=is_preview)


class UndoView(RollbackView):
    @extend_schema(
        operation_id="revisions_undo",
        request=RollbackOrder,
        responses={200: OutcomeView, 404: OpenApiResponse(description="There is none.")},
    )
    def post(self, request: Request, number: str) -> Response:
        """Take back what a revision changed; what came later stays."""
        return self._answer(request, number, undo)


_ONE: Final = r"^revisions/(?P<number>[0-9]{1,18})"
urlpatterns = [
    re_path(r"^config/export/?$", ExportView.as_view()),
    re_path(r"^config/preview/?$", PreviewView.as_view()),
    re_path(r"^config/apply/?$", ApplyView.as_view()),
    re_path(r"^revisions/?$", RevisionsView.as_view()),
    re_path(_ONE + r"/?$", RevisionDetailView.as_view()),
    re_path(_ONE + r"/rollback/?$", RollbackView.as_view()),
    re_path(_ONE + r"/undo/?$", UndoView.as_view()),
]
