"""What the very first start makes, so that a fresh checkout answers its first curl."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.db import transaction

from controlplane.models import ApiKey
from providers.models import Provider
from routing.gateway.auth import new_key
from routing.models import Candidate, CanonicalModel

ADMIN_NAME = "admin"
DEMO_POOL = "demo"
DEMO_MODEL = "demo-model"
DEMO_PROVIDERS = ("demo-failing", "demo-healthy")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLogin:
    """Shown once; only a hash and a digest are kept."""

    username: str
    password: str
    key: str

    def __repr__(self) -> str:
        return "FirstLogin(…)"


def prepare() -> FirstLogin | None:
    """
    Make an admin, a key and the demo pool; None, and nothing made, where anybody has an account.

    The demo pool's first candidate always fails, so that every answer shows a failover.
    """
    users = get_user_model().objects
    if users.exists():
        return None
    login = FirstLogin(username=ADMIN_NAME, password=secrets.token_urlsafe(12), key=new_key())
    with transaction.atomic():
        users.create_superuser(login.username, password=login.password)
        key = ApiKey(name="first key")
        key.set_key(login.key)
        key.full_clean()
        key.save()
        if not CanonicalModel.objects.filter(name=DEMO_POOL).exists():
            _make_demo_pool()
    return login


def _make_demo_pool() -> None:
    pool = CanonicalModel(name=DEMO_POOL)
    providers = {
        name: Provider(name=name, kind="simulator", fault=fault)
        for name, fault in zip(DEMO_PROVIDERS, ("status:503", ""), strict=True)
    }
    for provider in providers.values():
        if not Provider.objects.filter(name=provider.name).exists():
            provider.full_clean()
            provider.save()
    pool.full_clean()
    pool.save()
    for position, name in enumerate(providers):
        candidate = Candidate(
            canonical_model=pool, provider_name=name, model=DEMO_MODEL, position=position
        )
        candidate.full_clean()
        candidate.save()


def curl_line(origin: str, key: str) -> str:
    """One line for a shell, which shows the headers as well."""
    message = {"role": "user", "content": "Hello"}
    body = json.dumps({"model": DEMO_POOL, "messages": [message]}, separators=(",", ":"))
    return (
        f"curl -i {origin}/v1/chat/completions"
        f" -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'"
    )
