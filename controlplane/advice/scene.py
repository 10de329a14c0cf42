"""What the database has configured, for the cautions about a row that has just been saved."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from controlplane.config.general import effective_settings
from controlplane.models import ConfigSource, Settings
from failover.cautions import (
    Caution,
    KnownProvider,
    Meaning,
    Member,
    address_cautions,
    case_cautions,
    disabled_cautions,
    hold_cautions,
    host_of,
    key_cautions,
    meaning_of,
    members_cautions,
    protocol_cautions,
    retry_first_cautions,
    rule_cautions,
    unable,
    unknown_fallbacks,
)
from failover.models import FailoverRule
from providers.adapters.registry import ADAPTERS
from providers.catalog.vendors import vendor_of
from providers.catalog_rows import lookup
from providers.destinations import UNCONFIRMED, is_withheld, unconfirmed
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.encryption import CannotDecrypt
from routing.gateway.deciding.table import ALIAS_DEPTH
from routing.models import (
    AbstractTarget,
    Alias,
    AliasTarget,
    Candidate,
    CanonicalModel,
    RoutingState,
    SwitchKind,
)
from routing.switches.state import rules_naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from providers.adapters.spec import ModelFacts
    from providers.catalog.effective import Known, Lookup
    from providers.managed.models import ManagedModel


class StoredScene:
    """
    A Scene over the rows that count, each looked up when it is asked for, and once.

    It is for one question: what is saved after it was made is not seen.
    """

    def __init__(self) -> None:
        self._is_whole = False
        self._pools: dict[str, CanonicalModel] = {}
        self._aliases: dict[str, Alias] = {}
        self._providers: dict[str, Provider | None] = {}
        self._seen: dict[str, KnownProvider | None] = {}
        self._metadata: dict[str, dict[str, Any]] = {}
        self._named: dict[str, Meaning | None] = {}
        self._listed: dict[str, tuple[Member, ...]] = {}
        self._known: dict[Member, Known] = {}

    @classmethod
    def whole(cls) -> StoredScene:
        """A scene that has looked up everything at once: for many questions."""
        scene = cls()
        scene._is_whole = True
        providers = Provider.effective().prefetch_related("credentials")
        scene._providers = {row.name: row for row in providers}
        pools = CanonicalModel.effective().prefetch_related("candidates")
        scene._pools = {row.name: row for row in pools.order_by("name")}
        aliases = Alias.effective().prefetch_related("targets")
        scene._aliases = {row.name: row for row in aliases}
        scene._metadata = {name: {} for name in scene._providers}
        listed: defaultdict[str, set[Member]] = defaultdict(set)
        for name, source, model, metadata in ProviderModel.objects.values_list(
            "provider__name", "provider__managed_source", "model_id", "metadata"
        ):
            row = scene._providers[name]
            listed[model].add(Member(provider=name, model=model))
            if row is not None and row.managed_source == source:
                scene._metadata[name][model] = metadata
        by_name = attrgetter("provider")
        scene._listed = {
            model: tuple(sorted(found, key=by_name)) for model, found in listed.items()
        }
        return scene

    @property
    def pools(self) -> Iterable[CanonicalModel]:
        """Of a whole scene: the pools that count, by name."""
        return self._pools.values()

    @property
    def providers(self) -> Iterable[str]:
        """Of a whole scene: the names of the providers."""
        return self._providers.keys()

    @property
    def inventory(self) -> Iterable[Member]:
        """Of a whole scene: what providers are configured to have."""
        return (member for members in self._listed.values() for member in members)

    @cached_property
    def settings(self) -> dict[str, Any]:
        source = ConfigSource.objects.filter(pk=1).first()
        row = Settings.objects.filter(pk=1).first() or Settings()
        return effective_settings(row, source.values if source else {})

    @property
    def rules_are_on(self) -> bool:
        return bool(self.settings["failover_enabled"])

    @property
    def disabled_models(self) -> frozenset[str]:
        return frozenset(self.settings["disabled_models"])

    def provider(self, name: str) -> KnownProvider | None:
        if name not in self._seen:
            self._seen[name] = self._see(name)
        return self._seen[name]

    def _see(self, name: str) -> KnownProvider | None:
        row = self._row(name)
        if row is None:
            return None
        return KnownProvider(
            name=name,
            enabled=row.enabled and (SwitchKind.PROVIDER, name, "", "") not in self.switched_off,
            host=host_of(row.kind, row.base_url),
            domain=row.failure_domain,
            unable=self._unable(row),
        )

    def _unable(self, row: Provider) -> str:
        if is_withheld(row):
            return UNCONFIRMED
        has_key = any(credential.enabled for credential in row.credentials.all())
        return unable(row.kind, row.base_url, row.headers, has_key=has_key)

    def _row(self, name: str) -> Provider | None:
        if name not in self._providers and not self._is_whole:
            self._providers[name] = Provider.named(name)
        return self._providers.get(name)

    def named(self, name: str) -> Meaning | None:
        if name not in self._named:
            self._named[name] = self._look_up(name)
        return self._named[name]

    def _look_up(self, name: str) -> Meaning | None:
        for _ in range(ALIAS_DEPTH):
            pool = self._pools.get(name) if self._is_whole else CanonicalModel.named(name)
            if pool is not None:
                is_on = (
                    pool.enabled
                    and (SwitchKind.CANONICAL_MODEL, "", name, "") not in self.switched_off
                )
                off = "" if is_on else f"model pool {name} is disabled"
                return Meaning(members=self.members_of(pool.candidates.all(), name), off=off)
            alias = self._aliases.get(name) if self._is_whole else Alias.named(name)
            if alias is None:
                return None
            if not alias.enabled:
                return Meaning(members=(), off=f"alias {name} is disabled")
            if not alias.target:
                return Meaning(members=members_of(alias.targets.all()))
            name = alias.target
        return None

    @cached_property
    def switched_off(self) -> frozenset[tuple[str, ...]]:
        """What operators' switches take out: kind, provider, model pool, model."""
        rows = RoutingState.standing().filter(enabled=False)
        return frozenset(rows.values_list(*RoutingState.IDENTITY))

    def members_of(self, targets: Iterable[AbstractTarget], pool: str) -> tuple[Member, ...]:
        """`targets` as members, each as the operators' switches in `pool` leave it."""
        return tuple(
            replace(member, enabled=False)
            if (SwitchKind.POOL_CANDIDATE, member.provider, pool, member.model) in self.switched_off
            else member
            for member in members_of(targets)
        )

    def listed(self, model: str) -> tuple[Member, ...]:
        if model not in self._listed and not self._is_whole:
            rows = ProviderModel.objects.filter(model_id=model).values_list("provider__name")
            names = [name for (name,) in rows.distinct().order_by()]
            self._listed[model] = tuple(Member(provider=name, model=model) for name in names)
        return self._listed.get(model, ())

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @cached_property
    def _catalogs(self) -> Lookup:
        return lookup(self.now)

    def known(self, member: Member) -> Known:
        """The facts that count, with their sources."""
        if member not in self._known:
            row = self._row(member.provider)
            vendor = vendor_of(row.kind, row.base_url) if row else ""
            if member.provider not in self._metadata:
                listed = row.models.values_list("model_id", "metadata") if row else ()
                self._metadata[member.provider] = dict(listed)
            metadata = self._metadata[member.provider].get(member.model, {})
            self._known[member] = self._catalogs.known(vendor, member.model, metadata)
        return self._known[member]

    def facts(self, member: Member) -> ModelFacts:
        return self.known(member).facts

    def notes(self, member: Member) -> list[str]:
        return self.known(member).warnings(self.now.date())


