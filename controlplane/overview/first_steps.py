"""What a newcomer does first, each step ticked when it is done; and the demo's end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from controlplane.first_run import DEMO_POOL, DEMO_PROVIDERS
from controlplane.health.models import HealthSnapshot
from controlplane.models import ApiKey
from controlplane.records.models import RequestRecord
from providers.managed.models import ManagedSource
from providers.models import ListedModel, Provider
from routing.models import CanonicalModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

REMOVE = ("routing.delete_canonicalmodel", "providers.delete_provider")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStep:
    words: str
    url: str
    is_done: bool


def first_steps(request: HttpRequest) -> list[FirstStep]:
    """In their order; empty once all of those that the person may do are done."""
    steps = list(_steps(request))
    return [] if all(step.is_done for step in steps) else steps


def _steps(request: HttpRequest) -> Iterator[FirstStep]:
    may = request.user.has_perm
    own = Provider.effective().exclude(name__in=DEMO_PROVIDERS)
    provider = own.order_by("-pk").first()
    pool = CanonicalModel.effective().exclude(name=DEMO_POOL).order_by("-pk").first()
    if may("providers.add_provider"):
        url = reverse("admin:providers_provider_add")
        yield FirstStep(words="Add a provider", url=url, is_done=provider is not None)
    if may("providers.change_provider"):
        url = reverse("admin:providers_provider_changelist")
        if provider is not None:
            url = reverse("admin:providers_provider_test", args=[provider.pk])
        yield FirstStep(words="Test it", url=url, is_done=provider is not None and _is_tested())
    if may("routing.add_canonicalmodel"):
        url = reverse("admin:routing_canonicalmodel_add")
        yield FirstStep(words="Make a model pool of its models", url=url, is_done=pool is not None)
    if may("controlplane.add_apikey"):
        url = reverse("admin:controlplane_apikey_add")
        yield FirstStep(words="Make an API key", url=url, is_done=ApiKey.effective().exists())
    if may("controlplane.add_requestrecord"):
        url = reverse("try-it") + (f"?model={pool.name}" if pool is not None else "")
        yield FirstStep(words="Call it", url=url, is_done=pool is not None and _is_called())


def _is_tested() -> bool:
    """Whether somebody, or the worker, has had an answer of a provider that is not the demo's."""
    seen = HealthSnapshot.objects.filter(last_success_at__isnull=False)
    listed = ListedModel.objects.exclude(provider__in=DEMO_PROVIDERS)
    return listed.exists() or seen.exclude(provider__in=DEMO_PROVIDERS).exists()


def _is_called() -> bool:
    records = RequestRecord.objects.exclude(canonical_model__in=["", DEMO_POOL]).order_by()
    return records[:1].exists()


def has_demo(request: HttpRequest) -> bool:
    """Whether there is a demo that the person may remove."""
    demo = CanonicalModel.objects.filter(name=DEMO_POOL, managed_source=ManagedSource.DASHBOARD)
    return bool(request.user.has_perms(REMOVE)) and demo.exists()


@require_POST
def remove_demo(request: HttpRequest) -> HttpResponse:
    """The demo's pool, and its providers as far as nothing else needs them."""
    if not request.user.has_perms(REMOVE):
        raise PermissionDenied
    with transaction.atomic():
        found = [
            *CanonicalModel.objects.filter(name=DEMO_POOL, managed_source=ManagedSource.DASHBOARD),
            *Provider.objects.filter(
                name__in=DEMO_PROVIDERS, managed_source=ManagedSource.DASHBOARD
            ),
        ]
        kept = []
        for row in found:
            if problems := row.deletion_problems():
                kept.append(f"{row} is still in use. {' '.join(problems)}")
            else:
                row.delete()
    for said in kept:
        messages.error(request, said)
    if not kept:
        messages.success(request, "The demo is gone.")
    return HttpResponseRedirect(reverse("admin:index"))


pages = [path("admin/remove-demo/", admin.site.admin_view(remove_demo), name="remove-demo")]
