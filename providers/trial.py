"""One cheap call to a provider, to see whether it can be reached and takes our key."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from providers.adapters.auth import auth_named
from providers.adapters.registry import ADAPTERS
from providers.adapters.simulator.faults import parse_fault
from providers.adapters.simulator.provider import Simulator
from providers.adapters.spec import CredentialSpec, ProviderSpec
from providers.adapters.upstream import Header, Upstream, compile_upstream
from providers.errors import BadFraming, Fault, ProviderError, UpstreamTimedOut
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.redaction import known
from providers.transport import Transport, unpacked

if TYPE_CHECKING:
    from providers.models import Credential, Provider

TOTAL_S: Final = 10.0
CONNECT_S: Final = 5.0
MOST_BYTES: Final = 4 << 20
SAID: Final = 300  # characters of a provider's own words
# Many serve models and list none: no verdict is more honest than a wrong one.
_LISTS_NOTHING: Final = frozenset({403, 404, 405})


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


def try_provider(provider: Provider, credential: Credential | None) -> Trial:
    """
    Ask `provider` for its models, with `credential`, by the way that traffic takes.

    Never raises for what a provider does.
    """
    label = credential.label if credential else ""
    adapter = ADAPTERS.get(provider.kind)
    if adapter is None:
        words = f"Kind {provider.kind} cannot be called yet by this version."
        return Trial(ok=False, message=words, credential=label)
    if adapter.is_simulated:
        return _simulated(provider)
    if not (provider.base_url or adapter.default_base_url):
        return Trial(ok=False, message="It has no address.", credential=label)
    try:
        secret = credential.secret.reveal().strip() if credential else ""
        known.remember(secret)
        auth_named(provider.auth or adapter.auth).line(secret)
    except (CannotDecrypt, ValueError) as error:
        return Trial(ok=False, message=f"Its key cannot be used: {error}", credential=label)
    started = time.perf_counter()
    try:
        upstream = compile_upstream(_spec(provider, label, secret), decrypt=str, environ=os.environ)
        if not upstream.credentials:
            return Trial(ok=False, message="It has no key, so the gateway does not call it.")
        status, answered, body = asyncio.run(_models(upstream, provider))
    except (ProviderError, ValueError) as error:
        words = known.redact(str(error)) or type(error).__name__
        return Trial(
            ok=False,
            message=f"It cannot be reached: {words}",
            latency_ms=_since(started),
            credential=label,
        )
    ok, message, models = _verdict(upstream, status, answered, body)
    return Trial(
        ok=ok,
        message=message,
        status=status,
        latency_ms=_since(started),
        models=models,
        credential=label,
    )


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _spec(provider: Provider, label: str, secret: str) -> ProviderSpec:
    """`provider` as a snapshot would have it, with this one credential in clear."""
    return ProviderSpec(
        name=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        auth=provider.auth,
        credentials=(CredentialSpec(label=label, secret=secret),) if secret else (),
        headers=provider.headers,
        proxy=provider.proxy,
        trust_env_proxy=provider.trust_env_proxy,
    )


async def _models(upstream: Upstream, provider: Provider) -> tuple[int, Sequence[Header], bytes]:
    """Status, headers and body of the list of models. Redirects are not followed."""
    deadline = asyncio.get_running_loop().time() + TOTAL_S
    connect_s = min(provider.timeouts.get("connect_s", CONNECT_S), TOTAL_S)
    transport = Transport()
    try:
        reply = unpacked(
            await upstream.look(
                transport,
                upstream.adapter.models_path,
                credential=upstream.credentials[0],
                connect_s=connect_s,
                deadline=deadline,
            )
        )
        try:
            pieces, size = [], 0
            while piece := await reply.read(deadline):
                pieces.append(piece)
                size += len(piece)
                if size > MOST_BYTES:
                    raise BadFraming(f"its answer is larger than {MOST_BYTES} bytes")
        finally:
            reply.close()
    except UpstreamTimedOut as error:
        raise UpstreamTimedOut(f"its answer took longer than {TOTAL_S:g} s") from error
    finally:
        await transport.aclose()
    return reply.status, reply.headers, b"".join(pieces)


def _verdict(
    upstream: Upstream, status: int, headers: Sequence[Header], body: bytes
) -> tuple[bool | None, str, int | None]:
    if status == 200:
        count = _listed(body)
        if count is None:
            return (
                False,
                "It answers 200, but with no list of models: is the address right?",
                None,
            )
        return True, f"It answers, and lists {count} model{'' if count == 1 else 's'}.", count
    failure = upstream.classify(status, headers, body, now=time.time())
    said = f" It says: {known.redact(failure.message)[:SAID]}" if failure.message else ""
    if 300 <= status < 400:
        return False, f"It redirects ({status}); redirects are never followed.", None
    if status == 401 or failure.fault is Fault.AUTH:  # Google says so with 400
        return False, f"It refuses the key ({status}).{said}", None
    if status in _LISTS_NOTHING:
        return None, f"It answers, but lists no models ({status}); it may serve.{said}", None
    if status == 429:
        return None, f"It answers, but is limiting calls ({status}).{said}", None
    return False, f"It answers with status {status}.{said}", None


def _listed(body: bytes) -> int | None:
    """How many models a list holds; None if it is none."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    entries = value.get("data", value.get("models")) if isinstance(value, dict) else value
    return len(entries) if isinstance(entries, list) else None


def _simulated(provider: Provider) -> Trial:
    fault = parse_fault(provider.fault) if provider.fault else None
    simulator = Simulator(provider.name, fault)
    body = msgspec.json.encode({"model": "trial", "messages": [{"role": "user", "content": "hi"}]})

    async def ask() -> tuple[int, bytes]:
        deadline = asyncio.get_running_loop().time() + CONNECT_S
        reply = await simulator.answer("openai_chat", body, deadline)
        return reply.status, await reply.read_all(deadline)

    started = time.perf_counter()
    try:
        status, answer = asyncio.run(ask())
    except ProviderError as error:
        words = f"It fails as told ({provider.fault}): {error}"
        return Trial(ok=False, message=words, latency_ms=_since(started))
    ok = status == 200 and answer.startswith(b'{"') and answer.endswith(b"}")
    words = "It answers, inside this process." if ok else f"It fails as told ({provider.fault})."
    return Trial(ok=ok, message=words, status=status, latency_ms=_since(started))
