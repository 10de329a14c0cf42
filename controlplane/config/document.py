"""
One configuration, read and found right: the file, its rules file and the environment together.

`parse` either returns the whole Document or raises ConfigErrors with every mistake; nothing
is ever half read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel, ValidationError

from controlplane.config.cautions import FileScene, file_cautions
from controlplane.config.environment import (
    RULES,
    VARIABLES,
    Rules,
    kind_of,
    read_environment,
    rule_lines,
    rules_from_json,
)
from controlplane.config.references import mapping, reference_mistakes, reference_warnings
from controlplane.config.schema import ConfigurationBlock
from controlplane.config.types import suggestion
from controlplane.config.yaml import MAX_BYTES, Absent, ConfigErrors, Mistake, Tree
from controlplane.edits.patience import OutOfPatience
from providers.saying.counting import counted
from providers.secrets.redaction import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

SECRET_KEYS: Final = frozenset(
    {"api_key", "api_keys", "key", "headers", "proxy", "base_url", "url", "secret"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """
    `values` are the general values by dotted key, `{"value": …, "source": "file"|"environment"}`.
    `rules` are the failover rules of the environment over the file over its rules file.
    `checksum` covers all that was read; `filename` is "" if there is no file.
    """

    filename: str
    checksum: str
    blocks: ConfigurationBlock
    rules: Rules
    values: Mapping[str, Mapping[str, Any]]
    warnings: tuple[str, ...]
    tree: Tree = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """
    How a document is read that is applied to admin's objects, instead of being mirrored.

    It may keep stored secrets and refer to `providers` that it does not hold; of `names` (pools
    and aliases) it is known that they are there. It may name no file to read, because it may
    come from afar.
    """

    providers: frozenset[str]
    names: frozenset[str]


def parse(
    text: str,
    *,
    filename: str,
    environ: Mapping[str, str],
    applied: Applied | None = None,
    tree: Tree | None = None,
) -> Document:
    """
    The configuration in `text` and `environ`. Raises ConfigErrors with every mistake.

    It raises nothing else but OutOfPatience: where reading itself fails, that is a mistake too.
    `tree` is what `tree_to_apply` made of `text` before.
    """
    try:
        if tree is None:
            tree = Tree(text, filename=filename, environ=environ)
        return _read(text, tree, filename=filename, environ=environ, applied=applied)
    except (ConfigErrors, OutOfPatience):
        raise
    except Exception as error:
        raise ConfigErrors([unforeseen(filename, error)]) from error


def tree_to_apply(text: str, *, filename: str, environ: Mapping[str, str]) -> Tree:
    """The plain values of a text that is applied; its mistakes are told by `parse`."""
    try:
        return Tree(text, filename=filename, environ=environ, may_keep_secrets=True)
    except OutOfPatience:
        raise
    except Exception as error:
        raise ConfigErrors([unforeseen(filename, error)]) from error


def unforeseen(filename: str, error: Exception) -> Mistake:
    """What failed in reading as a mistake, in one line without secrets."""
    said = known.redact(" ".join(str(error).split()))[:200]
    words = f"cannot be taken over: {type(error).__name__}: {said}"
    return Mistake(file=filename, line=0, path="", text=words)


def _read(
    text: str, tree: Tree, *, filename: str, environ: Mapping[str, str], applied: Applied | None
) -> Document:
    if applied is not None and "rules_path" in mapping(tree.root, "failover"):
        words = "cannot be applied, allowed: rules"
        raise ConfigErrors([tree.mistake(("failover", "rules_path"), words)])
    environment = read_environment({} if applied is not None else environ)
    mistakes = list(tree.mistakes)
    blocks, schema_mistakes = _validated(tree)
    rules_text, file_rules, rules_mistakes = _rules_of_file(tree)
    # Of a value that could not even be read nothing more is said.
    told = {(mistake.file, mistake.path) for mistake in mistakes}
    there = applied or Applied(providers=frozenset(), names=frozenset())
    contradictions = reference_mistakes(tree, there.providers)
    further = [*schema_mistakes, *contradictions, *rules_mistakes]
    mistakes += [mistake for mistake in further if (mistake.file, mistake.path) not in told]
    mistakes += environment.mistakes
    if mistakes or blocks is None:
        order = {filename: 0}
        unique = dict.fromkeys(mistakes)
        raise ConfigErrors(
            sorted(unique, key=lambda m: (order.get(m.file, 1), m.file, m.line, m.path))
        )
    rules = {
        **file_rules,
        **{primary: tuple(targets) for primary, targets in blocks.failover.rules.items()},
        **environment.rules,
    }
    values = {key: _given(value, "file") for key, value in _general_values(blocks)}
    if environment.failover_enabled is not None:
        values["failover.enabled"] = _given(environment.failover_enabled, "environment")
    if environment.disabled_models is not None:
        values["failover.disabled_models"] = _given(
            list(environment.disabled_models), "environment"
        )
    for primary, targets in rules.items():
        source = "environment" if primary in environment.rules else "file"
        values[f"failover.rules.{primary}"] = _given(list(targets), source)
    scene = FileScene(
        blocks,
        rules_are_on=values.get("failover.enabled", {}).get("value", True),
        disabled_models=values.get("failover.disabled_models", {}).get("value", ()),
        now=datetime.now(UTC),
        kept=tree.kept,
        elsewhere=there.providers,
    )
    elsewhere = {
        **dict.fromkeys(file_rules, str(rules_path(tree))),
        **dict.fromkeys(blocks.failover.rules, ""),
        **dict.fromkeys(environment.rules, RULES),
    }
    warnings = sorted(
        (
            *reference_warnings(tree, there.names, there.providers),
            *file_cautions(tree, scene, rules, elsewhere),
        ),
        key=lambda warning: (warning.line, warning.path),
    )
    return Document(
        filename=filename,
        checksum=_checksum(text, rules_text, environ),
        blocks=blocks,
        rules=rules,
        values=dict(sorted(values.items())),
        warnings=(*map(str, warnings), *environment.deprecations),
        tree=tree,
    )


def rules_path(tree: Tree) -> Path | None:
    """Where the file says that more rules stand; relative to the file itself."""
    given = mapping(tree.root, "failover").get("rules_path")
    return Path(tree.filename).parent / given if isinstance(given, str) and given else None


def _given(value: Any, source: str) -> dict[str, Any]:
    return {"value": value, "source": source}


def _checksum(text: str, rules_text: str, environ: Mapping[str, str]) -> str:
    parts = [text, rules_text, *(environ.get(name, "") for name in VARIABLES)]
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)}:".encode() + raw)
    return digest.hexdigest()


def _rules_of_file(tree: Tree) -> tuple[str, Rules, list[Mistake]]:
    path = rules_path(tree)
    if path is None:
        return "", {}, []
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        words = f"{path} cannot be read: {reason_of(error)}"
        return "", {}, [tree.mistake(("failover", "rules_path"), words)]
    line = rule_lines(text)
    rules, mistakes = rules_from_json(text, lambda key: (str(path), line(key)))
    return text, rules, mistakes


def read_text(path: Path) -> str:
    """The file's text. Raises OSError, or ValueError if it is too large or no UTF-8."""
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 in line {line}") from error


