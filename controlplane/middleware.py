"""What every page of Django says to browsers beyond its own headers."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib import messages
from django.http import JsonResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from controlplane import nonces
from controlplane.edits.poke import hearing
from providers.managed.versioned_api import WARNING, in_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

# Unfold's Alpine.js evaluates attributes, and its pages and ours style elements by attributes:
# hence the two "unsafe" words that are left (docs/decisions/0013-content-security-policy.md).
# Nothing is ever loaded from, or sent to, another host.
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HOST_ONLY: Final = "__Host-"


class ContentSecurityPolicy:
    """Draws a nonce for each request, and names it in the answer's policy."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        nonce = secrets.token_urlsafe(16)
        if self._is_async:
            return self._answer(request, nonce)
        nonces.current.set(nonce)
        return _told(self._get_response(request), nonce)

    async def _answer(self, request: HttpRequest, nonce: str) -> Any:
        nonces.current.set(nonce)
        return _told(await self._get_response(request), nonce)


def _told(response: Any, nonce: str) -> Any:
    response.headers.setdefault("Content-Security-Policy", POLICY.format(nonce=nonce))
    return response


class HostCookies(MiddlewareMixin):
    """
    Over https, cookies that no other host and no plain page can set: `__Host-` before their names.

    A request is over https if it, or a trusted proxy before it, says so, or if every origin that
    the settings name is.
    """

    def process_request(self, request: HttpRequest) -> None:
        if not _is_https(request):
            return
        for name in _names():
            value = request.COOKIES.pop(HOST_ONLY + name, None)
            request.COOKIES.pop(name, None)
            if value is not None:
                request.COOKIES[name] = value

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if not _is_https(request):
            return response
        for name in _names():
            morsel: Any = response.cookies.pop(name, None)
            if morsel is None:
                continue
            response.cookies[HOST_ONLY + name] = morsel.value
            renamed = response.cookies[HOST_ONLY + name]
            for attribute, value in morsel.items():
                renamed[attribute] = value
            renamed["secure"], renamed["path"], renamed["domain"] = True, "/", ""
        return response


def _is_https(request: HttpRequest) -> bool:
    return bool(settings.IS_SERVED_BY_HTTPS or request.is_secure())


def _names() -> tuple[str, str]:
    return settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME


WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@sync_and_async_middleware
def tell_what_is_not_live(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """
    Says in the answer to a write what the host's processes said of it, where it is not live yet.

    On the API in `warnings`, or as a 503 where the answer has no room for them; in admin as a
    message. It stands inside of the middleware for messages, which keeps them.
    """
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            if request.method not in WRITES:
                return await get_response(request)
            with hearing() as heard:
                response = await get_response(request)
            return _with_warnings(request, response, heard) if heard else response

        return answer

    def answer_sync(request: HttpRequest) -> Any:
        if request.method not in WRITES:
            return get_response(request)
        with hearing() as heard:
            response = get_response(request)
        return _with_warnings(request, response, heard) if heard else response

    return answer_sync


def _with_warnings(request: HttpRequest, response: Any, heard: list[str]) -> Any:
    if not request.path.startswith("/api/"):
        for text in heard:
            messages.warning(request, text)
        return response
    if response.status_code >= 400:
        return response  # it says already that something is wrong
    told = _object_in(response)
    if told is None:
        # The write is done and cannot be taken back, but whoever asked must not rely on it yet.
        body = {"detail": " ".join(heard), "code": "not_live", "warnings": heard}
        response = JsonResponse(body, status=503)
    else:
        told["warnings"] = [*(told.get("warnings") or ()), *heard]
        response.content = json.dumps(told).encode()
        if response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))
    response[WARNING] = in_header(heard)
    return response


def _object_in(response: Any) -> dict[str, Any] | None:
    """The JSON object that an answer is; None for anything else."""
    if response.streaming or "json" not in response.get("Content-Type", ""):
        return None
    try:
        found = json.loads(response.content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
