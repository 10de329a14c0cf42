"""
What is legal, and does less than it seems to: said when it is saved, and never refused.

Admin, API and the configuration file ask these functions, each with its own Scene. Facts that
nobody knows give no caution.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from providers.adapters.headers import is_authorized
from providers.adapters.own_address import is_own
from providers.adapters.registry import ADAPTERS
from providers.adapters.spec import ModelFacts, split_name
from providers.saying.counting import counted
from providers.secrets.redaction import LONG_ENOUGH

WEIGHTLESS: Final = frozenset({"priority_failover", "fill_first", "round_robin"})
TOGETHER: Final = "together"  # of a failure domain: who has the same fails together
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """`place`: the index of the candidate or fallback that it is about; None: the whole."""

    text: str
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProvider:
    """
    `host` is empty where nothing is called; `domain` is what the operator says of it. `unable`
    says why it cannot be called, if it cannot.
    """

    name: str
    enabled: bool = True
    host: str = ""
    unable: str = ""
    domain: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A candidate or target. `weight` is None where nobody has given one."""

    provider: str
    model: str
    enabled: bool = True
    priority: int = 1
    weight: int | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a name stands for. `off` says why operators keep it from being served, if they do."""

    members: tuple[Member, ...]
    off: str = ""


class Scene(Protocol):
    """What is configured, as far as it is asked for."""

    @property
    def rules_are_on(self) -> bool: ...

    @property
    def disabled_models(self) -> frozenset[str]: ...

    def provider(self, name: str) -> KnownProvider | None: ...

    def named(self, name: str) -> Meaning | None:
        """A model pool or an alias, whatever it stands for in the end."""

    def listed(self, model: str) -> tuple[Member, ...]:
        """Those whose inventories have a model id."""

    def facts(self, member: Member) -> ModelFacts: ...

    def notes(self, member: Member) -> Sequence[str]:
        """What its vendor plans for a model, in words; empty as a rule."""


def meaning_of(scene: Scene, name: str) -> Meaning | None:
    """What `name` stands for, looked up in the order in which requests are; None: nothing."""
    if found := scene.named(name):
        return found
    if pair := split_name(name, lambda provider: scene.provider(provider) is not None):
        return Meaning(members=(Member(provider=pair[0], model=pair[1]),))
    members = scene.listed(name)
    return Meaning(members=members) if members else None


def rule_cautions(scene: Scene, primary: str, fallbacks: Sequence[str]) -> Iterator[Caution]:
    """What a failover rule does not do, or does badly. Unknown names are `unknown_fallbacks`."""
    own = meaning_of(scene, primary)
    meanings = [meaning_of(scene, name) for name in fallbacks]
    if not scene.rules_are_on:
        yield Caution(text="failover rules are switched off")
    if primary in scene.disabled_models:
        yield Caution(text="failover is disabled for this model, so the rule is not followed")
    if own is not None and own.members and _embeds(scene, own.members):
        yield Caution(text="embeddings follow no rules: another model's vectors cannot be compared")
    for place, meaning in enumerate(meanings):
        if meaning is None:
            continue
        if reason := unserved(scene, meaning):
            yield Caution(place=place, text=f"nobody can serve it: {reason}")
            continue
        if scene.named(fallbacks[place]) is None:  # of a pool's own members the pool is told
            for note in dict.fromkeys(n for m in meaning.members for n in scene.notes(m)):
                yield Caution(place=place, text=note)
        if own is not None:
            for text in _lesser(scene, meaning.members, own.members, "the model's own"):
                yield Caution(place=place, text=text)
    known = [meaning for meaning in meanings if meaning is not None]
    if own is not None and own.members and known and len(known) == len(meanings):
        everyone = (*own.members, *(m for meaning in known for m in meaning.members))
        if shared := shared_domain(scene, everyone):
            yield Caution(text=f"model and fallbacks may all fail together: they share {shared}")


def unknown_fallbacks(scene: Scene, fallbacks: Sequence[str]) -> Iterator[Caution]:
    for place, name in enumerate(fallbacks):
        if meaning_of(scene, name) is None:
            yield Caution(
                place=place,
                text="it is no model pool, alias, provider/model or listed model,"
                " so it is passed over",
            )


def members_cautions(
    scene: Scene, members: Sequence[Member], strategy: str, name: str = ""
) -> Iterator[Caution]:
    """What candidates of one pool, or targets of one alias, do not do for each other."""
    if reason := unserved(scene, Meaning(members=tuple(members))):
        yield Caution(text=f"nobody can serve it: {reason}")
    else:
        for place, member in enumerate(members):
            provider = scene.provider(member.provider)
            if member.enabled and provider is not None and not provider.enabled:
                yield Caution(place=place, text=f"provider {member.provider} is disabled")
    tiers = Counter(member.priority for member in members)
    for place, member in enumerate(members):
        if member.weight is not None and tiers[member.priority] == 1:
            reason = "it is alone in its priority"
        elif member.weight is not None and strategy in WEIGHTLESS:
            reason = f"strategy {strategy} ignores weights"
        else:
            continue
        yield Caution(place=place, text=f"this weight has no effect: {reason}")
    for place, member in enumerate(members):
        for note in scene.notes(member):
            yield Caution(place=place, text=note)
    for place, member in enumerate(members[1:], start=1):
        for text in _lesser(scene, [member], members[:1], "the first candidate's"):
            yield Caution(place=place, text=text)
    models = sorted({member.model for member in members})
    if len(models) > 1 and (_embeds(scene, members) or "embed" in name.lower()):
        yield Caution(
            text=f"it mixes embedding models ({', '.join(models)}): another model's vectors"
            " cannot be compared"
        )
    if len(members) > 1 and (shared := shared_domain(scene, members)):
        yield Caution(text=f"the candidates may all fail together: they share {shared}")


def retry_first_cautions(
    members: Sequence[Member], rule: Mapping[str, Any] | None, max_attempts: int
) -> Iterator[Caution]:
    """What a pool's own `retry_first` does not do, or does for nothing."""
    if rule is None or not rule.get("times", 1) or len(members) < 2:
        return
    if max_attempts <= 2:
        yield Caution(
            text=f"retry_first has no effect: the last of {counted(max_attempts, 'call')} goes to"
            " a candidate that was not tried yet"
        )
    elif len({member.model for member in members}) == 1:
        yield Caution(
            text="retry_first waits for a candidate though the next one is the same model"
        )


