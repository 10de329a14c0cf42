"""
Two editors of one object, by API: one wins, the other is told.

A reader gets the version as ETag. Who sends it back as If-Match has the write refused with 412
if the object is another by then, and is shown both. Without If-Match the last one wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from rest_framework import status
from rest_framework.response import Response

from providers.managed.models import uses_of
from providers.managed.versions import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import Model
    from rest_framework.request import Request


WARNING: Final = "x-switchyard-warning"
TOLD_BYTES: Final = 1024


def in_header(sentences: Iterable[str]) -> str:
    """For a header: one line, and no more than it may hold."""
    return "; ".join(sentences).encode("ascii", "replace").decode()[:TOLD_BYTES]


def etag_of(row: Model, parts: Sequence[str]) -> str:
    return f'"{version_of(row, parts)}"'


def refusal(request: Request, row: Any, serializer: Any) -> Response | None:
    """
    The answer to a write that expects another version of `row`; None if it may go on.

    Call it inside the transaction that writes: it keeps others from writing meanwhile.
    `serializer` is one of `row` as it is stored.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return None
    locked = type(row)._default_manager.select_for_update().get(pk=row.pk)  # noqa: SLF001 - Django documents it
    etag = etag_of(locked, serializer.parts)
    if etag in [part.strip() for part in wanted.split(",")]:
        return None
    stored = serializer.data
    sent = _open(request.data, serializer)
    body = {
        "detail": "Someone else has changed this since you read it. Nothing was written.",
        "etag": etag,
        "differing": [name for name in sent if name in stored and sent[name] != stored[name]],
        "stored": stored,
        "sent": sent,
    }
    return Response(body, status=status.HTTP_412_PRECONDITION_FAILED, headers={"ETag": etag})


def _open(body: Any, serializer: Any) -> dict[str, Any]:
    """`body` without unknown fields and secrets."""
    if not isinstance(body, dict):
        return {}
    fields = {name: field for name, field in serializer.fields.items() if not field.write_only}
    return {
        name: [_open(member, fields[name].child) for member in value]
        if name in serializer.parts and isinstance(value, list)
        else _masked(fields[name], value)
        for name, value in body.items()
        if name in fields
    }


def _masked(field: Any, value: Any) -> Any:
    """`value` as its field would show it."""
    return field.masked(value) if hasattr(field, "masked") else value


class VersionedViews:
    """For a ModelViewSet of ManagedSerializer: ETag out, If-Match in."""

    has_versions = True

    def retrieve(self, request: Request, *_names: Any, **_more: Any) -> Response:
        del request
        row = self.get_object()  # type: ignore[attr-defined]
        return self._tagged(self.get_serializer(row))  # type: ignore[attr-defined]

    def create(self, request: Request) -> Response:
        answer: Response = super().create(request)  # type: ignore[misc]
        serializer = answer.data.serializer
        answer["ETag"] = etag_of(serializer.instance, serializer.parts)
        return answer

    @transaction.atomic
    def update(self, request: Request, *, partial: bool = False, **_names: Any) -> Response:
        row = self.get_object()  # type: ignore[attr-defined]
        refused = refusal(request, row, self.get_serializer(row))  # type: ignore[attr-defined]
        if refused is not None:
            return refused
        serializer = self.get_serializer(  # type: ignore[attr-defined]
            self.get_object(),  # type: ignore[attr-defined] # as it is now that nobody else writes
            data=request.data,
            partial=partial,
        )
        serializer.is_valid(raise_exception=True)
        self.perform_update(serializer)  # type: ignore[attr-defined]
        return self._tagged(serializer)

    @transaction.atomic
    def destroy(self, request: Request, **_names: Any) -> Response:
        row = self.get_object()  # type: ignore[attr-defined]
        refused = refusal(request, row, self.get_serializer(row))  # type: ignore[attr-defined]
        if refused is not None:
            return refused
        uses = uses_of(row)
        self.perform_destroy(row)  # type: ignore[attr-defined]
        headers = {WARNING: in_header(uses)} if uses else None
        return Response(status=status.HTTP_204_NO_CONTENT, headers=headers)

    @staticmethod
    def _tagged(serializer: Any) -> Response:
        etag = etag_of(serializer.instance, serializer.parts)
        return Response(serializer.data, headers={"ETag": etag})
