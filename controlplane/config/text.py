"""
Objects as the text of a configuration file, which is the same for the same objects.

Secrets are references, `${NAME}`: set the variable to give the file a secret of its own, leave it
unset to keep the stored one where the text is applied.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from controlplane.config.general import ADMIN_ONLY, SPANS, settled
from controlplane.config.objects import CONFIG, DASHBOARD, Block, Secret, State
from controlplane.config.yaml import ADDRESSES
from controlplane.edits.kinds import KINDS, SETTINGS, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.config.yaml import Path

HEAD: Final = """\
# The whole configuration. `${NAME}` stands for a secret: where this is applied and the variable is
# not set, the stored one is kept. See docs/configuration.md.
"""
# The file's own order; what else there is comes behind.
_ORDER = (
    "providers",
    "models",
    "routing",
    "aliases",
    "failover",
    "bench",
    "alerts",
    "capture",
    "keys",
)
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./*-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def text_of(state: State) -> str:
    """The file of `state`, in which each name is of one source only (config_objects.effective)."""
    return HEAD + written(tree_of(state))


def plain(tree: Any, kept: set[Path], path: Path = ()) -> Any:
    """`tree` of `tree_of` as a reader would have it; the places of secrets are put into `kept`."""
    if isinstance(tree, dict):
        return {name: plain(value, kept, (*path, name)) for name, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value, kept, (*path, place)) for place, value in enumerate(tree)]
    if not isinstance(tree, _Reference):
        return tree
    kept.add(path)
    return "" if path[-1] in ADDRESSES else str(tree)


def tree_of(state: State) -> Block:
    """`state` as the file's blocks. The settings are merged, the configuration's over admin's."""
    given = state.get(ObjectKey(SETTINGS, "", CONFIG), {})
    settings = settled({**state.get(ObjectKey(SETTINGS, "", DASHBOARD), {}), **given}, given, SPANS)
    nested: Block = {}
    for dotted, value in sorted(settings.items()):
        if dotted in ADMIN_ONLY:
            continue
        _place(nested, tuple(dotted.split(".")), value)
    named = Names()
    for kind in KINDS.values():
        blocks = {key.name: block for key, block in sorted(state.items()) if key.kind == kind.name}
        shown = {name: kind.writer(name, block, named) for name, block in blocks.items()}
        _place(nested, kind.section, list(shown.values()) if kind.is_list else shown)
        if kind.name == "rule":
            off = [name for name, block in blocks.items() if not block.get("enabled", True)]
            _place(nested, ("failover", "disabled_rules"), off)
    ordered = [name for name in _ORDER if name in nested]
    return {name: nested[name] for name in (*ordered, *(n for n in nested if n not in _ORDER))}


def _place(tree: Block, path: tuple[str, ...], value: Any) -> None:
    *blocks, last = path
    for name in blocks:
        tree = tree.setdefault(name, {})
    tree[last] = value


def as_it_is(name: str, block: Block, named: Names) -> Block:
    """What is written for an object whose block says it already."""
    del name, named
    return block


def alias_shown(name: str, block: Block, named: Names) -> Any:
    del name, named
    return block["target"] if set(block) == {"target"} else block


def rule_shown(name: str, block: Block, named: Names) -> Any:
    del name, named
    return block["fallback_models"]


def key_shown(name: str, block: Block, named: Names) -> Block:
    return {"name": name, **block, "key": named.reference("API_KEY", name)}


def provider_shown(name: str, block: Block, named: Names) -> Block:
    shown = dict(block)
    if "api_keys" in block:
        shown["api_keys"] = [
            {**entry, "key": named.reference("PROVIDER_KEY", name, entry["label"])}
            for entry in block["api_keys"]
        ]
    if "models" in block:
        shown["models"] = [
            entry["id"] if set(entry) == {"id"} else entry for entry in block["models"]
        ]
    if "headers" in block:
        shown["headers"] = {
            header: named.reference("PROVIDER_HEADER", name, header)
            if isinstance(value, Secret)
            else value
            for header, value in block["headers"].items()
        }
    if isinstance(block.get("proxy"), Secret):
        shown["proxy"] = named.reference("PROVIDER_PROXY", name)
    return shown


class _Reference(str):
    """`${NAME}`, which expands; other text must not."""

    __slots__ = ()


class Names:
    """Gives each secret the name of a variable, no name twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def reference(self, *words: str) -> _Reference:
        wanted = name = re.sub(r"[^A-Z0-9]+", "_", "_".join(words).upper())
        number = 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return _Reference(f"${{{name}}}")


def written(tree: Block, indent: str = "") -> str:
    lines = []
    for name, value in tree.items():
        key = f"{indent}{_scalar(name, _as_it_is)}:"
        if isinstance(value, dict) and value and not _is_short(value):
            lines.append(f"{key}\n{written(value, indent + '  ')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            entries = "".join(f"{indent}  - {_flow(entry)}\n" for entry in value)
            lines.append(f"{key}\n{entries}")
        else:
            lines.append(f"{key} {_flow(value)}\n")
    return "".join(lines)


def _is_short(value: Any) -> bool:
    """Whether a mapping is of plain values only, few of them: it then stands in one line."""
    return len(value) <= 3 and not any(isinstance(member, dict | list) for member in value.values())


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{_scalar(name, _as_it_is)}: {_flow(inner)}" for name, inner in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value, _escaped)


def _as_it_is(text: str) -> str:
    return text


def _escaped(text: str) -> str:
    return text if isinstance(text, _Reference) else text.replace("${", "$${")


def _scalar(value: Any, escaped: Callable[[str], str]) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(escaped(value), ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