def hold_cautions(policy: Mapping[str, Any]) -> Iterator[Caution]:
    """Of a failover block, or of the settings, that give both."""
    hold, deadline = policy.get("hold_s"), policy.get("deadline_s")
    if isinstance(hold, int | float) and isinstance(deadline, int | float) and hold > deadline:
        yield Caution(
            text=f"hold_s ({hold:g}) is longer than deadline_s ({deadline:g}), so it never comes:"
            " a request is over by then"
        )


def case_cautions(name: str, others: Iterable[str]) -> Iterator[Caution]:
    """A name beside which there is one that differs by upper and lower case alone."""
    folded = name.casefold()
    if twins := sorted(o for o in others if o != name and o.casefold() == folded):
        yield Caution(
            text=f"{name} differs from {', '.join(twins)} by upper and lower case alone: callers"
            " who write it the other way get the other one"
        )


def disabled_cautions(scene: Scene, names: Sequence[str]) -> Iterator[Caution]:
    """Models without failover that nothing is called by."""
    for place, name in enumerate(names):
        if meaning_of(scene, name) is None:
            yield Caution(
                place=place,
                text="it is no model pool, alias, provider/model or listed model, so nothing goes"
                " without failover by it",
            )


def unable(kind: str, base_url: str, headers: Mapping[str, str], *, has_key: bool) -> str:
    """Why a provider of `kind` cannot be called as it is; empty if it can."""
    adapter = ADAPTERS.get(kind)
    if adapter is None:
        return f"kind {kind} is not spoken yet"
    if adapter.is_simulated:
        return ""
    if not (base_url or adapter.default_base_url):
        return "it has no address"
    if adapter.needs_credential and not (has_key or is_authorized(headers)):
        return "it has no key"
    return ""


def host_of(kind: str, base_url: str) -> str:
    """The host that a provider of `kind` is called at; empty if it is none's."""
    adapter = ADAPTERS.get(kind)
    return urlsplit(base_url or (adapter.default_base_url if adapter else "")).hostname or ""


