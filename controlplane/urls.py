"""Where the admin and its API are. Inference paths never reach Django (controlplane.asgi)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from controlplane import decision_pages, processes

handler404 = "controlplane.api.not_found"
handler500 = "controlplane.api.failed"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    *decision_pages.urlpatterns,
    *processes.pages,
    path("admin/", admin.site.urls),
    path("api/", include("providers.api")),
    path("api/", include("routing.api")),
    path("api/", include("failover.api")),
    path("api/", include("controlplane.benches_api")),
    path("api/", include("controlplane.processes")),
    path("api/", include("controlplane.records_api")),
    path("api/", include("controlplane.pools_api")),
    path("api/", include("controlplane.explain_api")),
    path("api/", include("controlplane.revisions_api")),
    path("api/", include("controlplane.api")),
]
