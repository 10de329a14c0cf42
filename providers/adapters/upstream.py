"""A provider as the engine calls it: compiled once per snapshot, then only bytes are joined."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from providers.adapters.adapter import Adapter
from providers.adapters.address import address_of, completed
from providers.adapters.auth import AUTHS, AuthScheme, Sent, auth_named
from providers.adapters.headers import VIA, checked_headers, is_authorized
from providers.adapters.judging import Judging
from providers.adapters.registry import ADAPTERS, KNOWN_KINDS
from providers.adapters.simulator.faults import SimulatedFault, parse_fault
from providers.adapters.simulator.provider import Simulator
from providers.adapters.spec import ProviderSpec
from providers.errors import Failure
from providers.protocols import PROTOCOLS
from providers.secrets.redaction import known
from providers.secrets.revealing import revealed_headers, revealed_proxy, revealed_secret
from providers.transport import Endpoint, Response, Transport

Header = tuple[bytes, bytes]

_DEFAULTS: Final = (
    ("content-type", "application/json"),
    ("accept-encoding", "identity"),  # no answer is worth unpacking on the way through
    ("user-agent", "switchyard"),
)
_ACCEPT: Final = {
    False: b"accept: application/json\r\n",
    True: b"accept: text/event-stream\r\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One key of a provider, in clear; `key_id` is "provider:label"."""

    label: str
    key_id: str
    secret: str = field(repr=False)


class Head(NamedTuple):
    """
    What all calls of one protocol with one credential begin and end with.

    `first` is the request line to `target` and `lines`; a request with a path of its own has
    another line, with `query` at its end. `last` is None where the credential's line is another
    one for each call.
    """

    target: bytes
    first: bytes
    lines: bytes
    last: bytes | None
    base: bytes
    query: bytes

    def to(self, path: str) -> tuple[bytes, bytes]:
        """`target` and `first` for a request with a path of its own."""
        target = self.at(path)
        return target, b"POST " + target + b" HTTP/1.1\r\n" + self.lines

    def at(self, path: str) -> bytes:
        """`path` below the base address, with the queries of both."""
        own, _, asked = path.encode().partition(b"?")
        query = b"&".join(filter(None, (self.query.removeprefix(b"?"), asked)))
        return self.base + own + (b"?" + query if query else b"")


