"""Admin's page of the configuration as text: check, difference, apply, export, as by command."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_safe
from unfold.widgets import UnfoldAdminTextareaWidget

from controlplane.config.apply import apply_text
from controlplane.config.document import Applied, counts_of, parse, tree_to_apply
from controlplane.config.objects import collect, effective
from controlplane.config.text import text_of
from controlplane.config.yaml import MAX_BYTES, ConfigErrors
from controlplane.edits.patience import APPLY_S, limited
from controlplane.models import ConfigSource
from controlplane.revisions.showing import shown_changes
from providers.managed.rights import rights_of
from providers.saying.counting import counted

if TYPE_CHECKING:
    from django.http import HttpRequest

VIEW: Final = "controlplane.view_revision"
APPLY: Final = "controlplane.add_revision"
NAME: Final = "text"  # of the file, in mistakes
ALONE: Final = Applied(providers=frozenset(), names=frozenset())


class TextForm(forms.Form):
    """A file counts over what stands in the field."""

    file = forms.FileField(required=False)
    yaml = forms.CharField(
        label="Configuration",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 16, "spellcheck": "false"}),
    )
    act = forms.ChoiceField(choices=[(word, word) for word in ("check", "diff", "apply")])
    seen = forms.CharField(required=False, max_length=64)

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        file = given.get("file")
        if file is None:
            given["yaml"] = given.get("yaml", "").replace("\r\n", "\n")
            return given
        if file.size > MAX_BYTES:
            self.add_error("file", f"It is larger than {MAX_BYTES} bytes.")
            return given
        try:
            given["yaml"] = file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            self.add_error("file", "It is not UTF-8.")
        return given


@require_http_methods(["GET", "HEAD", "POST"])
def text_page(request: HttpRequest) -> HttpResponse:
    may_apply = request.user.has_perm(APPLY)
    if not (may_apply or request.user.has_perm(VIEW)):
        raise PermissionDenied
    if request.method != "POST":
        return _page(request, form=TextForm())
    if not may_apply:
        raise PermissionDenied
    form = TextForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form=form)
    text, act = form.cleaned_data["yaml"], form.cleaned_data["act"]
    digest = sha256(text.encode()).hexdigest()
    is_other = act == "apply" and form.cleaned_data["seen"] != digest
    found: dict[str, Any] = {"is_other": is_other}
    try:
        with limited(APPLY_S):
            if act == "check":
                found |= _checked(text)
            elif act == "diff" or is_other:
                found |= {**_compared(request, text), "seen": digest}
            else:
                return _applied(request, text)
    except ConfigErrors as error:
        found = {"errors": error.errors}
    except PermissionDenied as error:
        found = {"errors": [str(error)], "is_refused": True}
    shown = TextForm(initial={"yaml": text})
    return _page(request, form=shown, **found)


def _checked(text: str) -> dict[str, Any]:
    """What config check says of the text by itself, whatever admin has."""
    tree = tree_to_apply(text, filename=NAME, environ={})
    document = parse(text, filename=NAME, environ={}, applied=ALONE, tree=tree)
    return {"good": counts_of(document), "notes": document.warnings}


def _compared(request: HttpRequest, text: str) -> dict[str, Any]:
    outcome = apply_text(
        text, filename=NAME, environ={}, is_preview=True, rights=rights_of(request)
    )
    changes = shown_changes(outcome.changes) if outcome.changes else ""
    return {"changes": changes, "is_same": not outcome.changes, "notes": outcome.notes}


def _applied(request: HttpRequest, text: str) -> HttpResponse:
    outcome = apply_text(text, filename=NAME, environ={}, rights=rights_of(request))
    objects = counted(len(outcome.changes), "object")
    messages.success(request, f"Applied: {objects} changed.")
    for told in outcome.notes:
        messages.warning(request, told)
    return HttpResponseRedirect(reverse("configuration"))


def _page(request: HttpRequest, **found: Any) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Configuration",
        "may_apply": request.user.has_perm(APPLY),
        "may_export": request.user.has_perm(VIEW),
        "source": ConfigSource.objects.filter(pk=1).first(),
        "source_url": reverse("admin:controlplane_configsource_changelist"),
        "export_url": reverse("configuration-export"),
        **found,
    }
    return TemplateResponse(request, "admin/configuration.html", context)


@require_safe
def export_page(request: HttpRequest) -> HttpResponse:
    """Everything that counts, as a file to keep."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    return HttpResponse(
        text_of(effective(collect())),
        content_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="switchyard.yaml"'},
    )


pages = [
    path("admin/configuration/", admin.site.admin_view(text_page), name="configuration"),
    path(
        "admin/configuration/export/",
        admin.site.admin_view(export_page),
        name="configuration-export",
    ),
]
