"""Admin's pages of revisions: what was published, by whom and why, and the ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.config.yaml import ConfigErrors
from controlplane.edits.kinds import SETTINGS, ObjectKey, owners
from controlplane.edits.models import OTHER
from controlplane.edits.noting import current_author
from controlplane.edits.patience import APPLY_S, limited
from controlplane.revisions.history import (
    NoSuchRevision,
    changes_of,
    edits_of,
    edits_of_other,
    of_object,
)
from controlplane.revisions.showing import SHOWN, shown_changes, shown_left_out, totals
from providers.managed.admin import ReadOnly, lines
from providers.managed.rights import rights_of
from providers.saying.ages import aged_column
from providers.saying.counting import counted

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from controlplane.config.changes import Changeset
    from controlplane.edits.models import Revision

MAY_ROLL_BACK: Final = "controlplane.add_revision"
PUBLISHED: Final = aged_column("created_at", "published")


class RevisionAdmin(ReadOnly, ModelAdmin):
    list_display = ["number", PUBLISHED, "by", "what", "reason", "generation"]
    list_filter = ["created_at"]
    search_fields = ["reason", "authors", "summary", "=generation"]
    list_per_page = 50
    change_form_before_template = "admin/revision_ways.html"
    fields = [PUBLISHED, "by", "reason", "generation", "total", "difference", "edits"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("packed")

    def get_urls(self) -> Any:
        own = [
            ("<int:number>/rollback/", self.roll_back_view, "rollback"),
            ("<int:number>/undo/", self.undo_view, "undo"),
            ("of/<str:label>/", self.object_view, "of"),
            ("of/<str:label>/<path:name>/", self.object_view, "of"),
        ]
        return [
            *(
                path(place, self.admin_site.admin_view(view), name=f"controlplane_revision_{name}")
                for place, view, name in own
            ),
            *super().get_urls(),
        ]

    @display(description="revision", ordering="pk")
    def number(self, row: Revision) -> str:
        return str(row.pk)

    @display(description="by")
    def by(self, row: Revision) -> str:
        return row.who

    @display(description="changed")
    def what(self, row: Revision) -> Any:
        objects = row.summary.get("objects", [])
        shown = "; ".join(objects[:3]) + (" …" if len(objects) > 3 else "")
        return shown or row.counts

    @display(description="in all")
    def total(self, row: Revision) -> str:
        return row.counts

    @display(description="difference")
    def difference(self, row: Revision) -> Any:
        return shown_changes(changes_of(row))

    @display(description="edits")
    def edits(self, row: Revision) -> Any:
        return lines(edit.line for edit in edits_of(row)[:SHOWN])

    def roll_back_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """What returning to a revision would change; by POST, it is done."""
        return self._way(request, number, f"Return to revision {number}", only=None, is_undo=False)

    def undo_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """What undoing a revision would change, or its part in one object; by POST, it is done."""
        kind, _, name = request.GET.get("object", "").partition(":")
        only = ObjectKey(kind, name, request.GET.get("source", "dashboard")) if kind else None
        what = f" of {only}" if only else ""
        return self._way(request, number, f"Undo revision {number}{what}", only=only, is_undo=True)

    def _way(
        self, request: HttpRequest, number: int, title: str, *, only: ObjectKey | None,
        is_undo: bool,
    ) -> HttpResponse:  # fmt: skip
        # What reads a configuration takes 0.14 s to import, which every worker's start would pay.
        from controlplane.revisions.returning import roll_back, undo  # noqa: PLC0415

        if not request.user.has_perm(MAY_ROLL_BACK):
            raise PermissionDenied
        asked: dict[str, Any] = {
            "reason": current_author().reason,
            "is_preview": request.method != "POST",
            "rights": rights_of(request),
        }
        page: dict[str, Any] = {"title": title, "number": number, "is_undo": is_undo}
        try:
            with limited(APPLY_S):
                outcome = (
                    undo(number, only=only, **asked) if is_undo else roll_back(number, **asked)
                )
        except NoSuchRevision as error:
            raise Http404(str(error)) from error
        except ConfigErrors as error:
            return self._page(request, errors=error.errors, **page)
        except PermissionDenied as error:
            return self._page(request, status=403, is_refused=True, errors=[str(error)], **page)
        if asked["is_preview"]:
            return self._previewed(request, outcome, page)
        objects = counted(len(outcome.changes), "object")
        done = f"Undid revision {number}" if is_undo else f"Returned to revision {number}"
        messages.success(request, f"{done}: {objects} changed.")
        for told in outcome.notes:
            messages.warning(request, told)
        return HttpResponseRedirect(reverse("admin:controlplane_revision_changelist"))

    def _previewed(
        self, request: HttpRequest, outcome: Changeset, page: dict[str, Any]
    ) -> HttpResponse:
        left = {str(entry) for entry in outcome.left_out}
        return self._page(
            request,
            changes=shown_changes(outcome.changes),
            totals=totals(outcome.changes),
            left_out=shown_left_out(outcome.left_out),
            notes=[told for told in outcome.notes if told not in left],
            is_same=not outcome.changes,
            **page,
        )

    def _page(
        self, request: HttpRequest, *, number: int, status: int = 200, **found: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "back_url": reverse("admin:controlplane_revision_change", args=[number]),
            **found,
        }
        return TemplateResponse(request, "admin/roll_back.html", context, status=status)

    def object_view(self, request: HttpRequest, label: str, name: str = "") -> HttpResponse:
        """The history of one object: who changed what of it and why, each to be undone."""
        _owner, kind = {of.lower(): found for of, found in owners().items()}.get(label, ("", ""))
        if not kind:
            raise Http404
        app, _, model = label.partition(".")
        may_look = self.has_view_permission(request)
        if not may_look and not request.user.has_perm(f"{app}.view_{model}"):
            raise PermissionDenied
        may_undo = request.user.has_perm(MAY_ROLL_BACK)
        entries = [
            {
                "row": row,
                "changes": shown_changes([change]),
                "undo": _undo_page(row, change.key) if may_undo else "",
            }
            for row, change in of_object(kind, name)
        ]
        title = f"History of {name or 'the settings' if kind == SETTINGS else name}"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "entries": entries,
            "edits": edits_of_other(label, name) if kind == OTHER else [],
            "is_other": kind == OTHER,
            "may_look": may_look,
        }
        return TemplateResponse(request, "admin/object_history.html", context)


def _undo_page(row: Revision, key: ObjectKey) -> str:
    page = reverse("admin:controlplane_revision_undo", args=[row.pk])
    return f"{page}?{urlencode({'object': f'{key.kind}:{key.name}', 'source': key.source})}"
