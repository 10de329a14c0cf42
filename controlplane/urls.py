"""Where the admin and its API are. Inference paths never reach Django (controlplane.asgi)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from controlplane.alerts.pages import pages as alert_pages
from controlplane.decisions import pages
from controlplane.hosts import processes
from controlplane.jobs import pages as job_pages
from controlplane.menu import palette
from controlplane.overview import dashboard, docs, first_steps
from controlplane.revisions import text_page

handler400 = "controlplane.door.handlers.not_understood"
handler403 = "controlplane.door.handlers.not_allowed"
handler404 = "controlplane.door.handlers.not_found"
handler500 = "controlplane.door.handlers.failed"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    *pages.urlpatterns,
    *processes.pages,
    *job_pages.pages,
    *dashboard.pages,
    *first_steps.pages,
    *alert_pages,
    *palette.pages,
    *text_page.pages,
    *docs.pages,
    path("admin/", admin.site.urls),
    path("api/", include("providers.api")),
    path("api/", include("routing.api")),
    path("api/", include("failover.api")),
    path("api/", include("controlplane.alerts.api")),
    path("api/", include("controlplane.benches.api")),
    path("api/", include("controlplane.health.api")),
    path("api/", include("controlplane.hosts.processes")),
    path("api/", include("controlplane.jobs.api")),
    path("api/", include("controlplane.keys.api")),
    path("api/", include("controlplane.records.api")),
    path("api/", include("controlplane.decisions.pools_api")),
    path("api/", include("controlplane.decisions.api")),
    path("api/", include("controlplane.revisions.api")),
    path("api/", include("controlplane.advice.api")),
    path("api/", include("controlplane.advice.uses")),
    path("api/", include("controlplane.api")),
]
