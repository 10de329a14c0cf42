"""
One check for all text that comes to Django, before a view is asked: 400, never 500.

Paths, queries and cookies are UTF-8 without NUL and without halves of surrogate pairs, because no
database holds those; bodies are looked at by their parser (providers.managed.parsing). A `Host`
that is not ours is answered here, too, in a line of log and without a traceback.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from django.core.exceptions import DisallowedHost
from django.http import HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from controlplane.door.saying import is_api, page
from providers.validation import UNSTORABLE

if TYPE_CHECKING:
    from django.http import HttpRequest

NOT_TEXT: Final = "The address holds NUL, or bytes that are not UTF-8, which no name does."
_UTF_8: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_ADMIN_NUL: Final = re.compile(r"^/admin/.*_00")  # as admin writes one in an address

logger = logging.getLogger("switchyard.admin")


class OrdinaryText(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if not (_is_text(_raw_path(request)) and _is_text(_query(request))):
            return refused(request, NOT_TEXT)
        if _ADMIN_NUL.match(request.path_info):
            return refused(request, NOT_TEXT)
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() not in _UTF_8:
            return refused(request, f"A body is UTF-8, and not {charset[:40]!r}.")
        if any(UNSTORABLE.search(value) for value in request.COOKIES.values()):
            return refused(request, "A cookie holds NUL, or half of a surrogate pair.")
        return None


class KnownHosts(MiddlewareMixin):
    """Django raises for a strange Host wherever somebody asks for it; here it is told once."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        try:
            request.get_host()
        except DisallowedHost:
            shown = request.META.get("HTTP_HOST", "")[:100]
            logger.warning("refused the host %r: it is not among ALLOWED_HOSTS", shown)
            return refused(
                request,
                f"The host {shown!r} is not served here. Whoever runs this gateway lists its"
                " names in ALLOWED_HOSTS.",
            )
        return None


def refused(request: HttpRequest, said: str) -> HttpResponse:
    response: HttpResponse
    if is_api(request.path_info):
        response = JsonResponse({"detail": said}, status=400)
    else:
        response = HttpResponse(page("This was not understood", said), status=400)
    response._has_been_logged = True  # type: ignore[attr-defined] # noqa: SLF001 - nothing of ours failed
    return response


def _raw_path(request: HttpRequest) -> bytes:
    """The path's bytes, percent-decoded: under ASGI as it was sent."""
    raw: bytes = getattr(request, "scope", {}).get("raw_path", b"")
    # Where Django has no bytes any more, it writes as %FF what is no text.
    return unquote_to_bytes(raw or request.path_info)


def _query(request: HttpRequest) -> bytes:
    return unquote_to_bytes(str(request.META.get("QUERY_STRING", "")).encode("latin-1", "replace"))


def _is_text(raw: bytes) -> bool:
    try:
        return "\x00" not in raw.decode()
    except UnicodeDecodeError:  # half a surrogate pair is no UTF-8
        return False
