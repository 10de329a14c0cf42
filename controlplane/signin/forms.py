"""The sign-in page's form, and its status where a try was not let through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils.deprecation import MiddlewareMixin
from unfold.forms import AuthenticationForm

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class SignInForm(AuthenticationForm):  # type: ignore[misc] # it carries no types
    """Says when to try again, instead of that the password was wrong: it was not looked at."""

    def clean(self) -> Any:
        try:
            return super().clean()
        except ValidationError:
            refused = getattr(self.request, "too_many_tries", None)
            if refused is None:
                raise
            raise ValidationError(str(refused), code="too_many_tries") from None


class TooManyTriesStatus(MiddlewareMixin):
    """429 with Retry-After for scripts and proxies; people read the form."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        refused = getattr(request, "too_many_tries", None)
        if refused is not None and response.status_code == 200:
            response.status_code = 429
            response.headers["Retry-After"] = str(refused.wait_s)
        return response
