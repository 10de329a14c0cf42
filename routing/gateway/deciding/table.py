"""
The routing table: a snapshot made ready for lookups, once per worker and generation.

A request takes the table once and keeps it; a new one replaces it by one assignment. Pools are
compiled when they are first asked for, so that a table of 10,000 costs no more than its names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from providers.adapters.registry import ADAPTERS
from providers.adapters.spec import split_name
from providers.adapters.upstream import Upstream, compile_upstream
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.pools import Compiler, Pool, measured_names
from routing.gateway.deciding.resolution import Resolution
from routing.gateway.deciding.snapshot import STEP, Content, Snapshot, Steps, finish
from routing.gateway.deciding.switches import Switches

SHARED_IDS: Final = "SHARED_IDS"  # a variable: callers may name what others' keys have made
_YES: Final = frozenset({"1", "on", "true", "yes"})
ALIAS_DEPTH = 16  # a cycle cannot be saved; this bounds one that came by another way


class Table:
    """
    Everything that resolving and planning look up.

    `pools`, `aliases`, `providers` and `rules` are the snapshot's specs by name; `keys` is by
    SHA-256 digest. `known` are the provider/model names that a pool, alias, rule or inventory
    mentions, `measured` those whose load somebody goes by. The specs are as operators' switches
    leave them. `able` are the enabled providers that can be called at any endpoint at all. Unless
    `captures`, nobody asks for prompts or answers to be kept. `shares_ids`: what providers keep
    may be named by every caller.
    `resolutions` is the resolver's memory.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        content: Content,
        upstreams: Mapping[str, Upstream],
        *,
        switches: Switches,
        names: Iterable[str],
        measured: frozenset[str],
        captures: bool,
        shares_ids: bool,
    ) -> None:
        """`content` is the snapshot's under `switches`; `names` are those that its pools have."""
        self.switches = switches
        self.generation = snapshot.generation
        self.checksum = snapshot.checksum
        self.created_at = snapshot.created_at
        self.upstreams = upstreams
        self.providers = {spec.name: spec for spec in content.providers}
        self.able = frozenset(
            name
            for name, spec in self.providers.items()
            if spec.enabled and name in upstreams and upstreams[name].is_able
        )
        self.pools = {spec.name: spec for spec in content.pools}
        self.aliases = {spec.name: spec for spec in content.aliases if spec.enabled}
        self.rules = {rule.primary: rule for rule in content.rules if rule.enabled}
        self.keys = {spec.digest: Key.compile(spec) for spec in content.keys}
        for spec in content.keys:
            if spec.former_digest:
                self.keys.setdefault(spec.former_digest, Key.compile(spec.formerly()))
        self.capture = content.capture
        self.captures = captures or (content.capture is not None and content.capture.asks)
        self.shares_ids = shares_ids
        self.disabled_models = frozenset(content.disabled_models)
        self.failover_enabled = content.failover_enabled
        self.inventory_is_allowlist = content.inventory_mode == "allowlist"
        self.resolutions: dict[str, Resolution] = {}
        self._listed: dict[str, list[str]] = {}
        for provider in content.providers:
            for model in provider.models:
                self._listed.setdefault(model, []).append(provider.name)
        self.known = self._known(names)
        self.measured = measured
        self._compiler = Compiler(content, self.providers, upstreams, self.measured, switches)
        self._pools: dict[str, Pool] = {}

    def pool(self, name: str) -> Pool | None:
        """The pool of a canonical model."""
        pool = self._pools.get(name)
        if pool is None and (spec := self.pools.get(name)) is not None:
            pool = self._pools[name] = self._compiler.pool(spec)
        return pool

    def alias(self, name: str) -> Pool | None:
        """The pool behind an alias: its canonical model's, or its own."""
        canonical = self.canonical(name)
        pool = self.pool(canonical) or self._pools.get(canonical)
        if pool is None and (spec := self.aliases.get(canonical)) is not None and spec.targets:
            pool = self._pools[canonical] = self._compiler.alias_pool(spec)
        return pool

    def canonical(self, name: str) -> str:
        """What an alias stands for in the end: a canonical model, or an alias with targets."""
        for _ in range(ALIAS_DEPTH):
            spec = self.aliases.get(name)
            if name in self.pools or spec is None or spec.targets:
                break
            name = spec.target
        return name

    def direct(self, name: str) -> Pool | None:
        """The pool of one provider/model, configured or not; a comma makes a chain of it."""
        pair = self.split(name) if "," not in name else None
        if pair is None or (self.inventory_is_allowlist and not self._lists(*pair)):
            return None
        return self._compiler.unconfigured(name, pair, is_known=name in self.known)

    def listed(self, model: str) -> Pool | None:
        """The pool of every provider whose inventory has `model`."""
        names = self._listed.get(model)
        if names is None:
            return None
        return self._compiler.unconfigured(model, *((name, model) for name in names))

    def split(self, name: str) -> tuple[str, str] | None:
        """(provider, model) of a "provider/model" name."""
        return split_name(name, self.providers.__contains__)

    def names(self, name: str) -> bool:
        """Whether operators wrote `name`: of a pool or an alias, or a model of a provider."""
        return (
            name in self.pools or name in self.aliases or name in self.known or name in self._listed
        )

    def _lists(self, provider: str, model: str) -> bool:
        return provider in self._listed.get(model, ())

    def _known(self, of_pools: Iterable[str]) -> frozenset[str]:
        names = set(of_pools)
        names.update(f"{c.provider}/{c.model}" for a in self.aliases.values() for c in a.targets)
        names.update(f"{name}/{model}" for model, owners in self._listed.items() for name in owners)
        for rule in self.rules.values():
            names.update(n for n in (rule.primary, *rule.fallbacks) if self.split(n) is not None)
        return frozenset(names)


def compile_table(
    snapshot: Snapshot, *, decrypt: Callable[[str], str], environ: Mapping[str, str]
) -> Table:
    """
    The table of `snapshot`. `environ` gives the proxy variables.

    Raises ValueError naming the provider whose settings or secrets cannot be used.
    """
    return finish(compiling(snapshot, decrypt=decrypt, environ=environ))


def compiling(
    snapshot: Snapshot,
    *,
    decrypt: Callable[[str], str],
    environ: Mapping[str, str],
    hop: bytes = b"",
) -> Steps[Table]:
    """compile_table() in steps of some milliseconds. `hop` is what calls say of this gateway."""
    upstreams = {
        spec.name: compile_upstream(spec, decrypt, environ, hop=hop)
        for spec in snapshot.content.providers
        if spec.kind in ADAPTERS
    }
    yield
    switches = Switches(snapshot.content.switches)
    content = switches.over(snapshot.content)
    names: set[str] = set()
    measured = set(measured_names(content.aliases, content.defaults))
    captures = any(key.capture and key.capture.asks for key in content.keys)
    for first in range(0, len(content.pools), STEP):
        yield
        pools = content.pools[first : first + STEP]
        names.update([f"{c.provider}/{c.model}" for pool in pools for c in pool.candidates])
        measured.update(measured_names(pools, content.defaults))
        captures = captures or any(pool.capture and pool.capture.asks for pool in pools)
    yield
    return Table(
        snapshot,
        content,
        upstreams,
        switches=switches,
        names=names,
        measured=frozenset(measured),
        captures=captures,
        shares_ids=environ.get(SHARED_IDS, "").strip().lower() in _YES,
    )
