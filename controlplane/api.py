"""The API's own pages, and what it says where there is none."""

from __future__ import annotations

import logging
import sys
from typing import Final

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.defaults import bad_request, page_not_found, server_error
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from controlplane.advice import drafts
from controlplane.door.database import failures, said_of
from controlplane.door.saying import is_api, page
from controlplane.edits.patience import OutOfPatience
from controlplane.signin import hashing

RETRY_S: Final = 5

logger = logging.getLogger("switchyard.admin")


def not_understood(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400, in the same way as its 404."""
    if is_api(request.path_info):
        return JsonResponse({"detail": str(exception)}, status=400)
    return bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404, which for scripts is JSON as every other answer of the API."""
    if is_api(request.path_info):
        return JsonResponse({"detail": "There is nothing at this path."}, status=404)
    return page_not_found(request, exception)


def failed(request: HttpRequest) -> HttpResponse:
    """Django's 500, in the same way; a 503 where waiting, or less at once, would help."""
    error = sys.exc_info()[1]
    if isinstance(error, OutOfPatience | hashing.Busy):
        return _unavailable(request, str(error), str(error))
    if isinstance(error, DatabaseError | InterfaceError) and (said := said_of(error)):
        failures.note(said)
        return _unavailable(request, said, " ".join(str(error).split())[:200])
    if is_api(request.path_info):
        said = "This failed on our side; the log says why, by the request's id."
        return JsonResponse({"detail": said}, status=500)
    return server_error(request)


def _unavailable(request: HttpRequest, said: str, reason: str) -> HttpResponse:
    logger.warning("%s %s: %s", request.method, request.path, reason)
    response: HttpResponse
    if is_api(request.path_info):
        response = JsonResponse({"detail": said}, status=503)
    else:
        response = HttpResponse(page("Not now", said), status=503)
    response.headers["Retry-After"] = str(RETRY_S)
    response._has_been_logged = True  # type: ignore[attr-defined] # noqa: SLF001 - in one line, above
    return response


urlpatterns = [
    *drafts.urlpatterns,
    path("schema/", SpectacularAPIView.as_view(permission_classes=[]), name="api-schema"),
    path(
        "docs/",
        SpectacularSwaggerView.as_view(url_name="api-schema", permission_classes=[]),
        name="api-docs",
    ),
]
