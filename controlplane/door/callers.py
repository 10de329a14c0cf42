"""Who sends a request, found before its body is read: a key, or a person who is signed in."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import close_old_connections, connections
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string

from controlplane.models import ApiKey
from routing.gateway.auth import digest_of, is_mistyped
from routing.gateway.deciding.keys import MASTER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from routing.gateway.app import Gateway
    from routing.gateway.deciding.keys import Key

BEARER: Final = b"bearer "
REMEMBERED: Final = 1_000
# A person who signs out, or is locked out, may send a body for so long; Django then refuses it.
REMEMBERED_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """`name` is one for each, `may_write` is false for a key without the admin scope."""

    name: str
    may_write: bool = True


class KnownCallers:
    """Finds them: keys in the routing table, what is newer and people in the database."""

    def __init__(self, gateway: Gateway, threads: Executor) -> None:
        self._gateway = gateway
        self._threads = threads
        self._people: OrderedDict[bytes, tuple[float, KnownCaller]] = OrderedDict()

    def shows_nothing(self, headers: Mapping[bytes, bytes]) -> bool:
        return _key_in(headers) is None and not _session_in(headers)

    async def find(self, headers: Mapping[bytes, bytes]) -> KnownCaller | None:
        """Who it is; None for a stranger. A key that is shown counts, as it does in the views."""
        key = _key_in(headers)
        if key is not None:
            return await self._holder_of(key)
        session = _session_in(headers)
        return await self._person_of(session) if session else None

    async def _holder_of(self, key: bytes) -> KnownCaller | None:
        digest = digest_of(key)
        if digest == self._gateway.master:
            return KnownCaller(f"key {MASTER.spec.name}")
        table = self._gateway.table
        found = table.keys.get(digest) if table is not None else None
        if found is not None:
            return _holder(found)
        if is_mistyped(key):
            return None
        return await self._ask(_stored_holder, digest.hex())  # made a moment ago, perhaps

    async def _person_of(self, session: str) -> KnownCaller | None:
        digest, now = sha256(session.encode()).digest(), time.monotonic()
        until, known = self._people.get(digest, (0.0, None))
        if now < until:
            return known
        self._people.pop(digest, None)
        known = await self._ask(_signed_in, session)
        if known is not None:
            self._people[digest] = (now + REMEMBERED_S, known)
            if len(self._people) > REMEMBERED:
                self._people.popitem(last=False)
        return known

    async def _ask(
        self, question: Callable[[str], KnownCaller | None], about: str
    ) -> KnownCaller | None:
        def asked() -> KnownCaller | None:
            close_old_connections()
            try:
                return question(about)
            finally:
                connections.close_all()

        return await asyncio.get_running_loop().run_in_executor(self._threads, asked)


def _holder(key: Key) -> KnownCaller | None:
    expires_at = key.spec.expires_at
    if expires_at is not None and time.time() >= expires_at:
        return None
    return KnownCaller(f"key {key.spec.name}", may_write="admin" in key.spec.scopes)


def _stored_holder(digest: str) -> KnownCaller | None:
    row = ApiKey.opened_by(digest)
    if row is None or not row.enabled:
        return None
    if row.expires_at is not None and row.expires_at <= timezone.now():
        return None
    return KnownCaller(f"key {row.name}", may_write="admin" in row.scopes)


def _signed_in(session: str) -> KnownCaller | None:
    """Whose session it is, by the same rules as django.contrib.auth.get_user."""
    stored: Any = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session)
    user_id = stored.get(SESSION_KEY)
    if user_id is None or stored.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    user: Any = get_user_model()._default_manager.filter(pk=user_id).first()  # noqa: SLF001 - Django documents it
    if user is None or not user.is_active:
        return None
    shown = stored.get(HASH_SESSION_KEY, "")
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    if not any(constant_time_compare(shown, one) for one in hashes):
        return None
    return KnownCaller(f"user {user_id}")


def _key_in(headers: Mapping[bytes, bytes]) -> bytes | None:
    """As controlplane.authentication has it."""
    shown = headers.get(b"authorization", b"")
    if shown[:7].lower() == BEARER:
        return shown[7:].strip()
    return headers.get(b"x-api-key")


def _session_in(headers: Mapping[bytes, bytes]) -> str:
    text = headers.get(b"cookie", b"").decode("latin-1")
    if settings.SESSION_COOKIE_NAME not in text:
        return ""
    try:
        cookies = SimpleCookie(text)
    except CookieError:
        return ""
    for name in (f"__Host-{settings.SESSION_COOKIE_NAME}", settings.SESSION_COOKIE_NAME):
        if name in cookies and cookies[name].value.isalnum():
            return cookies[name].value
    return ""
