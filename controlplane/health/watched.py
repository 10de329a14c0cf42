"""Which providers there are to look at, and looking at many of them at once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.health.rules import interval_of
from controlplane.publishing.providers import NO_KEYS, keys_by_provider, spec_of
from failover.cautions import unable
from providers.adapters.upstream import compile_upstream
from providers.destinations import UNCONFIRMED
from providers.looking import CONNECT_S, TOTAL_S, Finding, Look, look, probe
from providers.models import Provider
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import keyring
from providers.secrets.redaction import known
from providers.transport import Transport
from routing.models import RoutingState, SwitchKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from controlplane.publishing.providers import Keys
    from providers.adapters.upstream import Credential, Upstream

AT_ONCE: Final = 16
CREDENTIALS: Final = 3  # of a provider that refuses the first, so many are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """
    A provider. `off` is why nobody looks at it ("" somebody does); `upstream` is then None.

    `probe_model` is the model that may be called, and paid for, to see whether it answers;
    `status_page` the address of what it says of itself. Either is "" for none.
    """

    row: Provider
    off: str
    upstream: Upstream | None
    interval_s: float
    probe_model: str
    status_page: str

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def is_simulated(self) -> bool:
        return self.upstream is not None and self.upstream.adapter.is_simulated

    @property
    def connect_s(self) -> float:
        spec = self.upstream.spec if self.upstream else None
        return (spec.timeouts.connect_s if spec else None) or CONNECT_S


def watched() -> list[Watched]:
    """Every provider that counts, by name."""
    credentials = keys_by_provider()
    switched_off = set(
        RoutingState.standing()
        .filter(enabled=False, kind=SwitchKind.PROVIDER)
        .values_list("provider_name", flat=True)
    )
    found = []
    for row in sorted(Provider.effective(), key=lambda row: str(row.name)):
        keys = credentials.get(row.pk, NO_KEYS)
        off = _off(row, keys, is_switched_off=row.name in switched_off)
        upstream = None
        if not off:
            try:
                upstream = compile_upstream(spec_of(row, keys), keyring().decrypt, os.environ)
            except CannotDecrypt:
                off = "its key cannot be decrypted with this host's ENCRYPTION_KEYS"
            except ValueError as error:
                off = known.redact(str(error))
        if upstream is not None and not upstream.credentials:
            upstream, off = None, "it has no key"
        block = row.health if isinstance(row.health, dict) else {}
        found.append(
            Watched(
                row=row,
                off=off,
                upstream=upstream,
                interval_s=interval_of(block),
                probe_model=_text(block.get("paid_probe_model")),
                status_page=_text(block.get("status_page")),
            )
        )
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _off(row: Provider, keys: Keys, *, is_switched_off: bool) -> str:
    if not row.enabled:
        return "it is disabled"
    if is_switched_off:
        return "an operator has switched it off"
    if row.unconfirmed_headers or (keys.withheld and not keys.used):
        return UNCONFIRMED
    return unable(row.kind, row.base_url, row.headers, has_key=bool(keys.used))


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Its list, or the simulator's word; `probed` is a call that was made since that said no."""

    look: Look
    probed: Look | None = None


def look_at_all(
    many: Iterable[Watched],
    *,
    may_probe: Callable[[Watched], bool] = lambda _one: False,
) -> Mapping[str, Looked]:
    """By name, what looking at each of `many` showed."""
    return asyncio.run(_look_at_all(list(many), may_probe))


async def _look_at_all(
    many: Sequence[Watched], may_probe: Callable[[Watched], bool]
) -> Mapping[str, Looked]:
    transport = Transport()
    places = asyncio.Semaphore(AT_ONCE)
    found: dict[str, Looked] = {}

    async def one(provider: Watched) -> None:
        async with places:
            found[provider.name] = await _look_at(
                provider, transport, may_probe=may_probe(provider)
            )

    try:
        await asyncio.gather(*(one(provider) for provider in many))
    finally:
        await transport.aclose()
    return found


async def _look_at(provider: Watched, transport: Transport, *, may_probe: bool) -> Looked:
    upstream = provider.upstream
    assert upstream is not None  # noqa: S101 - who is off is not looked at

    async def call(credential: Credential) -> Look:
        return await probe(
            upstream,
            transport,
            provider.probe_model or "health",
            credential=credential,
            connect_s=provider.connect_s,
            total_s=CONNECT_S if provider.is_simulated else TOTAL_S,
        )

    async def read(credential: Credential) -> Look:
        return await look(upstream, transport, credential=credential, connect_s=provider.connect_s)

    if provider.is_simulated:
        return Looked(look=await call(upstream.credentials[0]))
    found = await _with_some_key(upstream, read)
    if not (may_probe and provider.probe_model and found.finding.refuses_to_list):
        return Looked(look=found)
    return Looked(look=found, probed=await call(_of(upstream, found.credential)))


async def _with_some_key(upstream: Upstream, read: Callable[[Credential], Awaitable[Look]]) -> Look:
    """A key that is refused says nothing of the next one."""
    first: Look | None = None
    for credential in upstream.credentials[:CREDENTIALS]:
        found = await read(credential)
        if found.finding not in {Finding.REFUSES_KEY, Finding.LIMITS}:
            return found
        first = first or found
    assert first is not None  # noqa: S101 - watched() leaves nobody without
    return first


def _of(upstream: Upstream, label: str) -> Credential:
    return next(c for c in upstream.credentials if c.label == label)