class Upstream:
    """
    One provider, ready to be called.

    `protocols` are those that it understands as they are. `credentials` is never empty where none
    is needed: a single one without a secret then stands for the calls. `endpoint` is None for a
    simulator, and where there is no address to call. `secrets` are what has to stay out of
    messages, `judge` is asked what its answers mean.
    """

    __slots__ = (
        "_accept",
        "_auth",
        "_heads",
        "_owned",
        "_simulator",
        "_soft",
        "_translations",
        "adapter",
        "credentials",
        "endpoint",
        "fault",
        "judge",
        "name",
        "needs_credential",
        "protocols",
        "secrets",
        "spec",
    )

    def __init__(
        self,
        *,
        spec: ProviderSpec,
        adapter: Adapter,
        credentials: tuple[Credential, ...],
        endpoint: Endpoint | None = None,
        heads: Mapping[tuple[str, str], Head] | None = None,
        auth: AuthScheme | None = None,
        owned: frozenset[bytes] = frozenset(),
        simulator: Simulator | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.adapter = adapter
        self.credentials = credentials
        self.endpoint = endpoint
        self.fault: SimulatedFault | None = simulator.fault if simulator else None
        self.needs_credential = _needs_credential(spec, adapter)
        spoken = (adapter.protocols | set(spec.protocols)) & set(adapter.paths)
        can_answer = endpoint is not None or simulator is not None
        self.protocols: frozenset[str] = frozenset(spoken) if can_answer else frozenset()
        self._translations = translations_of(self.protocols)
        self._simulator = simulator
        self._heads = heads or {}
        self._auth = auth
        self._owned = owned
        self._soft = adapter.headers
        self._accept = {False: b"", True: b""} if b"accept" in owned else _ACCEPT
        self.secrets = tuple(c.secret for c in credentials if c.secret)
        self.judge = Judging(self.secrets)

    def __repr__(self) -> str:
        return f"<Upstream {self.name} ({self.adapter.kind})>"

    @classmethod
    def compile(
        cls,
        spec: ProviderSpec,
        decrypt: Callable[[str], str],
        environ: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
        auths: Mapping[str, AuthScheme] = AUTHS,
        hop: bytes = b"",
    ) -> Upstream:
        """
        The provider behind `spec`. `environ` holds the proxy variables, `auths` the schemes, `hop`
        what its calls say in `via`, "" for nothing.

        Raises ValueError, naming the provider and what is wrong, never a secret; what `decrypt`
        raises comes through.
        """
        try:
            return cls._compile(spec, decrypt, environ, sleep=sleep, rng=rng, auths=auths, hop=hop)
        except ValueError as error:
            raise ValueError(f"provider {spec.name}: {error}") from error

    @classmethod
    def _compile(
        cls,
        spec: ProviderSpec,
        decrypt: Callable[[str], str],
        environ: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]],
        rng: Callable[[], float],
        auths: Mapping[str, AuthScheme],
        hop: bytes,
    ) -> Upstream:
        if spec.kind not in KNOWN_KINDS:
            raise ValueError(f"kind {spec.kind!r} is not known")
        adapter = ADAPTERS.get(spec.kind) or Adapter(kind=spec.kind)
        headers = revealed_headers(spec, decrypt)
        fields = checked_headers(headers)
        credentials = tuple(
            Credential(label=entry.label, key_id=f"{spec.name}:{entry.label}", secret=secret)
            for entry in spec.credentials
            if (secret := revealed_secret(spec, entry, decrypt))
        )
        if not credentials and not _needs_credential(spec, adapter):
            credentials = (Credential(label="", key_id=f"{spec.name}:", secret=""),)
        if adapter.is_simulated:
            fault = parse_fault(spec.fault) if spec.fault else None
            simulator = Simulator(spec.name, fault, sleep=sleep, rng=rng)
            return cls(spec=spec, adapter=adapter, credentials=credentials, simulator=simulator)
        base_url = completed(spec.base_url, adapter.default_base_url)
        if not base_url or not adapter.paths:
            return cls(spec=spec, adapter=adapter, credentials=credentials)
        address = address_of(
            base_url,
            proxy=revealed_proxy(spec, decrypt),
            trust_env_proxy=spec.trust_env_proxy,
            environ=environ,
            version=adapter.version,
        )
        known.remember_named([*headers.items(), *parse_qsl(urlsplit(base_url).query)])
        known.remember_url(address.endpoint.proxy)
        fields = {"host": address.host} | {k: v.encode() for k, v in _DEFAULTS} | fields
        hop_line = b"%b: %b\r\n" % (VIA, hop) if hop else b""
        auth = auth_named(spec.auth or adapter.auth, auths)
        heads: dict[tuple[str, str], Head] = {}
        for credential in credentials:
            own = dict(fields)
            last: bytes | None = b"\r\n"
            if credential.secret:
                for name in auth.headers:
                    own.pop(name, None)
                line = auth.line(credential.secret)
                last = line + b"\r\n" if line else None
            lines = b"".join(k.encode() + b": " + v + b"\r\n" for k, v in own.items()) + hop_line
            for protocol, path in adapter.paths.items():
                target = address.path + path.encode() + address.query
                first = b"POST " + target + b" HTTP/1.1\r\n" + lines
                heads[protocol, credential.label] = Head(
                    target, first, lines, last, address.path, address.query
                )
        return cls(
            spec=spec,
            adapter=adapter,
            credentials=credentials,
            endpoint=address.endpoint,
            heads=heads,
            auth=auth,
            owned=frozenset(n.encode() for n in {*fields, *auth.headers, "authorization"}),
        )

    @property
    def is_able(self) -> bool:
        """Whether it can be called at all: it has an address, and a credential if it needs one."""
        return bool(self.protocols) and bool(self.credentials or not self.needs_credential)

    def spoken(self, protocol: str) -> str:
        """The protocol that a request of `protocol` is sent in; "" if there is none."""
        if protocol in self.protocols:
            return protocol
        return self._translations.get(protocol, "")

    def head(
        self,
        protocol: str,
        credential: Credential,
        headers: Sequence[Header],
        *,
        body: bytes,
        stream: bool,
        path: str = "",
    ) -> bytes:
        """
        The header block of one call; the credential is its last line.

        `path` is the request's own, below the base address; "" for that of its protocol.
        """
        head = self._heads[protocol, credential.label]
        target, first, last = head.target, head.first, head.last
        if path:
            target, first = head.to(path)
        forwarded = b""
        if (soft := self._soft.get(protocol)) is not None:
            given = {name for name, _ in headers}
            headers = [*headers, *(field for field in soft if field[0] not in given)]
        if headers:
            # Ours and the operator's count; a second one of the same name would be ambiguous.
            owned = self._owned
            forwarded = b"".join(
                [n + b": " + v + b"\r\n" for n, v in headers if n not in owned and n != b"accept"]
            )
        if last is None:
            assert self._auth is not None  # noqa: S101  # it has left the line empty
            lines = head.lines + self._accept[stream] + forwarded
            sent = Sent(target=target, lines=lines, body=body)
            last = self._auth.lines_for(credential.secret, sent) + b"\r\n"
        return b"%b%bcontent-length: %d\r\n%b%b" % (
            first,
            self._accept[stream],
            len(body),
            forwarded,
            last,
        )

    def send(
        self,
        transport: Transport,
        *,
        protocol: str,
        credential: Credential,
        headers: Sequence[Header],
        body: bytes,
        stream: bool,
        connect_s: float,
        deadline: float,
        path: str = "",
    ) -> Coroutine[Any, Any, Response]:
        """
        Make one call. `headers` are the caller's that may go upstream, with lower-case names;
        `deadline` (the loop's time) is for the response head. Raises ProviderError.
        """
        if self._simulator is not None:
            return self._simulator.answer(protocol, body, deadline, path)
        if self.endpoint is None:
            raise RuntimeError(f"provider {self.name} has no address; see `protocols`")
        head = self.head(protocol, credential, headers, body=body, stream=stream, path=path)
        return transport.send(self.endpoint, head, body, connect_s=connect_s, deadline=deadline)

    async def look(
        self,
        transport: Transport,
        path: str,
        *,
        credential: Credential,
        connect_s: float,
        deadline: float,
    ) -> Response:
        """GET `path` below the base address, as a call would go. Raises ProviderError."""
        if self.endpoint is None:
            raise RuntimeError(f"provider {self.name} has no address")
        head = next(h for (_protocol, label), h in self._heads.items() if label == credential.label)
        target = head.at(path)
        lines, last = head.lines + self._accept[False] + self._usual_lines(), head.last
        if last is None:
            assert self._auth is not None  # noqa: S101  # it has left the line empty
            sent = Sent(target=target, lines=lines, body=b"", method="GET")
            last = self._auth.lines_for(credential.secret, sent) + b"\r\n"
        return await transport.send(
            self.endpoint,
            b"GET %b HTTP/1.1\r\n%b%b" % (target, lines, last),
            b"",
            connect_s=connect_s,
            deadline=deadline,
        )

    def _usual_lines(self) -> bytes:
        """The header lines that every protocol of its kind wants, and nobody has set."""
        usual = [set(self._soft.get(name, ())) for name in self.adapter.protocols]
        wanted = sorted(set.intersection(*usual)) if usual else ()
        return b"".join([n + b": " + v + b"\r\n" for n, v in wanted if n not in self._owned])

    def classify(
        self, status: int, headers: Sequence[Header], body: bytes, *, now: float
    ) -> Failure:
        """The failure in an answer that is no 200, with this provider's keys taken out."""
        return self.adapter.classify(status, headers, body, now=now, secrets=self.secrets)


compile_upstream = Upstream.compile


def _needs_credential(spec: ProviderSpec, adapter: Adapter) -> bool:
    """Whether no call goes out without one."""
    usually = adapter.needs_credential and not is_authorized(spec.headers)
    return usually or (spec.is_unconfirmed and not adapter.is_simulated)


@lru_cache(maxsize=256)
def translations_of(spoken: frozenset[str]) -> Mapping[str, str]:
    """By a protocol that is not `spoken`: the one of those that its requests are translated to."""
    targets = [name for name in PROTOCOLS if name in spoken and PROTOCOLS[name].codec is not None]
    return {
        name: targets[0]
        for name, asked in PROTOCOLS.items()
        if targets and name not in spoken and asked.codec is not None
    }


def blames(failure: Failure, field_name: str) -> bool:
    """Whether a caller's error is about `field_name`, and may so be about what we injected."""
    return field_name in failure.message or (
        failure.body is not None and field_name.encode() in failure.body
    )
