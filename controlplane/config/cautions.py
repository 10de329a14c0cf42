"""What the configuration file says of pools, aliases, rules and addresses that helps nobody."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from controlplane.config.references import alias_paths
from controlplane.config.yaml import Mistake
from failover.cautions import (
    Caution,
    KnownProvider,
    Meaning,
    Member,
    address_cautions,
    case_cautions,
    hold_cautions,
    host_of,
    key_cautions,
    members_cautions,
    protocol_cautions,
    retry_first_cautions,
    rule_cautions,
    unable,
)
from failover.engine.policy import FailoverPolicy
from providers.adapters.spec import NO_FACTS
from providers.catalog.effective import Lookup
from providers.catalog.shipped import Catalog, shipped
from providers.catalog.vendors import vendor_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from controlplane.config.environment import Rules
    from controlplane.config.schema import AliasTargetBlock, CandidateBlock, ConfigurationBlock
    from controlplane.config.yaml import Path, Tree
    from providers.adapters.spec import ModelFacts


class FileScene:
    """A Scene of the file alone: what only admin knows, nothing is said of."""

    def __init__(
        self,
        blocks: ConfigurationBlock,
        *,
        rules_are_on: bool,
        disabled_models: Iterable[str],
        now: datetime,
        kept: Iterable[Path] = (),
        elsewhere: Iterable[str] = (),
    ) -> None:
        """
        `kept` are places in the file whose secrets stay as they are stored, `elsewhere` providers
        that it need not hold.
        """
        self.blocks = blocks
        self.rules_are_on = rules_are_on
        self.disabled_models = frozenset(disabled_models)
        self._pool_of = {
            alias: name
            for name, pool in blocks.routing.model_pools.items()
            for alias in pool.aliases
        }
        keyed = {path[1] for path in kept if path[0] == "providers" and len(path) > 2}
        keyed |= {
            name
            for name, block in blocks.providers.items()
            if block.api_key or any(entry.key and entry.enabled for entry in block.api_keys)
        }
        self._providers = {name: KnownProvider(name=name) for name in elsewhere} | {
            name: KnownProvider(
                name=name,
                enabled=block.enabled,
                host=host_of(block.kind, block.base_url),
                domain=block.failure_domain,
                unable=unable(block.kind, block.base_url, block.headers, has_key=name in keyed),
            )
            for name, block in blocks.providers.items()
        }
        self._vendors = {
            name: vendor_of(block.kind, block.base_url) for name, block in blocks.providers.items()
        }
        self._metadata = {
            (name, entry.id): entry.metadata.given()
            for name, block in blocks.providers.items()
            for entry in block.models
        }
        self._listed: defaultdict[str, list[Member]] = defaultdict(list)
        for name, model in self._metadata:
            self._listed[model].append(Member(provider=name, model=model))
        # What was imported is in the database, which a check of the file must not need.
        self._catalogs = Lookup(shipped(), Catalog((), {}), now=now)
        self._today = now.date()
        self._told: dict[tuple[str, str], tuple[ModelFacts, list[str]]] = {}

    def provider(self, name: str) -> KnownProvider | None:
        return self._providers.get(name)

    def named(self, name: str) -> Meaning | None:
        name = self._pool_of.get(name, name)
        for _ in range(len(self.blocks.aliases) + 1):
            if pool := self.blocks.routing.model_pools.get(name):
                off = "" if pool.enabled else f"model pool {name} is disabled"
                return Meaning(members=members_of(pool.candidates), off=off)
            alias = self.blocks.aliases.get(name)
            if alias is None:
                return None
            if not alias.enabled:
                return Meaning(members=(), off=f"alias {name} is disabled")
            if alias.targets:
                return Meaning(members=members_of(alias.targets))
            name = self._pool_of.get(alias.target, alias.target)
        return None

    def listed(self, model: str) -> tuple[Member, ...]:
        return tuple(self._listed.get(model, ()))

    def facts(self, member: Member) -> ModelFacts:
        return self._tell(member)[0]

    def notes(self, member: Member) -> list[str]:
        return self._tell(member)[1]

    def _tell(self, member: Member) -> tuple[ModelFacts, list[str]]:
        """Facts and notes; looked up once, because files of thousands of pools are read often."""
        key = (member.provider, member.model)
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = self._look_up(*key)
        return told

    def _look_up(self, provider: str, model: str) -> tuple[ModelFacts, list[str]]:
        vendor = self._vendors.get(provider, "")
        metadata = self._metadata.get((provider, model), {})
        if not metadata and not self._catalogs.entries(vendor, model):
            return NO_FACTS, []
        known = self._catalogs.known(vendor, model, metadata)
        return known.facts, known.warnings(self._today)


def members_of(targets: Iterable[CandidateBlock | AliasTargetBlock]) -> tuple[Member, ...]:
    return tuple(
        Member(
            provider=target.provider,
            model=target.model,
            enabled=getattr(target, "enabled", True),
            priority=target.priority,
            weight=target.weight if "weight" in target.model_fields_set else None,
        )
        for target in targets
    )


def file_cautions(
    tree: Tree,
    scene: FileScene,
    rules: Rules,
    origins: Mapping[str, str],
) -> Iterator[Mistake]:
    """
    Cautions by their place in the file.

    `rules` are all of them; `origins` names the file or variable of those that the file itself
    does not hold.
    """
    blocks = scene.blocks
    yield from _names(tree, scene)
    policy = blocks.routing.defaults.failover
    for caution in hold_cautions(policy.given()):
        yield tree.mistake(("routing", "defaults", "failover", "hold_s"), caution.text)
    default = blocks.routing.defaults.strategy or ""  # admin may say another
    attempts = blocks.routing.defaults.failover.max_attempts or FailoverPolicy().max_attempts
    for name, provider in blocks.providers.items():
        for caution in address_cautions(provider.base_url):
            yield tree.mistake(("providers", name, "base_url"), caution.text)
        for caution in protocol_cautions(provider.kind, provider.protocols):
            yield _at(tree, ("providers", name, "protocols"), caution)
        for caution in key_cautions([provider.api_key]):
            yield tree.mistake(("providers", name, "api_key"), caution.text)
        for caution in key_cautions([credential.key for credential in provider.api_keys]):
            yield _at(tree, ("providers", name, "api_keys"), caution)
    for name, pool in blocks.routing.model_pools.items():
        path: Path = ("routing", "model_pools", name, "candidates")
        members = members_of(pool.candidates)
        for caution in members_cautions(scene, members, pool.strategy or default, name):
            yield _at(tree, path, caution)
        rule, most = pool.failover.retry_first, pool.failover.max_attempts or attempts
        for caution in retry_first_cautions(members, rule.given() if rule else None, most):
            where: Path = ("routing", "model_pools", name, "failover", "retry_first")
            yield tree.mistake(where, caution.text)
        for caution in hold_cautions(pool.failover.given()):
            yield tree.mistake(("routing", "model_pools", name, "failover", "hold_s"), caution.text)
    for name, alias in blocks.aliases.items():
        if alias.targets:
            members = members_of(alias.targets)
            for caution in members_cautions(scene, members, alias.strategy or default, name):
                yield _at(tree, ("aliases", name, "targets"), caution)
        elif (meaning := scene.named(alias.target)) is not None and meaning.off:
            yield tree.mistake(("aliases", name), f"nobody can serve it: {meaning.off}")
    if not scene.rules_are_on:
        return  # whoever switches them off knows
    for primary, fallbacks in rules.items():
        for caution in rule_cautions(scene, primary, fallbacks):
            if origin := origins.get(primary):
                place = "" if caution.place is None else f"[{caution.place}]"
                yield Mistake(file=origin, line=0, path=f"{primary}{place}", text=caution.text)
            else:
                yield _at(tree, ("failover", "rules", primary), caution)


def _names(tree: Tree, scene: FileScene) -> Iterator[Mistake]:
    """Names that differ by upper and lower case alone, told at the later one."""
    providers: list[tuple[Path, str]] = [(("providers", n), n) for n in scene.blocks.providers]
    pools = scene.blocks.routing.model_pools
    callable_: list[tuple[Path, str]] = [(("routing", "model_pools", name), name) for name in pools]
    callable_ += [(path, name) for path, name, _target in alias_paths(tree)]
    for places in (providers, callable_):
        seen: defaultdict[str, list[str]] = defaultdict(list)
        for path, name in places:
            for caution in case_cautions(name, seen[name.casefold()]):
                yield tree.mistake(path, caution.text)
            seen[name.casefold()].append(name)


def _at(tree: Tree, path: Path, caution: Caution) -> Mistake:
    if caution.place is None:
        return tree.mistake(path, caution.text)
    has_weight = caution.text.startswith("this weight")
    where = (*path, caution.place, "weight") if has_weight else (*path, caution.place)
    return tree.mistake(where, caution.text)
