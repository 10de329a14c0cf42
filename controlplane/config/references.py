"""
What the blocks of the configuration file say about each other.

These rules read the plain tree, not the validated blocks: one wrong block must not hide what is
wrong elsewhere. Whatever has not the right shape is passed over here; the schema reports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.config.types import suggestion
from providers.adapters.registry import address_problems
from routing.gateway.auth import is_mistyped
from routing.validation import alias_cycles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from controlplane.config.yaml import Mistake, Path, Tree


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """The mapping at `keys` below `value`; empty if something else stands there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def reference_mistakes(tree: Tree, known_providers: Iterable[str] = ()) -> Iterator[Mistake]:
    """
    Everything that contradicts something else in the file.

    `known_providers` may be referred to though they are not in it.
    """
    yield from _provider_mistakes(tree)
    yield from _target_mistakes(tree, {*mapping(tree.root, "providers"), *known_providers})
    yield from _name_mistakes(tree)
    yield from _cycle_mistakes(tree)
    yield from _rule_mistakes(tree)
    yield from _number_mistakes(tree)
    yield from _key_mistakes(tree)
    yield from _alert_mistakes(tree)


def reference_warnings(
    tree: Tree, known_names: Iterable[str] = (), known_providers: Iterable[str] = ()
) -> Iterator[Mistake]:
    """What is legal, and does less than it seems to. Of `known_names` nothing is said."""
    yield from _unknown_name_warnings(tree, {*known_names}, {*known_providers})
    yield from _key_warnings(tree)
    yield from _webhook_warnings(tree)


def rule_problems(primary: str, targets: list[str]) -> Iterator[tuple[int, str]]:
    """What is wrong with a rule's trimmed targets: the index of each, and the words."""
    seen: set[str] = set()
    for index, target in enumerate(targets):
        if target and target == primary.strip():
            yield index, f'the model itself ("{target}"), allowed: other names'
        elif target and target in seen:
            yield index, f'listed twice ("{target}"), allowed: once'
        seen.add(target)


def _provider_mistakes(tree: Tree) -> Iterator[Mistake]:
    for name, value in mapping(tree.root, "providers").items():
        path: Path = ("providers", name)
        block = mapping(value)
        kind = text(block.get("kind"))
        if "api_key" in block and "api_keys" in block:
            yield tree.mistake((*path, "api_keys"), "api_key is given too, allowed: one of the two")
        if "fault" in block and kind != "simulator":
            yield tree.mistake(
                (*path, "fault"), "has no meaning here, allowed: kind simulator only"
            )
        for words in address_problems(kind, block.get("base_url")):
            yield tree.mistake((*path, "base_url"), words)
        for index, protocol in _repeated([text(entry) for entry in _items(block.get("protocols"))]):
            words = f'listed twice ("{protocol}"), allowed: once'
            yield tree.mistake((*path, "protocols", index), words)
        labels = [
            text(mapping(entry).get("label")) or f"key-{number}"
            for number, entry in enumerate(_items(block.get("api_keys")), start=1)
        ]
        for index, label in _repeated(labels):
            yield tree.mistake(
                (*path, "api_keys", index), f'a second key of this label ("{label}"), allowed: one'
            )
        ids = [
            text(entry.get("id") if isinstance(entry, dict) else entry)
            for entry in _items(block.get("models"))
        ]
        for index, model in _repeated(ids):
            yield tree.mistake((*path, "models", index), f'listed twice ("{model}"), allowed: once')


