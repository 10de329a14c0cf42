"""What every page of Django says to browsers beyond its own headers, and which it never sees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.contrib import messages
from django.core.exceptions import SuspiciousOperation
from django.http import JsonResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from controlplane.edits.poke import hearing

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

# Unfold's Alpine.js evaluates attributes, and its pages carry small scripts and styles of their
# own; hence the two "unsafe" words. Nothing is ever loaded from, or sent to, another host.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            response = await get_response(request)
            response.headers.setdefault("Content-Security-Policy", POLICY)
            return response

        return answer

    def answer_sync(request: HttpRequest) -> Any:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return answer_sync


class StorableAddresses(MiddlewareMixin):
    """Refuses NUL in path and query: no name has it, and PostgreSQL takes it in no question."""

    def process_request(self, request: HttpRequest) -> None:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise SuspiciousOperation("The address holds NUL, which no name does.")


WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
WARNING = "x-switchyard-warning"
TOLD_BYTES = 1024


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
    response[WARNING] = "; ".join(heard).encode("ascii", "replace").decode()[:TOLD_BYTES]
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
