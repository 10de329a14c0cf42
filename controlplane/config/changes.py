"""What differs between two states of the configuration: by object, and by field, old → new."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from controlplane.config.general import ADMIN_ONLY
from controlplane.config.objects import CONFIG, Block, Secret, State
from controlplane.edits.kinds import SETTINGS, ObjectKey
from controlplane.models import Settings
from routing.validation import CAPTURE_SWITCHES, KEEP_DAYS, POOL_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from controlplane.edits.models import Edit

# What tells the members of a list of mappings apart; they are one name each.
_IDENTITY: Final = (("provider", "model"), ("label",), ("id",))
_ORDER: Final = "order"
SECRET: Final = "secret"  # noqa: S105 - the word that is shown in its place
# What holds where an object does not say: told in place of a dash.
_AS_SET: Final = "as in the settings"
_VALUES: Final = {
    "enabled": "true",
    "trust_env_proxy": "true",
    "priority": "1",
    "weight": "1",
    "scopes": '["inference"]',
    **dict.fromkeys(("rpm", "tpm", "max_parallel"), "no limit"),
    "interval_s": "60",
}
_OWN: Final = {
    "provider": {"base_url": "the kind's own", "auth": "the kind's own", "protocols": "the kind's"},
    "key": {"models": "every model", "expires_at": "never"},
    "webhook": {"kind": "signed"},
    "pool": dict.fromkeys(POOL_SETTINGS, _AS_SET),
    "alias": {"strategy": _AS_SET},
    SETTINGS: {"routing.defaults.failover.hedge_after_ms": "off"},
}
_CAPTURED: Final = frozenset({"capture", *CAPTURE_SWITCHES, *KEEP_DAYS})
_MEMBER: Final = re.compile(r"\[.*\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """
    None: it was, or is, not given; then `usual` holds. Of a secret only that it changed is known.
    """

    field: str
    old: Any
    new: Any
    usual: str = "none"

    @property
    def is_gone(self) -> bool:
        """Whether it is a member of a list that is no longer there, such as a candidate."""
        return self.new is None and self.field.endswith("]")

    def __str__(self) -> str:
        return f"{self.field}: {self._shown(self.old)} → {self._shown(self.new)}"

    def _shown(self, value: Any) -> str:
        if value is None:
            return self.usual
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that differs. `before` is None if it was made, `after` if it is gone."""

    key: ObjectKey
    before: Block | None
    after: Block | None

    @property
    def action(self) -> str:
        if self.key.kind == SETTINGS:
            return "changed"  # they are always there
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    @property
    def fields(self) -> list[FieldChange]:
        """The differing fields, in the order of the file; all that are given if one is None."""
        found = _fields(self.before or {}, self.after or {})
        return [replace(each, usual=_usual(self.key.kind, each.field)) for each in found]

    def __str__(self) -> str:
        by = " (configuration)" if self.key.source == CONFIG else ""
        return f"{self.action} {self.key}{by}"

    @property
    def text(self) -> str:
        """It and its fields, a line each."""
        return "\n".join((str(self), *(f"  {field}" for field in self.fields)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What of a state cannot be had again, and why; `fields` are those of the settings."""

    key: ObjectKey
    reasons: list[str]
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.key} {', '.join(self.fields)}".strip()
        return f"{what} is left as it is: {'; '.join(self.reasons)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changeset:
    """
    What was changed, or would be; `notes` are what is worth knowing of the rest.

    `concerns`, which the notes have too, are of the changes: what is not sent, or not allowed.
    `left_out` is what could not be changed, where the rest was all the same.
    """

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    concerns: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def changes_between(before: State, after: State) -> list[Change]:
    """Every object that is not the same in both, sorted by kind and name."""
    return [
        Change(key=key, before=before.get(key), after=after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _fields(before: Block, after: Block, prefix: str = "") -> Iterator[FieldChange]:
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        path = f"{prefix}{name}"
        if is_mapping(old) and is_mapping(new):
            yield from _fields(old or {}, new or {}, f"{path}.")
        elif (old or new) and is_list(old) and is_list(new):
            yield from _members(path, by_name(old or []), by_name(new or []))
        else:
            yield FieldChange(field=path, old=_open(old, new), new=_open(new, old, is_new=True))


def is_mapping(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def is_list(value: Any) -> bool:
    """Of mappings; None is one that is not given."""
    return value is None or (
        isinstance(value, list) and all(isinstance(member, dict) for member in value)
    )


def by_name(members: list[Block]) -> dict[str, Block]:
    return {_name(member): member for member in members}


def _name(member: Block) -> str:
    for names in _IDENTITY:
        if all(name in member for name in names):
            return "/".join(str(member[name]) for name in names)
    return msgspec.json.encode(member).decode()


def _members(path: str, old: dict[str, Block], new: dict[str, Block]) -> Iterator[FieldChange]:
    for name in {**old, **new}:
        if name in old and name in new:
            yield from _fields(old[name], new[name], f"{path}[{name}].")
        elif name in old:
            yield FieldChange(field=f"{path}[{name}]", old=_rest(old[name]), new=None)
        else:
            yield FieldChange(field=f"{path}[{name}]", old=None, new=_rest(new[name]))
    kept_before = [name for name in old if name in new]
    kept_after = [name for name in new if name in old]
    if kept_before != kept_after:
        yield FieldChange(field=f"{path}.{_ORDER}", old=kept_before, new=kept_after)


def _rest(member: Block) -> Any:
    """A whole member, without what its name says already."""
    named = next((n for n in _IDENTITY if all(name in member for name in n)), ())
    return {name: _open(value) for name, value in member.items() if name not in named} or "listed"


def _open(value: Any, other: Any = None, *, is_new: bool = False) -> Any:
    """`value` as it may be shown."""
    if isinstance(value, Secret):
        return "changed" if is_new and isinstance(other, Secret) else SECRET
    if isinstance(value, dict):
        return {name: _open(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_open(member) for member in value]
    return value


def shown_edits(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """Each edit as JSON values."""
    return [
        {
            "kind": edit.author_kind,
            "name": edit.author,
            "at": edit.at,
            "object": str(edit),
            "reason": edit.reason,
        }
        for edit in edits
    ]


def _usual(kind: str, field: str) -> str:
    """For `field` of an object of `kind`, as a FieldChange names it."""
    if _MEMBER.search(field):
        return "not listed"
    first, last = re.split(r"[.\[]", field, maxsplit=1)[0], field.rsplit(".", 1)[-1]
    if own := _OWN.get(kind, {}).get(field):
        return own
    if kind == SETTINGS:
        is_admins = field in ADMIN_ONLY
        return json.dumps(getattr(Settings(), field)) if is_admins else "the default"
    if first in {"timeouts", "bench", "failover"}:
        return _AS_SET
    if first == "capture" and last in _CAPTURED:
        return "as in general" if kind == "pool" else "as its pools'"
    return _VALUES.get(last, "none")


# As they are stored

_MARK: Final = "$secret"


def dump(block: Block | None) -> Any:
    """`block` as JSON values; its secrets as their fingerprints."""
    if isinstance(block, Secret):
        return {_MARK: block.fingerprint}
    if isinstance(block, dict):
        return {name: dump(value) for name, value in block.items()}
    if isinstance(block, list):
        return [dump(value) for value in block]
    return block


def load(value: Any) -> Any:
    """The opposite of dump."""
    if isinstance(value, dict):
        if set(value) == {_MARK}:
            return Secret(value[_MARK])
        return {name: load(member) for name, member in value.items()}
    return [load(member) for member in value] if isinstance(value, list) else value
