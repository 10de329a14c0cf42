"""One cheap call to a provider, to see whether it can be reached and takes our key."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils import timezone

from providers.adapters.auth import auth_named
from providers.adapters.registry import ADAPTERS
from providers.adapters.spec import CredentialSpec, ProviderSpec
from providers.adapters.upstream import Upstream, compile_upstream
from providers.catalog_rows import lookup
from providers.destinations import unconfirmed
from providers.listed import note_list
from providers.looking import CONNECT_S, Finding, Look, look, probe
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.redaction import known
from providers.transport import Transport

if TYPE_CHECKING:
    from providers.models import Credential, Provider

_OPEN: Final = frozenset({Finding.LISTS_NOTHING, Finding.LIMITS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """
    What one call showed. `ok` is None where it leaves the question open.

    `status` is None if there was no answer; `models` counts what the provider lists, if it does.
    """

    ok: bool | None
    message: str
    status: int | None = None
    latency_ms: float = 0.0
    models: int | None = None
    credential: str = ""
    listed: tuple[str, ...] | None = None
    is_whole: bool = True


class NoSuchCredential(ValueError):
    """The provider has none of that label."""


def try_stored(provider: Provider, label: str | None = None) -> Trial:
    """
    `try_provider` by the stored credential of that label, else with one that may be sent.

    What it lists is kept, so that forms can propose it. Raises NoSuchCredential.
    """
    usable = [c for c in provider.credentials.all() if c.label == label or c.enabled]
    usable.sort(key=lambda c: not c.is_confirmed)
    chosen = next((c for c in usable if label in (None, c.label)), None)
    if label is not None and chosen is None:
        raise NoSuchCredential(f"there is no credential {label!r}")
    trial = try_provider(provider, chosen)
    if trial.listed is not None and not provider.is_shadowed:
        now = timezone.now()
        is_whole, catalogs = trial.is_whole, lookup(now)
        note_list(provider, trial.listed, at=now, is_whole=is_whole, catalogs=catalogs)
    return trial


def try_provider(provider: Provider, credential: Credential | None) -> Trial:
    """
    Ask `provider` for its models, with `credential`, by the way that traffic takes.

    A secret that was entered for elsewhere is not sent. Never raises for what a provider does.
    """
    label = credential.label if credential else ""
    adapter = ADAPTERS.get(provider.kind)
    if adapter is None:
        words = f"Kind {provider.kind} cannot be called yet by this version."
        return Trial(ok=False, message=words, credential=label)
    if not (adapter.is_simulated or provider.base_url or adapter.default_base_url):
        return Trial(ok=False, message="It has no address.", credential=label)
    if provider.unconfirmed_headers or (credential is not None and not credential.is_confirmed):
        return Trial(ok=False, message=" ".join(unconfirmed(provider)), credential=label)
    try:
        secret = credential.secret.reveal().strip() if credential else ""
        known.remember(secret)
        auth_named(provider.auth or adapter.auth).line(secret)
    except (CannotDecrypt, ValueError) as error:
        return Trial(ok=False, message=f"Its key cannot be used: {error}", credential=label)
    try:
        upstream = compile_upstream(_spec(provider, label, secret), decrypt=str, environ=os.environ)
    except CannotDecrypt as error:
        return Trial(ok=False, message=f"Its headers or proxy cannot be used: {error}")
    except ValueError as error:
        words = f"It cannot be reached: {known.redact(str(error))}"
        return Trial(ok=False, message=words, credential=label)
    if not upstream.credentials:
        return Trial(ok=False, message="It has no key, so the gateway does not call it.")
    found = asyncio.run(_look(upstream, provider))
    ok = True if found.finding is Finding.ANSWERS else None if found.finding in _OPEN else False
    return Trial(
        ok=ok,
        message=_simulated(provider, found) if adapter.is_simulated else found.message,
        status=found.status,
        latency_ms=found.latency_ms,
        models=found.entries,
        credential="" if adapter.is_simulated else label,
        listed=found.models,
        is_whole=found.is_whole,
    )


def _spec(provider: Provider, label: str, secret: str) -> ProviderSpec:
    """`provider` as a snapshot would have it, with this one credential, and all of it in clear."""
    return ProviderSpec(
        name=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        auth=provider.auth,
        credentials=(CredentialSpec(label=label, secret=secret),) if secret else (),
        headers=provider.headers.revealed(),
        proxy=provider.proxy.reveal(),
        trust_env_proxy=provider.trust_env_proxy,
        fault=provider.fault,
    )


async def _look(upstream: Upstream, provider: Provider) -> Look:
    connect_s = provider.timeouts.get("connect_s", CONNECT_S)
    credential = upstream.credentials[0]
    transport = Transport()
    try:
        if upstream.adapter.is_simulated:
            return await probe(
                upstream, transport, "trial", credential=credential, total_s=CONNECT_S
            )
        return await look(upstream, transport, credential=credential, connect_s=connect_s, pages=1)
    finally:
        await transport.aclose()


def _simulated(provider: Provider, found: Look) -> str:
    if found.finding is Finding.ANSWERS:
        return "It answers, inside this process."
    why = "" if found.status else f" {found.message}"
    return f"It fails as told ({provider.fault}).{why}"
