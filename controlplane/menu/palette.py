"""Ctrl-K: pages, objects and requests, found by what somebody types of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib import admin
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.http import require_safe

from controlplane.models import ApiKey, Team
from controlplane.records.api import with_id
from controlplane.records.models import RequestRecord
from failover.models import FailoverRule
from providers.models import Provider
from routing.models import Alias, CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model
    from django.http import HttpRequest, HttpResponse

LONGEST: Final = 200  # characters that are looked for; names are shorter
EACH: Final = 8  # of a kind: who sees more has to type more
# (model, the field that is its name, what it is, the icon of its list in the menu)
KINDS: Final[tuple[tuple[type[Model], str, str, str], ...]] = (
    (CanonicalModel, "name", "model pool", "hub"),
    (Provider, "name", "provider", "cloud"),
    (Alias, "name", "alias", "label"),
    (FailoverRule, "primary_model", "failover rule", "alt_route"),
    (ApiKey, "name", "API key", "key"),
    (Team, "name", "team", "groups"),
)


class Found(NamedTuple):
    """One line: where it leads, and what is said of it."""

    title: str
    description: str
    link: str
    icon: str


@require_safe
def palette(request: HttpRequest) -> HttpResponse:
    """What there is by this name, as far as who asks may see it."""
    asked = " ".join(request.GET.get("s", "")[:LONGEST].split())
    context = {"asked": asked, "found": [*_found(request, asked)] if asked else []}
    return TemplateResponse(request, "unfold/helpers/command_results.html", context)


def _found(request: HttpRequest, asked: str) -> Iterator[Found]:
    yield from _pages(request, asked)
    if request.user.has_perm("controlplane.view_requestrecord"):
        for record in with_id(RequestRecord.objects.all(), asked)[:EACH]:
            said = f"request of {record.started_at:%Y-%m-%d %H:%M:%S} UTC, {record.outcome}"
            yield Found(record.public_id, said, _page_of(record), "receipt_long")
    for model, name, kind, icon in KINDS:
        app, label = model._meta.app_label, model._meta.model_name  # noqa: SLF001 - Django's own API
        if not request.user.has_perm(f"{app}.view_{label}"):
            continue
        rows: Any = model._default_manager.filter(**{f"{name}__icontains": asked})  # noqa: SLF001 - Django's own API
        for row in rows.order_by(name)[:EACH]:
            yield Found(getattr(row, name), kind, _page_of(row), icon)


def _pages(request: HttpRequest, asked: str) -> Iterator[Found]:
    """The entries of the menu, which knows who may open them."""
    for group in admin.site.each_context(request)["sidebar_navigation"]:
        for item in group["items"]:
            if item["has_permission"] and asked.lower() in str(item["title"]).lower():
                yield Found(str(item["title"]), "page", str(item["link"]), item["icon"])


def _page_of(row: Model) -> str:
    names = row._meta  # noqa: SLF001 - Django's own API
    return reverse(f"admin:{names.app_label}_{names.model_name}_change", args=[row.pk])


# Before the admin's own, which looks for names of tables and remembers its answers for minutes.
pages = [path("admin/search/", admin.site.admin_view(palette))]
