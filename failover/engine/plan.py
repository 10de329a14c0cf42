"""What the planner hands to the engine: candidates in order, and the rejected with reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from failover.engine.benches import Key
from failover.engine.policy import BenchPolicy, FailoverPolicy
from providers.adapters.spec import NO_FACTS, ModelFacts
from providers.adapters.upstream import Credential, Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that one attempt may take, by phase: candidate over pool over provider."""

    connect_s: float = 5
    first_token_s: float = 60
    reasoning_first_token_s: float = 300
    idle_s: float = 90
    total_s: float = 600
    stream_total_s: float = 3600


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """
    A provider model in one pool, compiled from the snapshot.

    `is_known` is False for an ad-hoc provider/model that no pool,
    alias, rule or inventory names: it leaves no state behind. `upstream` is None when the provider
    is unknown or its kind has no adapter.
    """

    name: str
    provider: str
    model: str
    upstream: Upstream | None
    times: Times
    bench_policy: BenchPolicy
    facts: ModelFacts = NO_FACTS
    priority: int = 1
    weight: int = 1
    is_enabled: bool = True
    is_provider_enabled: bool = True
    is_known: bool = True
    endpoint_key: Key = field(init=False)
    candidate_key: Key = field(init=False)
    _keys: dict[str, tuple[Key, Key, Key, Key]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint_key", (f"{self.provider}/*", None))
        object.__setattr__(self, "candidate_key", (self.name, None))

    def __repr__(self) -> str:
        return f"<Candidate {self.name}>"

    @property
    def context_window(self) -> int | None:
        return self.facts.context_window

    @property
    def credentials(self) -> tuple[Credential, ...]:
        return self.upstream.credentials if self.upstream else ()

    def credential_keys(self, label: str) -> tuple[Key, Key]:
        """(the credential, the credential at this model)."""
        return (f"{self.provider}/*", label), (self.name, label)

    def keys(self, label: str) -> tuple[Key, Key, Key, Key]:
        """Everything that a call with this credential says something about."""
        keys = self._keys.get(label)
        if keys is None:
            keys = (self.candidate_key, self.endpoint_key, *self.credential_keys(label))
            self._keys[label] = keys
        return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A candidate that is not tried. `reason` is one word of docs/failover.md."""

    candidate: Candidate
    reason: str
    returns_in_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    `steps` in the order of trying; `preferred` is the choice without benches and health.

    `last_standing`: everyone in `steps` is benched, and is tried because nobody else is left.
    `commit` moves the counter that the choice cost; the engine calls it once.
    """

    steps: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    preferred: Candidate | None
    policy: FailoverPolicy
    strategy: str
    last_standing: bool = False
    commit: Callable[[], None] | None = None
    warnings: tuple[str, ...] = ()