def address_cautions(base_url: str, environ: Mapping[str, str] = os.environ) -> Iterator[Caution]:
    parts = urlsplit(base_url)
    if is_own(base_url, environ):
        yield Caution(
            text="this gateway itself listens at its address: a request that it is called for "
            "comes back here and is refused as a loop"
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        yield Caution(text="it is called by plain http: keys and prompts can be read on the way")


def protocol_cautions(kind: str, protocols: Sequence[str]) -> Iterator[Caution]:
    """Of what a provider is said to speak besides its kind's usual; the place is the protocol's."""
    adapter = ADAPTERS.get(kind)
    able = adapter.paths if adapter else ()
    allowed = ", ".join(sorted(able)) or "none in this version"
    for place, protocol in enumerate(protocols):
        if protocol not in able:
            text = f"kind {kind} cannot speak {protocol}, so it is passed over; allowed: {allowed}"
            yield Caution(place=place, text=text)


def key_cautions(keys: Iterable[str]) -> Iterator[Caution]:
    """Of a provider's keys; the place is the key's."""
    for place, key in enumerate(keys):
        if 0 < len(key) < LONG_ENOUGH:
            yield Caution(
                place=place,
                text=f"it is shorter than {LONG_ENOUGH} characters, so it is not taken out of"
                " what the provider says: it may be a word",
            )


def unserved(scene: Scene, meaning: Meaning) -> str:
    """Why operators leave nobody to serve it; empty if there is somebody."""
    if meaning.off:
        return meaning.off
    if not meaning.members:
        return "it has no candidates"
    if not any(member.enabled for member in meaning.members):
        return "every candidate is disabled"
    reasons = [_out(scene, member) for member in meaning.members]
    if not all(reasons):
        return ""
    if len(set(reasons)) > 1 and not any("cannot be called" in reason for reason in reasons):
        return "every candidate is disabled or missing"
    return "; ".join(dict.fromkeys(reasons))


def _out(scene: Scene, member: Member) -> str:
    if not member.enabled:
        return f"candidate {member.provider}/{member.model} is disabled"
    provider = scene.provider(member.provider)
    if provider is None:
        return f"there is no provider {member.provider}"
    if not provider.enabled:
        return f"provider {member.provider} is disabled"
    if provider.unable:
        return f"provider {member.provider} cannot be called: {provider.unable}"
    return ""


def _lesser(
    scene: Scene, others: Iterable[Member], first: Iterable[Member], whose: str
) -> Iterator[str]:
    """In what the best of `others` can do less than the best of `first`."""
    own, other = [scene.facts(m) for m in first], [scene.facts(m) for m in others]
    largest = max((f.context_window or 0 for f in own), default=0)
    windows = [f.context_window for f in other]
    if windows and all(windows) and (most := max(w or 0 for w in windows)) < largest:
        yield f"its context window ({most:,} tokens) is smaller than {whose} ({largest:,})"
    able = {name for f in own for name, can in f.capabilities.items() if can}
    missing = sorted(
        name for name in able if other and all(f.capabilities.get(name) is False for f in other)
    )
    if missing:
        yield f"it cannot do what {whose} can: {', '.join(missing)}"


def _embeds(scene: Scene, members: Sequence[Member]) -> bool:
    return any(
        "embed" in member.model.lower() or scene.facts(member).capabilities.get("embeddings")
        for member in members
    )


def shared_domain(scene: Scene, members: Iterable[Member]) -> str:
    """What all of `members` would fail with, in words; empty if nothing is known of the kind."""
    found = {member.provider: scene.provider(member.provider) for member in members}
    providers = [provider for provider in found.values() if provider is not None]
    if not providers or len(providers) < len(found):
        return ""
    first = providers[0]
    if len(providers) == 1:
        return f"provider {first.name}"
    together = {provider.domain.get(TOGETHER, "") for provider in providers}
    if len(together) == 1 and (name := together.pop()):
        return f"failure domain {TOGETHER} {name}"
    if all(provider.domain for provider in providers):
        if any(provider.domain != first.domain for provider in providers):
            return ""
        return "failure domain " + ", ".join(f"{k} {v}" for k, v in sorted(first.domain.items()))
    if first.host and all(provider.host == first.host for provider in providers):
        return f"host {first.host}"
    return ""
