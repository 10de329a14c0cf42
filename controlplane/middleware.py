"""What every page of Django says to browsers beyond its own headers, and which it never sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import SuspiciousOperation
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

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
