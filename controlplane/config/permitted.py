"""
Whether somebody may make changes: those of a file that is applied, or of a revision gone back to.

Who may apply or go back needs for each object the permission that its own page would ask for, and
may give no key more than he has himself.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied

from controlplane.access.reach import gain_problems
from controlplane.config.objects import DASHBOARD
from controlplane.edits.kinds import KINDS, SETTINGS
from controlplane.models import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from controlplane.config.changes import Change
    from controlplane.config.objects import Block
    from providers.managed.rights import Rights

_VERBS = {"added": "add", "changed": "change", "removed": "delete"}


def refuse_what_is_not_theirs(rights: Rights, changes: Iterable[Change]) -> None:
    """Raise PermissionDenied that names what the holder of `rights` may not do of `changes`."""
    if found := list(not_theirs(rights, changes)):
        raise PermissionDenied(" ".join(found))


def not_theirs(rights: Rights, changes: Iterable[Change]) -> Iterator[str]:
    """As sentences."""
    for change in changes:
        if lacking := rights.lacking(permissions_for(change)):
            word = "permission" if len(lacking) == 1 else "permissions"
            yield f"{str(change).capitalize()}: this needs the {word} {', '.join(lacking)}."
        if change.key.kind == "key" and change.after is not None and change.key.source == DASHBOARD:
            is_same = change.before is not None and change.before["key"] == change.after["key"]
            before = _row(change.before) if is_same else None
            for field, problems in gain_problems(rights, before, _row(change.after)).items():
                yield f"{change.key}: {field}: {' '.join(problems)}."


def permissions_for(change: Change) -> set[str]:
    """What its object's own page would ask for."""
    if change.key.kind == SETTINGS:
        return {"controlplane.change_settings"}
    meta = KINDS[change.key.kind].rows._meta  # noqa: SLF001 - Django's own API
    needed = {f"{meta.app_label}.{_VERBS[change.action]}_{meta.model_name}"}
    if change.key.kind == "provider" and change.after is not None:
        needed |= _for_credentials(_keys(change.before), _keys(change.after))
    return needed


def _for_credentials(before: Block, after: Block) -> set[str]:
    verbs = {
        "add": after.keys() - before.keys(),
        "delete": before.keys() - after.keys(),
        "change": {label for label in after.keys() & before if after[label] != before[label]},
    }
    return {f"providers.{verb}_credential" for verb, labels in verbs.items() if labels}


def _keys(block: Block | None) -> Block:
    return {entry["label"]: entry for entry in (block or {}).get("api_keys", ())}


def _row(block: Any) -> ApiKey:
    """What of a key decides how far it reaches."""
    end = block.get("expires_at")
    return ApiKey(
        scopes=block.get("scopes", ["inference"]),
        models=block.get("models", []),
        rpm=block.get("rpm"),
        tpm=block.get("tpm"),
        max_parallel=block.get("max_parallel"),
        enabled=block.get("enabled", True),
        expires_at=datetime.fromisoformat(end) if end else None,
    )
