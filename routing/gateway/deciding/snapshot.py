"""
The routing snapshot: everything that a request's way depends on, as one immutable value.

The control child builds it from database and file (controlplane.publishing), numbers it, and
writes it to disk; every worker decodes and compiles it once (routing.gateway.deciding.table).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Final, TypeVar, cast

import msgspec
from msgspec import Struct

from failover.engine.policy import BenchPolicy, FailoverPolicy
from providers.adapters.spec import ProviderSpec, Timeouts


class CaptureSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Whether prompts and answers are kept, and how long. None: as the next word says; the key's is
    over the pool's, and that over the general one.
    """

    requests: bool | None = None
    responses: bool | None = None
    keep_days: float | None = None

    @property
    def asks(self) -> bool:
        return bool(self.requests or self.responses)


class CandidateSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A provider model in a pool. Lower `priority` first; the position in the list breaks ties."""

    provider: str
    model: str
    priority: int = 1
    weight: int = 1
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    enabled: bool = True
    timeouts: Timeouts = Timeouts()


class PoolSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A canonical model and its candidates. None means: as `routing.defaults` says."""

    name: str
    candidates: tuple[CandidateSpec, ...]
    enabled: bool = True
    strategy: str | None = None
    session_affinity: bool | None = None
    session_affinity_ttl_s: float | None = None
    affinity_key: str | None = None
    stay_after_failover: bool | None = None
    native_first: bool | None = None
    params: str | None = None
    timeouts: Timeouts = Timeouts()
    failover: FailoverPolicy | None = None
    source: str = "dashboard"
    capture: CaptureSpec | None = None


class AliasSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A name for a canonical model (`target`), or for targets of its own."""

    name: str
    target: str = ""
    strategy: str | None = None
    targets: tuple[CandidateSpec, ...] = ()
    enabled: bool = True
    source: str = "dashboard"


class RuleSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`fallbacks` are names (a pool, an alias or provider/model), tried in order. One hop."""

    primary: str
    fallbacks: tuple[str, ...]
    enabled: bool = True
    source: str = "dashboard"


class KeySpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    An API key: `digest` is SHA-256 of the whole key. `models` are patterns (fnmatch); empty
    means every model. `expires_at` is Unix time in seconds. `former_digest` is that of the text
    which the key had before, and opens until `former_until`.
    """

    name: str
    digest: bytes
    team: str = ""
    user_path: str = ""
    models: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("inference",)
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    expires_at: float | None = None
    former_digest: bytes = b""
    former_until: float | None = None
    capture: CaptureSpec | None = None

    def formerly(self) -> KeySpec:
        """The same key by its former text: it is counted as one, and ends sooner."""
        ends = [end for end in (self.expires_at, self.former_until) if end is not None]
        return msgspec.structs.replace(self, expires_at=min(ends, default=None))


class SwitchSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    What an operator has switched off: a provider, a pool, or a candidate in one pool.

    `kind` is "provider", "canonical_model" or "pool_candidate"; names that its kind does not need
    are empty. `until` is Unix time in seconds; the switch ends by being published no more, and
    where nobody can publish, in each worker a moment later.
    """

    kind: str
    provider: str = ""
    canonical_model: str = ""
    model: str = ""
    reason: str = ""
    until: float | None = None


class RoutingDefaults(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`routing.defaults`."""

    strategy: str = "priority_failover"
    session_affinity: bool = True
    session_affinity_ttl_s: float = 1800
    stay_after_failover: bool = False
    native_first: bool = False
    params: str = "lenient"
    timeouts: Timeouts = Timeouts()
    failover: FailoverPolicy = FailoverPolicy()


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a snapshot says. Every list is sorted by name, so that equal content has equal bytes."""

    providers: tuple[ProviderSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()
    aliases: tuple[AliasSpec, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    keys: tuple[KeySpec, ...] = ()
    defaults: RoutingDefaults = RoutingDefaults()
    failover_enabled: bool = True
    disabled_models: tuple[str, ...] = ()
    inventory_mode: str = "fallback"
    bench: BenchPolicy = BenchPolicy()
    provider_bench: dict[str, BenchPolicy] = {}
    switches: tuple[SwitchSpec, ...] = ()
    capture: CaptureSpec | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """A numbered, checksummed Content. `created_at` is Unix time in seconds."""

    generation: int
    created_at: float
    checksum: str
    content: Content


class _Sealed(Struct, frozen=True, kw_only=True):
    """A snapshot whose content is still, or already, in bytes."""

    generation: int
    created_at: float
    checksum: str
    content: msgspec.Raw


class _Opened(Content, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A content whose pools are still in bytes: there may be ten thousand."""

    pools: tuple[msgspec.Raw, ...] = ()  # type: ignore[assignment] # until they are decoded


STEP: Final = 1000  # pools at once: about 3 ms
Value = TypeVar("Value")
Steps = Generator[None, None, Value]

_sealed: msgspec.msgpack.Decoder[_Sealed] = msgspec.msgpack.Decoder(_Sealed)
_opened: msgspec.msgpack.Decoder[_Opened] = msgspec.msgpack.Decoder(_Opened)
_pool: msgspec.msgpack.Decoder[PoolSpec] = msgspec.msgpack.Decoder(PoolSpec)


def finish(steps: Steps[Value]) -> Value:
    """What `steps` lead to, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Value", end.value)


def pack(content: Content) -> bytes:
    """The content's canonical bytes."""
    return msgspec.msgpack.encode(content, order="deterministic")


def digest_of(packed: bytes) -> str:
    """SHA-256 of a content's canonical bytes, in hex."""
    return hashlib.sha256(packed).hexdigest()


def checksum(content: Content) -> str:
    return digest_of(pack(content))


def seal(snapshot: Snapshot, packed: bytes) -> bytes:
    """The bytes of `snapshot`, whose content's are `packed`."""
    return msgspec.msgpack.encode(
        _Sealed(
            generation=snapshot.generation,
            created_at=snapshot.created_at,
            checksum=snapshot.checksum,
            content=msgspec.Raw(packed),
        )
    )


def encode(snapshot: Snapshot) -> bytes:
    return seal(snapshot, pack(snapshot.content))


def decode(raw: bytes) -> Snapshot:
    """The snapshot in `raw`. Raises ValueError if it is torn, foreign or altered."""
    return finish(decoding(raw))


def decoding(raw: bytes) -> Steps[Snapshot]:
    """decode() in steps of some milliseconds."""
    try:
        sealed = _sealed.decode(raw)
        packed = bytes(sealed.content)
        if digest_of(packed) != sealed.checksum:
            raise ValueError(f"snapshot {sealed.generation} does not match its checksum")
        yield
        opened = _opened.decode(packed)
        pools: list[PoolSpec] = []
        for first in range(0, len(opened.pools), STEP):
            yield
            pools += [_pool.decode(pool) for pool in opened.pools[first : first + STEP]]
    except msgspec.DecodeError as error:
        raise ValueError(f"this is not a snapshot of this version: {error}") from error
    fields = {name: getattr(opened, name) for name in Content.__struct_fields__}
    return Snapshot(
        generation=sealed.generation,
        created_at=sealed.created_at,
        checksum=sealed.checksum,
        content=Content(**{**fields, "pools": tuple(pools)}),
    )
