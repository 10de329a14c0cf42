"""
The kinds of configuration objects: one table for edits, revisions, the file and what is applied.

A kind is a line here. What differs by kind is named by its dotted path, because this room stands
below all others: how its objects are read, and how one is written in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.apps import apps
from django.db.models import CASCADE
from django.utils.module_loading import import_string

from controlplane.edits.models import OTHER
from providers.managed.models import ManagedModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import Model

SETTINGS: Final = "settings"
ANY: Final = "configuration"  # the kind of an edit that may be of any object


class ObjectKey(NamedTuple):
    """Which object: `kind` is one of KINDS, or "settings" (of no name)."""

    kind: str
    name: str
    source: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    A kind of object that the file, admin and the API make.

    `model` is its row's label, and `parts` are labels of rows that belong to one, by the foreign
    key that leads there; `members` are the related managers of those that have a say of their own
    in what is allowed. `section` is its place in the file, where names are keys, or with `is_list`
    stand inside. `read` names the function that gives its
    objects as State (controlplane.config.objects), `shown` the one that writes an object for the
    file, `names` the one that tells which objects a Document has, of a list in its order. `write`
    makes the rows of a Part (controlplane.config.rows.part) what it says.
    """

    name: str
    model: str
    section: tuple[str, ...]
    read: str
    write: str
    names: str
    shown: str = "controlplane.config.text.as_it_is"
    parts: Mapping[str, str] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def rows(self) -> type[ManagedModel]:
        return apps.get_model(self.model)

    @cached_property
    def reader(self) -> Callable[..., Any]:
        return _function(self.read)

    @cached_property
    def sync(self) -> Callable[..., Any]:
        return _function(self.write)

    @cached_property
    def writer(self) -> Callable[..., Any]:
        return _function(self.shown)

    @cached_property
    def named(self) -> Callable[..., Any]:
        return _function(self.names)


def _function(path: str) -> Callable[..., Any]:
    found: Callable[..., Any] = import_string(path)
    return found


# In the order in which they are written: whoever is referred to comes before who refers.
KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="provider",
            model="providers.Provider",
            section=("providers",),
            read="controlplane.config.objects.providers",
            write="controlplane.config.rows.providers.write_providers",
            names="controlplane.config.apply.provider_names",
            shown="controlplane.config.text.provider_shown",
            parts={"providers.Credential": "provider", "providers.ProviderModel": "provider"},
            members=("credentials", "models"),
        ),
        Kind(
            name="pool",
            model="routing.CanonicalModel",
            section=("routing", "model_pools"),
            read="controlplane.config.objects.pools",
            write="controlplane.config.rows.objects.write_pools",
            names="controlplane.config.apply.pool_names",
            parts={"routing.Candidate": "canonical_model"},
            members=("candidates",),
        ),
        Kind(
            name="alias",
            model="routing.Alias",
            section=("aliases",),
            read="controlplane.config.objects.aliases",
            write="controlplane.config.rows.objects.write_aliases",
            names="controlplane.config.apply.alias_names",
            shown="controlplane.config.text.alias_shown",
            parts={"routing.AliasTarget": "alias"},
            members=("targets",),
        ),
        Kind(
            name="rule",
            model="failover.FailoverRule",
            section=("failover", "rules"),
            read="controlplane.config.objects.rules",
            write="controlplane.config.rows.objects.write_rules",
            names="controlplane.config.apply.rule_names",
            shown="controlplane.config.text.rule_shown",
        ),
        Kind(
            name="key",
            model="controlplane.ApiKey",
            section=("keys",),
            read="controlplane.config.objects.keys",
            write="controlplane.config.rows.objects.write_keys",
            names="controlplane.config.apply.key_names",
            shown="controlplane.config.text.key_shown",
            is_list=True,
        ),
        Kind(
            name="webhook",
            model="controlplane.Webhook",
            section=("alerts", "webhooks"),
            read="controlplane.alerts.configured.webhooks",
            write="controlplane.alerts.configured.write_webhooks",
            names="controlplane.alerts.configured.webhook_names",
            shown="controlplane.alerts.configured.webhook_shown",
            is_list=True,
        ),
    )
}
# Rows that are noted when they are saved, though they are no object of a kind.
_BESIDE: Final = {
    "controlplane.Settings": SETTINGS,
    "controlplane.ConfigSource": ANY,
    "controlplane.Team": OTHER,
    "providers.CatalogEntry": OTHER,
    "routing.RoutingState": OTHER,
}


def owners() -> dict[str, tuple[str, str]]:
    """By the label of each row that is noted: the foreign key to its object, and its kind."""
    found = {label: ("", kind) for label, kind in _BESIDE.items()}
    for kind in KINDS.values():
        found[kind.model] = ("", kind.name)
        found |= {label: (owner, kind.name) for label, owner in kind.parts.items()}
    return found


def unlisted() -> list[str]:
    """The labels of configuration's rows that no kind names, and whose edits nobody would note."""
    known = owners()
    objects = [model for model in apps.get_models() if issubclass(model, ManagedModel)]
    rows: Iterable[type[Model]] = {*objects, *(part for row in objects for part in _parts(row))}
    return sorted({row._meta.label for row in rows} - known.keys())  # noqa: SLF001 - Django's own API


def _parts(model: type[Model]) -> list[type[Model]]:
    """Whose rows go with a row of `model`."""
    relations = model._meta.related_objects  # noqa: SLF001 - Django's own API
    return [r.related_model for r in relations if getattr(r, "on_delete", None) is CASCADE]
