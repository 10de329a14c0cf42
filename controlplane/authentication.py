"""Who may use the admin API: people signed in to admin, admin keys, and the master key."""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, UnsupportedMediaType
from rest_framework.permissions import BasePermission

from controlplane.access.reach import reach_of
from controlplane.models import ApiKey, digest_of
from providers.managed.rights import NO_LIMITS, Reach
from routing.gateway.auth import MISTYPED, is_mistyped

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

UNKNOWN: Final = "This key is unknown, disabled or expired."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """`request.auth` of a request that showed a valid key, which reaches so far."""

    name: str
    is_admin: bool
    reach: Reach = NO_LIMITS


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY` or `x-api-key: KEY`; the first present counts."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, KeyHolder] | None:
        key = _shown_key(request)
        if key is None:
            return None
        digest = digest_of(key)
        master = settings.MASTER_KEY
        if master and hmac.compare_digest(digest, digest_of(master)):
            return _holder(request, KeyHolder(name="master key", is_admin=True))
        raw = key.encode("latin-1", "replace")
        if is_mistyped(raw):
            raise AuthenticationFailed(MISTYPED)
        row = ApiKey.opened_by(digest)
        # The lookup has found an equal digest already; comparing again costs nothing and holds
        # where a database's collation would be more generous.
        if (
            row is None
            or not any(hmac.compare_digest(d, digest) for d in (row.digest, row.former_digest))
            or not row.enabled
            or (row.expires_at is not None and row.expires_at <= timezone.now())
        ):
            said = MISTYPED if row is None and is_mistyped(raw, is_unknown=True) else UNKNOWN
            raise AuthenticationFailed(said)
        holder = KeyHolder(name=row.name, is_admin="admin" in row.scopes, reach=reach_of(row))
        return _holder(request, holder)

    def authenticate_header(self, request: Request) -> str:
        del request
        return "Bearer"


def _holder(request: Request, holder: KeyHolder) -> tuple[AnonymousUser, KeyHolder]:
    request._request.key_holder = holder.name  # type: ignore[attr-defined] # noqa: SLF001 - who edits; see controlplane.edits.noting
    return AnonymousUser(), holder


def _shown_key(request: Request) -> str | None:
    """The key in the headers; None if there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("x-api-key")


class IsOperator(BasePermission):
    """
    Admin keys and the master key may do everything; staff what their permissions in admin allow.

    A view names the model that it shows as `permission_model`; without one only superusers pass.
    Where the method does not say what it does, it names `permission_verbs`, too, or whole
    permissions as `permission_names`.
    """

    message = "This needs a key with the admin scope, or a sign-in with the right permission."
    _verbs = {  # noqa: RUF012 - a constant
        "GET": ("view",),
        "HEAD": ("view",),
        "OPTIONS": ("view",),
        "POST": ("add",),
        "PUT": ("add", "change"),
        "PATCH": ("change",),
        "DELETE": ("delete",),
    }

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not self._may(request, view):
            return False
        # Every view asks here first, so what is no text is refused by each of them, whether it
        # would have looked at its body or not, and whether there is what its path names.
        with contextlib.suppress(UnsupportedMediaType):  # no matter to who reads no body
            request.data  # noqa: B018 - parsed, or a ParseError
        return True

    def _may(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, KeyHolder):
            return request.auth.is_admin
        if not (request.user.is_active and request.user.is_staff):
            return False
        if names := getattr(view, "permission_names", ()):
            return request.user.has_perms(names)
        model = getattr(view, "permission_model", None)
        if model is None:
            return bool(request.user.is_superuser)
        usual = self._verbs.get(str(request.method), ())
        verbs = getattr(view, "permission_verbs", ()) or usual
        app, name = model._meta.app_label, model._meta.model_name  # noqa: SLF001 - Django's own API
        return bool(verbs) and request.user.has_perms([f"{app}.{verb}_{name}" for verb in verbs])


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema names KeyAuthentication."""

    target_class = KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        del auto_schema
        return {"type": "http", "scheme": "bearer"}
