"""Secrets are not kept in revisions: going back keeps those that are stored, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.config.objects import Secret
from providers.models import Provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.config.changes import Change
    from controlplane.config.objects import Block
    from controlplane.edits.kinds import ObjectKey

GONE = "was deleted and cannot come back, because secrets are not kept: make it anew"
NEWER = "has another secret than then; it is kept"


def with_stored_secrets(key: ObjectKey, then: Block, now: Block, notes: list[str]) -> Block | None:
    """`then` with the secrets that are stored now; None if it is nothing without those."""
    if key.kind == "key":
        if "key" not in now:
            notes.append(f"{key} {GONE}")
            return None
        notes += [f"{key} {NEWER}"] if now["key"] != then["key"] else []
        return {**then, "key": now["key"]}
    if key.kind == "webhook":
        return _webhook(key, then, now, notes)
    return _provider(key, then, now, notes) if key.kind == "provider" else then


def _webhook(key: ObjectKey, then: Block, now: Block, notes: list[str]) -> Block | None:
    if "url" not in now:
        notes.append(f"{key} {GONE}")
        return None
    changed = [name for name in ("url", "secret") if then.get(name) != now.get(name)]
    notes += [f"{key}: its {name} is another than then; it is kept" for name in changed]
    found = {name: now.get(name, value) for name, value in then.items()}
    found["url"] = now["url"]
    if "secret" not in now:
        found.pop("secret", None)
    return found


def _provider(key: ObjectKey, then: Block, now: Block, notes: list[str]) -> Block:
    stored = {entry["label"]: entry["key"] for entry in now.get("api_keys", ())}
    kept = []
    for entry in then.get("api_keys", ()):
        if entry["label"] not in stored:
            notes.append(f"{key}: its key {entry['label']} {GONE}")
            continue
        if stored[entry["label"]] != entry["key"]:
            notes.append(f"{key}: its key {entry['label']} {NEWER}")
        kept.append({**entry, "key": stored[entry["label"]]})
    found = dict(then)
    _put(found, "api_keys", kept)
    if isinstance(then.get("proxy"), Secret):
        if isinstance(now.get("proxy"), Secret):
            found["proxy"] = now["proxy"]
        else:
            notes.append(f"{key}: its proxy {GONE}")
            del found["proxy"]
    headers = dict(then.get("headers", {}))
    for name, value in then.get("headers", {}).items():
        there = now.get("headers", {}).get(name)
        if there is None:
            notes.append(f"{key}: its header {name} {GONE}")
            del headers[name]
            continue
        if there != value:
            notes.append(f"{key}: its header {name} {NEWER}")
        headers[name] = there
    _put(found, "headers", headers)
    return found


def _put(block: Block, name: str, value: object) -> None:
    if value:
        block[name] = value
    else:
        block.pop(name, None)


def unsent_then(change: Change) -> Iterator[str]:
    """Which of a provider's secrets would not be sent any more, if it were as `change` has it."""
    before, after = change.before, change.after
    moves = ("kind", "base_url", "proxy")
    if change.key.kind != "provider" or before is None or after is None:
        return
    if all(before.get(name) == after.get(name) for name in moves):
        return
    row = Provider.objects.get(name=change.key.name, managed_source=change.key.source)
    row.kind, row.base_url = after["kind"], after.get("base_url", "")
    if not isinstance(after.get("proxy"), Secret):
        row.proxy = after.get("proxy", "")
    yield from (f"{change.key.name}: {said}" for said in row.unsent())