def members_of(targets: Iterable[AbstractTarget]) -> tuple[Member, ...]:
    return tuple(
        Member(
            provider=target.provider_name,
            model=target.model,
            enabled=getattr(target, "enabled", True),
            priority=target.priority,
            weight=None if target.weight == 1 else target.weight,
        )
        for target in targets
    )


def cautions_of(row: ManagedModel) -> list[str]:
    """What an operator ought to know of a row that has just been saved, as sentences."""
    if row.is_shadowed:
        return ["The configuration has one of the same name, which counts instead of this one."]
    scene = StoredScene()
    return [*_about(scene, row), *_missed(row)]


def settings_cautions(row: Settings) -> list[str]:
    """The same of the settings."""
    names = list(row.disabled_models)
    policy = {"hold_s": row.hold_s, "deadline_s": row.deadline_s}
    return [
        *_sentences(hold_cautions(policy), ()),
        *_sentences(disabled_cautions(StoredScene(), names), names),
    ]


def _twins(row: CanonicalModel | Alias | Provider) -> Iterator[Caution]:
    kinds = (Provider,) if isinstance(row, Provider) else (CanonicalModel, Alias)
    for kind in kinds:
        found = kind.objects.filter(name__iexact=row.name).values_list("name", flat=True)
        yield from case_cautions(row.name, set(found))


