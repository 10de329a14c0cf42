"""The API's own pages."""

from __future__ import annotations

from threading import Lock
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.request import Request

from controlplane.advice import drafts


class SchemaView(SpectacularAPIView):
    """
    The API's schema, made and written once by each process: it takes a second, which strangers
    could ask for again and again, and two at a time fail in its generator.
    """

    permission_classes = ()
    _turn = Lock()
    _written: ClassVar[dict[str, str | bytes]] = {}

    @extend_schema(exclude=True)
    def get(self, request: Request, *_args: Any, **_named: Any) -> HttpResponse:
        renderer = request.accepted_renderer
        with self._turn:
            if renderer.media_type not in self._written:
                generator: Any = self.generator_class()
                made = generator.get_schema(request=None, public=True)
                self._written[renderer.media_type] = renderer.render(made, renderer.media_type, {})
        return HttpResponse(self._written[renderer.media_type], content_type=renderer.media_type)


urlpatterns = [
    *drafts.urlpatterns,
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path(
        "docs/",
        SpectacularSwaggerView.as_view(url_name="api-schema", permission_classes=[]),
        name="api-docs",
    ),
]
