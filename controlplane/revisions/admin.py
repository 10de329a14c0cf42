"""Admin's pages of revisions: what was published, by whom and why, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_http_methods
from unfold.admin import ModelAdmin
from unfold.decorators import display

from controlplane.config.yaml import ConfigErrors
from controlplane.edits.noting import current_author
from controlplane.edits.patience import APPLY_S, limited
from controlplane.revisions.history import NoSuchRevision, changes_of, edits_of, roll_back
from providers.managed.admin import ReadOnly, lines
from providers.managed.rights import rights_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest, HttpResponse

    from controlplane.config.changes import Change
    from controlplane.edits.models import Revision

MAY_ROLL_BACK: Final = "controlplane.add_revision"
SHOWN: Final = 500  # changes and edits on a page; the API has all of them


class RevisionAdmin(ReadOnly, ModelAdmin):
    list_display = ["number", "created_at", "by", "what", "reason", "generation"]
    list_filter = ["created_at"]
    search_fields = ["reason", "authors", "summary", "=generation"]
    list_per_page = 50
    fields = ["created_at", "by", "reason", "generation", "difference", "edits", "back"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("packed")

    def get_urls(self) -> Any:
        page = require_http_methods(["GET", "POST"])(self.roll_back_view)
        name = "controlplane_revision_rollback"
        own = path("<int:number>/rollback/", self.admin_site.admin_view(page), name=name)
        return [own, *super().get_urls()]

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

    @display(description="difference")
    def difference(self, row: Revision) -> Any:
        return shown_changes(changes_of(row))

    @display(description="edits")
    def edits(self, row: Revision) -> Any:
        return lines(edit.line for edit in edits_of(row)[:SHOWN])

    @display(description="take back")
    def back(self, row: Revision) -> Any:
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">Roll back to this'
            " revision …</a>",
            reverse("admin:controlplane_revision_rollback", args=[row.pk]),
        )

    def roll_back_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """What going back would change; by POST, it is done."""
        if not request.user.has_perm(MAY_ROLL_BACK):
            raise PermissionDenied
        is_preview = request.method != "POST"
        reason = current_author().reason
        try:
            with limited(APPLY_S):
                outcome = roll_back(
                    number, reason=reason, is_preview=is_preview, rights=rights_of(request)
                )
        except NoSuchRevision as error:
            raise Http404(str(error)) from error
        except ConfigErrors as error:
            return self._page(request, number, errors=error.errors)
        except PermissionDenied as error:
            return self._page(request, number, status=403, is_refused=True, errors=[str(error)])
        if is_preview:
            return self._page(
                request, number, changes=shown_changes(outcome.changes), notes=outcome.notes,
                is_same=not outcome.changes,
            )  # fmt: skip
        count = len(outcome.changes)
        objects = "1 object" if count == 1 else f"{count} objects"
        messages.success(request, f"Rolled back to revision {number}: {objects} changed.")
        for told in outcome.notes:
            messages.warning(request, told)
        return HttpResponseRedirect(reverse("admin:controlplane_revision_changelist"))

    def _page(
        self, request: HttpRequest, number: int, *, status: int = 200, **found: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"Roll back to revision {number}",
            "opts": self.opts,
            "back_url": reverse("admin:controlplane_revision_change", args=[number]),
            **found,
        }
        return TemplateResponse(request, "admin/roll_back.html", context, status=status)


def shown_changes(changes: Iterable[Change]) -> Any:
    """Each object with its fields, old → new, as HTML."""
    found = list(changes)
    shown = format_html_join(
        "",
        '<div class="mb-3"><strong class="text-important">{}</strong>{}</div>',
        (
            (str(change), format_html_join("", "<div>{}</div>", ((f,) for f in change.fields)))
            for change in found[:SHOWN]
        ),
    )
    more = f"and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return format_html("{}{}", shown, more) if found else "nothing that can be rolled back"
