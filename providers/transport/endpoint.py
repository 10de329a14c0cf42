"""Where a connection goes, and how much one may hold."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    One origin and the way to it; the key of a pool.

    `proxy` is the URL of an http or https proxy, "" for a direct connection. It may hold
    credentials, so it stays out of the repr.
    """

    scheme: str
    host: str
    port: int
    proxy: str = field(default="", repr=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.scheme, self.host, self.port, self.proxy)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash  # asked for at every call

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """Bounds of one transport; a peer that passes one gets BadFraming or waits."""

    connections_per_endpoint: int = 8192  # a net, not a brake: admission bounds what is in flight
    idle_per_endpoint: int = 256
    idle_s: float = 20
    pool_wait_s: float = 1
    header_bytes: int = 64 * 1024
    header_fields: int = 100
    informational: int = 10
    unread_bytes: int = 256 * 1024
    body_bytes: int = 64 * 1024 * 1024
