"""One change taken back, while what was changed since stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.config.changes import by_name, is_list, is_mapping

if TYPE_CHECKING:
    from controlplane.config.objects import Block


def taken_back(before: Block, after: Block, now: Block) -> tuple[Block, list[str]]:
    """
    `now` without what changed from `before` to `after`, field by field.

    And the fields that stay as they are, because somebody has changed them again since.
    """
    stays: list[str] = []
    return _block(before, after, now, "", stays), stays


def _block(before: Block, after: Block, now: Block, path: str, stays: list[str]) -> Block:
    found = dict(now)
    for name in {**before, **after}:
        old, new, current = before.get(name), after.get(name), now.get(name)
        if old in (new, current):
            continue
        if current != new:
            old = _merged(old, new, current, f"{path}{name}", stays)
        if old is None:
            found.pop(name, None)
        else:
            found[name] = old
    return found


def _merged(old: Any, new: Any, current: Any, path: str, stays: list[str]) -> Any:
    three = (old, new, current)
    if all(map(is_mapping, three)):
        return _block(old or {}, new or {}, current or {}, f"{path}.", stays) or None
    if all(map(is_list, three)):
        old, new, current = (by_name(value or []) for value in three)
        return _members(old, new, current, path, stays)
    stays.append(path)
    return current


def _members(
    old: dict[str, Block], new: dict[str, Block], current: dict[str, Block], path: str,
    stays: list[str],
) -> list[Block]:  # fmt: skip
    found = dict(current)
    for name in {**old, **new}:
        before, after, now = old.get(name), new.get(name), current.get(name)
        if before in (after, now):
            continue
        if now == after:
            found |= {name: before} if before is not None else {}
            if before is None:
                del found[name]
        elif before is not None and after is not None and now is not None:
            found[name] = _block(before, after, now, f"{path}[{name}].", stays)
        else:
            stays.append(f"{path}[{name}]")
    return [found[name] for name in _ordered(list(found), list(old), list(new), list(current))]


def _ordered(found: list[str], old: list[str], new: list[str], current: list[str]) -> list[str]:
    """As they were before, unless somebody has ordered them anew since."""
    if [name for name in current if name in new] != [name for name in new if name in current]:
        return found
    places = {name: place for place, name in enumerate(old)}
    return sorted(found, key=lambda name: places.get(name, len(places)))