def _about(scene: StoredScene, row: ManagedModel) -> list[str]:
    if isinstance(row, CanonicalModel | Alias | Provider):
        return [*_sentences(_twins(row), ()), *_about_parts(scene, row)]
    if isinstance(row, FailoverRule):
        names = row.fallback_models
        found = [
            *unknown_fallbacks(scene, names),
            *rule_cautions(scene, row.primary_model, names),
        ]
        return [*_unknown_primary(scene, row.primary_model), *_sentences(found, names)]
    return []


def _about_parts(scene: StoredScene, row: CanonicalModel | Alias | Provider) -> list[str]:
    if isinstance(row, CanonicalModel):
        return _members(scene, list(row.candidates.all()), row)
    if isinstance(row, Alias):
        if not row.target:
            return _members(scene, list(row.targets.all()), row)
        meaning = scene.named(row.target)
        off = meaning.off if meaning else ""
        return [f"Nobody can serve it: {off}."] if off else []
    keys = {f"Key {c.label}": _revealed(c) for c in row.credentials.all()}
    return [
        *([] if row.kind in ADAPTERS else [f"Kind {row.kind} cannot be called yet."]),
        *unconfirmed(row),
        *_sentences(address_cautions(row.base_url), ()),
        *_sentences(protocol_cautions(row.kind, row.protocols), row.protocols),
        *_sentences(key_cautions(keys.values()), list(keys)),
    ]


def _revealed(credential: Credential) -> str:
    """Its secret; "" where it cannot be opened, of which another warning tells."""
    try:
        secret: str = credential.secret.reveal()
    except CannotDecrypt:
        return ""
    return secret


def _missed(row: ManagedModel) -> Iterator[str]:
    """Which rules lose a fallback by a row that has been switched off."""
    if getattr(row, "enabled", True) or not isinstance(row, Provider | CanonicalModel | Alias):
        return
    if losers := rules_naming(row.name, is_provider=isinstance(row, Provider)):
        yield f"It is switched off, and failover rules name it: those for {', '.join(losers)}."


def _unknown_primary(scene: StoredScene, primary: str) -> Iterator[str]:
    if meaning_of(scene, primary) is None:
        yield (
            f"{primary} is no model pool, alias, provider/model or listed model: nobody can ask"
            " for it, so the rule is never followed."
        )


def _members(
    scene: StoredScene, targets: Sequence[Candidate | AliasTarget], row: CanonicalModel | Alias
) -> list[str]:
    strategy = row.strategy or scene.settings["strategy"]
    members = scene.members_of(targets, row.name)
    found = [*members_cautions(scene, members, strategy, row.name)]
    if isinstance(row, CanonicalModel):
        most = {"max_attempts": scene.settings["max_attempts"], **row.failover}["max_attempts"]
        found += retry_first_cautions(members, row.failover.get("retry_first"), most)
        found += hold_cautions(row.failover)
    return _sentences(found, [str(target) for target in targets])


def _sentences(cautions: Iterable[Caution], names: Sequence[str]) -> list[str]:
    return [
        (caution.text[0].upper() + caution.text[1:] + ".")
        if caution.place is None
        else f"{names[caution.place]}: {caution.text}."
        for caution in cautions
    ]
