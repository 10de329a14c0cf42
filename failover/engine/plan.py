"""
What the planner hands to the engine: candidates in order, the rejected with reasons, and what is
known by then of who can take the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from failover.engine.benches import Key
from failover.engine.policy import BenchPolicy, FailoverPolicy
from failover.engine.rendezvous import hash_of
from providers.adapters.adapter import Adapter
from providers.adapters.spec import NO_FACTS, ModelFacts
from providers.adapters.upstream import Credential, Upstream
from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS, Request
from providers.protocols.canonical import Prompt, Unfit
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of one attempt by phase: candidate over pool over provider over routing.defaults."""

    connect_s: float = 5
    first_token_s: float = 60
    reasoning_first_token_s: float = 300
    idle_s: float = 90
    total_s: float = 600
    stream_total_s: float = 3600


NO_ADAPTER: Final = Adapter(kind="")
FULL_RAMP: Final = 16  # weights count in sixteenths, so that rotations stay whole numbers


class CandidateLimits(Struct, frozen=True, kw_only=True, gc=False):
    """What a candidate takes by its own account, over all workers. None: no such limit."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """
    A provider model in one pool, compiled from the snapshot.

    `is_measured`: somebody goes by its load, so that its calls have to be noted. `spoken` are the
    protocols that it understands as they are. `subjects` are what a bench of it, or of its
    endpoint, is called. `is_switched_off`: an operator's switch, not
    the configuration, keeps it out. `is_known` is False for an ad-hoc
    provider/model that no pool, alias, rule or inventory names: it leaves no state behind.
    `upstream` is None when the provider is unknown or its kind has no adapter.
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
    is_switched_off: bool = False
    limits: CandidateLimits | None = None
    is_measured: bool = False
    endpoint_key: Key = field(init=False)
    candidate_key: Key = field(init=False)
    subjects: frozenset[str] = field(init=False)
    hash: int = field(init=False)
    target: Target = field(init=False)
    spoken: frozenset[str] = field(init=False)
    _keys: dict[str, tuple[Key, Key, Key, Key]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint_key", (f"{self.provider}/*", None))
        object.__setattr__(self, "candidate_key", (self.name, None))
        object.__setattr__(self, "subjects", frozenset((f"{self.provider}/*", self.name)))
        object.__setattr__(self, "hash", hash_of(self.name))
        object.__setattr__(self, "target", self._target())
        spoken = self.upstream.protocols if self.upstream is not None else frozenset()
        object.__setattr__(self, "spoken", spoken)

    def __repr__(self) -> str:
        return f"<Candidate {self.name}>"

    def _target(self) -> Target:
        """What a translated request has to know of it."""
        adapter = self.upstream.adapter if self.upstream is not None else NO_ADAPTER
        return Target(
            model=self.model,
            max_output_tokens=self.facts.max_output_tokens,
            reasons=self.facts.reasons,
            refuses=adapter.refuses,
            renames=dict(adapter.renames),
        )

    @property
    def context_window(self) -> int | None:
        return self.facts.context_window

    @property
    def credentials(self) -> tuple[Credential, ...]:
        return self.upstream.credentials if self.upstream else ()

    def credential_keys(self, label: str) -> tuple[Key, Key]:
        """(the credential, the credential at this model)."""
        return (f"{self.provider}/*", label), (self.name, label)

    def first_content_s(self, request: Request) -> float:
        """How long one call may take to its first content; a plain reply is content when whole."""
        times = self.times
        if not request.stream:
            return times.total_s
        if self.facts.reasons or "reasoning" in request.needs:
            return times.reasoning_first_token_s
        return times.first_token_s

    def keys(self, label: str) -> tuple[Key, Key, Key, Key]:
        """Everything that a call with this credential says something about."""
        keys = self._keys.get(label)
        if keys is None:
            keys = (self.candidate_key, self.endpoint_key, *self.credential_keys(label))
            self._keys[label] = keys
        return keys


class Untold(Exception):
    """`candidate` was asked about, and telling it the request belongs beside the event loop."""

    def __init__(self, fitting: Fitting, candidate: Candidate) -> None:
        super().__init__(candidate.name)
        self.fitting = fitting
        self.candidate = candidate

    def tell(self) -> None:
        """For a thread of its own."""
        self.fitting.tell(self.candidate)


class Fitting(Struct, eq=False):
    """
    `request` as its candidates would get it: read once, and written once for each who is asked
    about. Nothing is done for those who speak its protocol.

    `is_strict`: who cannot take every member is unfit. `misfits` are the unfit who have been asked
    about, each with the member that it cannot take. `contradiction`: why it can be told in no other
    protocol at all. `is_slow`: to tell somebody takes so long that it is not done here; Untold is
    raised instead.
    """

    request: Request
    is_strict: bool = False
    misfits: dict[str, str] = {}
    contradiction: ProtocolError | None = None
    prompt: Prompt | None = None
    told_by_name: dict[str, Translated] = {}
    is_slow: bool = False

    def misfit(self, candidate: Candidate) -> str:
        """
        The member for which `candidate` has to be left out; "" if it need not be. Raises Untold.
        """
        if self.request.protocol.name in candidate.spoken or candidate.upstream is None:
            return ""
        name = candidate.name
        if not (name in self.told_by_name or name in self.misfits):
            if self.is_slow:
                raise Untold(self, candidate)
            self.tell(candidate)
        return self.misfits.get(name, "")

    def tell(self, candidate: Candidate) -> None:
        """Find out whether `candidate` can take the request."""
        if what := self._tell(candidate):
            self.misfits[candidate.name] = what

    def tell_all(self, candidates: Iterable[Candidate]) -> None:
        """The same for all of them, after which nobody else is slow to be told."""
        self.is_slow = False
        for candidate in candidates:
            self.misfit(candidate)
            if (told := self.told_by_name.get(candidate.name)) is not None:
                told.forget()

    def told(self, candidate: Candidate) -> Translated:
        """The request for `candidate`, which is no misfit and speaks another protocol."""
        if candidate.name not in self.told_by_name:
            self._tell(candidate)
        return self.told_by_name[candidate.name]

    def dropped(self, candidate: Candidate) -> tuple[str, ...]:
        """The members that `candidate`, which is no misfit, would not get."""
        if self.request.protocol.name in candidate.spoken or candidate.upstream is None:
            return ()
        return self.told(candidate).written().dropped

    def _tell(self, candidate: Candidate) -> str:
        """Write the request for `candidate`; the member that it cannot take, or ""."""
        upstream, request = candidate.upstream, self.request
        assert upstream is not None  # noqa: S101  # the planner rejects candidates without one
        if self.contradiction is not None:
            return self.contradiction.param or "request"
        spoken = PROTOCOLS[upstream.spoken(request.protocol.name)]
        try:
            told = Translated(request, spoken, candidate.target, self.prompt)
            self.prompt = told.prompt
            dropped = told.written().dropped
        except ProtocolError as error:
            self.contradiction = error
            return error.param or "request"
        except Unfit as error:
            return error.what or "request"
        if dropped and self.is_strict:
            return dropped[0]
        self.told_by_name[candidate.name] = told
        return ""


class Rejected(Struct, frozen=True, kw_only=True):
    """A candidate that is not tried. `reason` is one word of docs/failover.md."""

    candidate: Candidate
    reason: str
    returns_in_s: float | None = None


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    How a candidate stood when it was planned for, where it was not at rest.

    `reason`: why it sits out, "" if it does not. `yields`: it may be tried after all if nobody
    else is left. `is_limited`: it is inside a rate limit, its provider's stated or its own.
    `ramp`: sixteenths of its weight that count, soon after a bench. `latency_s`: to the first
    token, lately; 0 if that was not measured.
    """

    reason: str = ""
    returns_in_s: float | None = None
    yields: bool = False
    is_limited: bool = False
    half_open: bool = False
    ramp: int = FULL_RAMP
    in_flight: int = 0
    latency_s: float = 0.0


class Inputs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    All that one decision read of what changes from request to request.

    `standings` are by candidate, `counters` of rotations by pool and candidate, `draws` what the
    dice gave in turn, and `pin` the candidate that the session, or the pool, was pinned to.
    `misfits` are candidates that cannot take the request, each with the member of it. `holder` is
    who keeps what the request refers to.
    """

    standings: dict[str, Standing] = {}
    counters: dict[str, dict[str, int]] = {}
    draws: tuple[float, ...] = ()
    pin: str = ""
    misfits: dict[str, str] = {}
    holder: str = ""


class Affinity(Struct, frozen=True, kw_only=True):
    """
    What has to be remembered if another candidate serves than `natural`.

    `natural` is the choice without benches, health and pins, `pinned` the pin that the plan heeded,
    or passed over because that one sits out. `members` are the names of the request's own pool:
    nobody else is ever pinned.
    """

    pool: str
    session: int
    natural: str
    pinned: str
    ttl_s: float
    members: frozenset[str]


class Why(Enum):
    """Why nobody may be tried."""

    NOBODY = auto()
    ONLY_THE_KEY = auto()  # the key's rights forbid everybody
    ALL_LIMITED = auto()  # everybody is inside a rate limit
    UNKNOWN_STATE = auto()  # what the request refers to is not known to be kept for its caller
    UNFIT = auto()  # nobody who may be tried can take the request


class Nobody(Struct, frozen=True, kw_only=True):
    """
    No plan: nobody may be tried, so that no call is made. `rejected` are all, each with its reason.

    `returns_in_s`: when the soonest of them returns, if that is known.
    """

    why: Why
    rejected: tuple[Rejected, ...]
    returns_in_s: float | None = None
    inputs: Inputs | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """
    `steps` in the order of trying; `preferred` is the choice without benches and health.

    `last_standing`: everyone in `steps` sits out, and is tried because nobody else is left.
    `commit` moves the counter that the choice cost; the engine calls it once. `inputs` is None
    where nothing but the table was read.
    """

    steps: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    preferred: Candidate | None
    policy: FailoverPolicy
    strategy: str
    last_standing: bool = False
    commit: Callable[[], None] | None = None
    warnings: tuple[str, ...] = ()
    inputs: Inputs | None = None
    affinity: Affinity | None = None
