"""One cheap call to a provider, to see whether it can be reached and takes our key."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from providers.adapters.auth import AUTH_HEADERS, auth_named
from providers.adapters.registry import ADAPTERS
from providers.adapters.simulator.faults import parse_fault
from providers.adapters.simulator.provider import Simulator
from providers.errors import ProviderError
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.redaction import known

if TYPE_CHECKING:
    from providers.adapters.adapter import Adapter
    from providers.models import Credential, Provider

TOTAL_S: Final = 10.0
CONNECT_S: Final = 5.0
MOST_BYTES: Final = 4 << 20
SAID: Final = 300  # characters of a provider's own words
_AUTH_NAMES: Final = frozenset(name.encode() for name in AUTH_HEADERS)
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
    """Ask `provider` for its models, with `credential`. Never raises for what a provider does."""
    label = credential.label if credential else ""
    adapter = ADAPTERS.get(provider.kind)
    if adapter is None:
        words = f"Kind {provider.kind} cannot be called yet by this version."
        return Trial(ok=False, message=words, credential=label)
    if adapter.is_simulated:
        return _simulated(provider)
    base_url = provider.base_url or adapter.default_base_url
    if not base_url:
        return Trial(ok=False, message="It has no address.", credential=label)
    try:
        headers = _headers(provider, adapter, credential)
    except (CannotDecrypt, ValueError) as error:
        return Trial(ok=False, message=f"Its key cannot be used: {error}", credential=label)
    if credential is None and adapter.needs_credential and not _AUTH_NAMES & headers.keys():
        return Trial(ok=False, message="It has no key, so the gateway does not call it.")
    started = time.perf_counter()
    try:
        status, answered, body = _get(f"{base_url.rstrip('/')}/models", headers, provider)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        words = known.redact(str(error)) or type(error).__name__
        return Trial(
            ok=False,
            message=f"It cannot be reached: {words}",
            latency_ms=_since(started),
            credential=label,
        )
    ok, message, models = _verdict(adapter, status, answered, body)
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


def _headers(
    provider: Provider, adapter: Adapter, credential: Credential | None
) -> dict[bytes, bytes]:
    headers = {
        b"accept": b"application/json",
        b"user-agent": b"switchyard",
        **{k.lower().encode(): v.encode("latin-1") for k, v in provider.headers.items()},
    }
    if credential is not None:
        secret = credential.secret.reveal().strip()
        known.remember(secret)
        line = auth_named(provider.auth or adapter.auth).line(secret)
        name, _, value = line.rstrip().partition(b": ")
        headers[name] = value
    return headers


def _get(
    url: str, headers: dict[bytes, bytes], provider: Provider
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """
    Status, headers and body. The address is the operator's word, and redirects are not followed.

    Raises httpx.HTTPError.
    """
    known.remember_url(provider.proxy)
    deadline = time.monotonic() + TOTAL_S
    connect_s = min(provider.timeouts.get("connect_s", CONNECT_S), TOTAL_S)
    with (
        httpx.Client(
            proxy=provider.proxy or None,
            trust_env=provider.trust_env_proxy and not provider.proxy,
            verify=ssl.create_default_context(),  # whom the gateway's own transport trusts
            timeout=httpx.Timeout(TOTAL_S, connect=connect_s),
        ) as client,
        client.stream("GET", url, headers=list(headers.items())) as reply,
    ):
        pieces, size = [], 0
        for piece in reply.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise httpx.ReadError(f"its answer is larger than {MOST_BYTES} bytes")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"its answer took longer than {TOTAL_S:g} s")
        return reply.status_code, reply.headers.raw, b"".join(pieces)


def _verdict(
    adapter: Adapter, status: int, headers: list[tuple[bytes, bytes]], body: bytes
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
    failure = adapter.classify(status, headers, body, now=time.time())
    said = f" It says: {known.redact(failure.message)[:SAID]}" if failure.message else ""
    if 300 <= status < 400:
        return False, f"It redirects ({status}); redirects are never followed.", None
    if status == 401:
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