def reason_of(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _general_values(blocks: ConfigurationBlock) -> Iterator[tuple[str, Any]]:
    given = blocks.given()
    routing = given.get("routing", {})
    yield from _scalars("routing.defaults", routing.get("defaults", {}))
    failover = given.get("failover", {})
    for key in ("enabled", "disabled_models"):
        if key in failover:
            value = failover[key]
            yield f"failover.{key}", list(dict.fromkeys(value)) if key != "enabled" else value
    alerts = {k: v for k, v in given.get("alerts", {}).items() if k != "webhooks"}  # objects
    for name in ("models", "bench", "capture"):
        yield from _scalars(name, given.get(name, {}))
    yield from _scalars("alerts", alerts)


def _scalars(prefix: str, block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in block.items():
        if isinstance(value, dict):
            yield from _scalars(f"{prefix}.{key}", value)
        else:
            yield f"{prefix}.{key}", value


def _validated(tree: Tree) -> tuple[ConfigurationBlock | None, list[Mistake]]:
    try:
        return ConfigurationBlock.model_validate(tree.root), []
    except ValidationError as error:
        return None, [
            _mistake(tree, detail) for detail in error.errors(include_url=False)
            if detail["input"] is not Absent
        ]  # fmt: skip


def _mistake(tree: Tree, detail: ErrorDetails) -> Mistake:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    return tree.mistake(path, _words(path, detail))


def _words(path: tuple[str | int, ...], detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    shown = _shown(path, detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            allowed = _allowed_keys(path[:-1])
            return f"unknown key, allowed: {', '.join(allowed)}{suggestion(str(path[-1]), allowed)}"
        case "missing":
            return "missing, it must be given"
        case "told":
            return str(context["text"])
        case "refused":
            return f"{context['what']}{shown}, allowed: {context['allowed']}"
        case "greater_than":
            return f"out of range{shown}, allowed: more than {context['gt']:g}"
        case "greater_than_equal":
            return f"out of range{shown}, allowed: {context['ge']:g} or more"
        case "less_than_equal":
            return f"out of range{shown}, allowed: {context['le']:g} or less"
        case "too_short" | "string_too_short":
            return "empty, allowed: at least one"
        case "string_too_long":
            return f"too long, allowed: {context['max_length']} characters"
        case "finite_number":
            return f"out of range{shown}, allowed: a finite number"
        case kind:
            return f"wrong type{shown}, allowed: {_TYPES.get(kind, detail['msg'])}"


_TYPES: Final = {
    "string_type": "text (in quotes if it looks like a number)",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def _shown(path: tuple[str | int, ...], value: Any) -> str:
    """The refused value in brackets; nothing where it may be, or hold, a secret."""
    if SECRET_KEYS.intersection(path):
        return ""
    return f" ({kind_of(value)})"


def _allowed_keys(path: tuple[str | int, ...]) -> list[str]:
    """The keys of the block at `path`, found by following the schema's own annotations."""
    block: Any = ConfigurationBlock
    for part in path:
        if isinstance(block, type) and issubclass(block, BaseModel):
            block = _inner(block.model_fields[str(part)].annotation)
        else:
            block = _inner(get_args(block)[-1])
    return list(block.model_fields)


def _inner(annotation: Any) -> Any:
    """`annotation` without Annotated and None."""
    while not isinstance(annotation, type) or get_args(annotation):
        arguments = [part for part in get_args(annotation) if part is not type(None)]
        if not arguments or getattr(annotation, "__origin__", None) in (list, dict):
            break
        annotation = arguments[0]
    return annotation


def counts_of(document: Document) -> str:
    """How many objects of each kind a document has, in words."""
    blocks = document.blocks
    pools = blocks.routing.model_pools
    counts = {
        "provider": len(blocks.providers),
        "pool": len(pools),
        "candidate": sum(len(pool.candidates) for pool in pools.values()),
        "alias": len(blocks.aliases) + sum(len(pool.aliases) for pool in pools.values()),
        "rule": len(document.rules),
        "key": sum(1 for key in blocks.keys if key.key),
    }
    plurals = {"alias": "aliases"}
    return ", ".join(counted(count, noun, plurals.get(noun, "")) for noun, count in counts.items())
