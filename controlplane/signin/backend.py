"""Django's own accounts and passwords, each try counted first (throttle)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend

from controlplane.signin.hashing import Busy
from controlplane.signin.throttle import TooManyTries, Tries

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest


class CountedBackend(ModelBackend):
    """A refused try leaves its TooManyTries at the request, for whoever tells the person."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        name = username if username is not None else more.get(get_user_model().USERNAME_FIELD)
        if name is None or password is None:
            return None
        address = "" if request is None else str(request.META.get("REMOTE_ADDR") or "")
        tries = Tries(str(name), address)
        try:
            tries.take()
        except TooManyTries as error:
            if request is not None:
                request.too_many_tries = error  # type: ignore[attr-defined]
            raise
        try:
            user = super().authenticate(request, username=username, password=password, **more)
        except Busy:
            tries.give_back()
            raise
        if user is not None:
            tries.succeed()
        return user