def _repeated(words: list[str]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for index, word in enumerate(words):
        if word and word in seen:
            yield index, word
        seen.add(word)


def target_lists(tree: Tree) -> Iterator[tuple[Path, list[Any]]]:
    """Each list of candidates or targets: its path, and itself."""
    for name, pool in mapping(tree.root, "routing", "model_pools").items():
        path: Path = ("routing", "model_pools", name, "candidates")
        yield path, _items(mapping(pool).get("candidates"))
    for name, alias in mapping(tree.root, "aliases").items():
        path = ("aliases", name, "targets")
        yield path, _items(mapping(alias).get("targets"))


def _target_mistakes(tree: Tree, providers: set[str]) -> Iterator[Mistake]:
    for path, targets in target_lists(tree):
        pairs = []
        for index, target in enumerate(targets):
            provider, model = text(mapping(target).get("provider")), mapping(target).get("model")
            pairs.append(f"{provider}/{text(model)}" if provider and text(model) else "")
            if provider and provider not in providers:
                yield tree.mistake(
                    (*path, index, "provider"),
                    f'no such provider ("{provider}"), allowed: a name under providers'
                    + suggestion(provider, providers),
                )
        for index, pair in _repeated(pairs):
            yield tree.mistake((*path, index), f'listed twice ("{pair}"), allowed: once')


def alias_paths(tree: Tree) -> Iterator[tuple[Path, str, str]]:
    """Every alias: its path, its name, and the name it stands for ("" with targets of its own)."""
    for pool_name, pool in mapping(tree.root, "routing", "model_pools").items():
        for index, name in enumerate(_items(mapping(pool).get("aliases"))):
            if text(name):
                yield (
                    ("routing", "model_pools", pool_name, "aliases", index),
                    text(name),
                    pool_name,
                )
    for name, alias in mapping(tree.root, "aliases").items():
        target = alias if isinstance(alias, str) else mapping(alias).get("target")
        yield ("aliases", name), name, text(target)


def _name_mistakes(tree: Tree) -> Iterator[Mistake]:
    pools = mapping(tree.root, "routing", "model_pools")
    first: dict[str, Path] = {}
    for path, name, _target in alias_paths(tree):
        if name in pools:
            yield tree.mistake(path, f'a pool has this name ("{name}"), allowed: another name')
        elif name in first:
            line = tree.line(first[name])
            yield tree.mistake(
                path, f'an alias has this name ("{name}", line {line}), allowed: another name'
            )
        first.setdefault(name, path)
    for name, alias in mapping(tree.root, "aliases").items():
        if isinstance(alias, dict) and ("target" in alias) == ("targets" in alias):
            yield tree.mistake(("aliases", name), "allowed: either target or targets")


def _cycle_mistakes(tree: Tree) -> Iterator[Mistake]:
    target_of = {name: target for _path, name, target in alias_paths(tree)}
    path_of = {name: path for path, name, _target in alias_paths(tree)}
    for cycle in alias_cycles(target_of, target_of):
        yield tree.mistake(
            path_of[cycle[0]], f"a cycle of aliases ({' -> '.join(cycle)}), allowed: an end"
        )


def _rule_mistakes(tree: Tree) -> Iterator[Mistake]:
    rules = mapping(tree.root, "failover", "rules")
    names = list(rules)
    for index, name in _repeated([text(name) for name in names]):
        yield tree.mistake(
            ("failover", "rules", names[index]), f'a second rule for "{name}", allowed: one'
        )
    for primary, targets in rules.items():
        entries = [text(target) for target in _items(targets)]
        for index, words in rule_problems(primary, entries):
            yield tree.mistake(("failover", "rules", primary, index), words)
    if mapping(tree.root, "failover").get("rules_path"):
        return  # they may be of rules that stand there
    for index, entry in enumerate(_items(mapping(tree.root, "failover").get("disabled_rules"))):
        if text(entry) and text(entry) not in map(text, names):
            yield tree.mistake(
                ("failover", "disabled_rules", index),
                f'no such rule ("{text(entry)}"), allowed: a name under rules'
                + suggestion(text(entry), names),
            )


def _number_mistakes(tree: Tree) -> Iterator[Mistake]:
    policies: list[Path] = [("routing", "defaults", "failover")]
    benches: list[Path] = [("bench",)]
    pools = mapping(tree.root, "routing", "model_pools")
    policies += [("routing", "model_pools", name, "failover") for name in pools]
    benches += [("providers", name, "bench") for name in mapping(tree.root, "providers")]
    for path in policies:
        for place in ((*path, "retry_on_statuses"), (*path, "retry_first", "statuses")):
            statuses = mapping(tree.root, *map(str, place[:-1])).get(str(place[-1]))
            for index, status in _repeated([str(status) for status in _items(statuses)]):
                yield tree.mistake((*place, index), f"listed twice ({status}), allowed: once")
    spans = [(path, "cooldown_s", "max_cooldown_s") for path in benches]
    spans += [((*path, "backoff"), "base_ms", "max_ms") for path in policies]
    for path, first, last in spans:
        block = mapping(tree.root, *map(str, path))
        shortest, longest = block.get(first), block.get(last)
        if not isinstance(shortest, int | float) or not isinstance(longest, int | float):
            continue
        if longest < shortest:
            words = f"less than {first} ({longest}), allowed: at least {shortest}"
            yield tree.mistake((*path, last), words)


def _key_mistakes(tree: Tree) -> Iterator[Mistake]:
    entries = [mapping(entry) for entry in _items(tree.root.get("keys"))]
    for index, name in _repeated([text(entry.get("name")) for entry in entries]):
        yield tree.mistake(
            ("keys", index, "name"), f'a second key of this name ("{name}"), allowed: one'
        )
    for index, _key in _repeated([text(entry.get("key")) for entry in entries]):
        yield tree.mistake(
            ("keys", index, "key"), "the same key as an earlier entry, allowed: each key once"
        )
    for index, entry in enumerate(entries):
        for name in ("models", "scopes"):
            for place, word in _repeated([text(one) for one in _items(entry.get(name))]):
                words = f'listed twice ("{word}"), allowed: once'
                yield tree.mistake(("keys", index, name, place), words)
        if is_mistyped(text(entry.get("key")).encode("utf-8", "replace")):
            yield tree.mistake(
                ("keys", index, "key"),
                "it looks like a key made here, with a checksum that does not fit,"
                " allowed: the key as it was made, or one of another form",
            )


def _unknown_name_warnings(
    tree: Tree, known: set[str], known_providers: set[str]
) -> Iterator[Mistake]:
    """Names that only admin may know: legal, and often misspelt."""
    blocks = mapping(tree.root, "providers")
    providers = {*blocks, *known_providers}
    known.update(name for _path, name, _target in alias_paths(tree))
    known.update(mapping(tree.root, "routing", "model_pools"))
    inventory = {
        text(entry.get("id") if isinstance(entry, dict) else entry)
        for block in blocks.values()
        for entry in _items(mapping(block).get("models"))
    }
    for path, _name, target in alias_paths(tree):
        if path[0] == "aliases" and target and target not in known:
            yield tree.mistake(
                path,
                f'"{target}" is no pool or alias of this file; it counts only if admin has it'
                + suggestion(target, known),
            )
    lists: list[tuple[Path, Any]] = [
        (("failover", "rules", primary), targets)
        for primary, targets in mapping(tree.root, "failover", "rules").items()
    ]
    disabled: Path = ("failover", "disabled_models")
    lists.append((disabled, mapping(tree.root, "failover").get("disabled_models")))
    for path, targets in lists:
        for index, entry in enumerate(_items(targets)):
            name = text(entry)
            is_direct = any(
                name.startswith(f"{provider}/") and len(name) > len(provider) + 1
                for provider in providers
            )
            if name and name not in known and name not in inventory and not is_direct:
                yield tree.mistake(
                    (*path, index),
                    f'"{name}" is no pool, alias or provider/model of this file; it counts only'
                    " if admin has it" + suggestion(name, known),
                )


def _key_warnings(tree: Tree) -> Iterator[Mistake]:
    for index, entry in enumerate(_items(tree.root.get("keys"))):
        block = mapping(entry)
        if block.get("key") == "":
            yield tree.mistake(
                ("keys", index), f'"{text(block.get("name"))}" has no key, so it is left out'
            )
    for name, block in mapping(tree.root, "providers").items():
        keys = [
            text(key.get("key") if isinstance(key, dict) else key)
            for key in _items(mapping(block).get("api_keys"))
        ]
        for index, _key in _repeated(keys):
            yield tree.mistake(
                ("providers", name, "api_keys", index), "the same key again, so it is left out"
            )


def _webhooks(tree: Tree) -> list[Any]:
    return _items(mapping(tree.root, "alerts").get("webhooks"))


def webhook_name(name: str, index: int) -> str:
    """What the webhook of that place in the list is called."""
    return name or f"webhook-{index + 1}"


def _alert_mistakes(tree: Tree) -> Iterator[Mistake]:
    names = [
        webhook_name(text(mapping(entry).get("name")), index)
        for index, entry in enumerate(_webhooks(tree))
    ]
    for index, name in _repeated(names):
        path: Path = ("alerts", "webhooks", index)
        yield tree.mistake(path, f'a second webhook of this name ("{name}"), allowed: one')
    emails = [text(entry) for entry in _items(mapping(tree.root, "alerts").get("email"))]
    for index, _address in _repeated(emails):
        yield tree.mistake(("alerts", "email", index), "listed twice, allowed: once")


def _webhook_warnings(tree: Tree) -> Iterator[Mistake]:
    for index, entry in enumerate(_webhooks(tree)):
        block, path = mapping(entry), ("alerts", "webhooks", index)
        is_slack = block.get("kind") == "slack"
        if block.get("url") == "" and (*path, "url") not in tree.kept:
            yield tree.mistake(path, "it has no address, so it is left out")
        elif is_slack and block.get("secret"):
            yield tree.mistake((*path, "secret"), "a Slack-shaped message is not signed")
        elif not is_slack and not block.get("secret"):
            yield tree.mistake(path, "it has no secret, so its messages are not signed")
