"""What Django answers where there is nothing, nobody may, or it failed: pages, JSON on the API."""

from __future__ import annotations

import logging
import sys
from typing import Final

from django.contrib import admin
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.defaults import bad_request, server_error

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
    said = str(exception) if isinstance(exception, Http404) else ""
    if said.startswith("{") or not said:  # Django's own, for whoever writes URL patterns
        said = "There is no such page, or what it was about has been deleted."
    return _own_page(request, 404, "Not found", said)


def not_allowed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 403, in the same way."""
    del exception
    if is_api(request.path_info):
        return JsonResponse({"detail": "This needs a permission that you lack."}, status=403)
    said = "Your account lacks the permission for this page. A superuser can give it to you."
    return _own_page(request, 403, "Not allowed", said)


def _own_page(request: HttpRequest, status: int, title: str, said: str) -> HttpResponse:
    """With the menu for whoever is signed in; strangers learn nothing of it."""
    if not admin.site.has_permission(request):
        return HttpResponse(page(title, said), status=status)
    context = {**admin.site.each_context(request), "title": title, "said": said}
    return render(request, "admin/refused.html", context, status=status)


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
