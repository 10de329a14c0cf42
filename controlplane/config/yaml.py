"""
The configuration file's text as plain values, and where each of them stands.

YAML 1.2 through ruamel.yaml's parser only: values are made here, from its nodes, so that every
duplicate key, null and unset variable is reported at once, each with its line.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from controlplane.edits import patience
from providers.secrets.redaction import known
from providers.validation import NO_TEXT, UNSTORABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ruamel.yaml.nodes import Node

_TAG: Final = "tag:yaml.org,2002:"
# Where a kept secret leaves nothing: a reference is no address, and their own check would say so.
ADDRESSES: Final = frozenset({"proxy", "url"})
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_VALUES: Final = 400_000  # after anchors are followed: bounds "billion laughs"
MAX_DEPTH: Final = 24
MAX_DIGITS: Final = 40
NOT_SECRET: Final = frozenset({"auth", "affinity_key"})  # though their names sound like it

Path = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-(?:[^}$]|\$(?!\{))*)?\})?")
_WHOLE_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # as JSON escapes what is beyond 16 bits
_OCTAL = re.compile(r"[-+]?0[0-9_]*[1-9][0-9_]*")  # to YAML 1.1, and to nobody else
_TRUE = frozenset({"true", "yes", "on", "y"})  # YAML 1.1's words too: a file may ask for it
_FALSE = frozenset({"false", "no", "off", "n"})


class Expanded(str):
    """
    A scalar whose text came from `${…}`.

    It stays text, whatever the variable holds; a field of another type reads it by `typed()`,
    quoted or not, because `{` must be quoted inside `{…}`.
    """

    __slots__ = ()

    def typed(self) -> bool | int | float | str:
        """What YAML would have made of the text, had it stood in the file."""
        text = self.strip()
        if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
            return text.lower() == "true"
        for kind in (_whole_number, float):
            try:
                return kind(text)
            except ValueError:
                continue  # the next kind may fit; text fits always
        return str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing wrong: where it stands, and what an operator should know. `line` 0: no file."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.text) if part)


class ConfigErrors(ValueError):
    """Everything that is wrong with a configuration, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        self.errors = tuple(map(str, mistakes))
        super().__init__("\n".join(self.errors))


def dotted(path: Path) -> str:
    """`a.b[0].c`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class Tree:
    """
    `root`: mappings, lists, str, int, float and bool, and the line of every path in it.

    With `may_keep_secrets`, a secret that is nothing but `${NAME}` of a variable that is not set
    means the stored one: `kept` has its path. A list's member then stays in the list as written.
    """

    __slots__ = (
        "_environ",
        "_is_old",
        "_lines",
        "_may_keep_secrets",
        "_open",
        "_values",
        "filename",
        "kept",
        "mistakes",
        "root",
    )

    def __init__(
        self,
        text: str,
        *,
        filename: str,
        environ: Mapping[str, str],
        may_keep_secrets: bool = False,
    ) -> None:
        self.filename = filename
        self.kept: set[Path] = set()
        self._may_keep_secrets = may_keep_secrets
        self.mistakes: list[Mistake] = []
        self.root: dict[str, Any] = {}
        self._environ = environ
        self._lines: dict[Path, int] = {}
        self._values = 0
        self._open: set[int] = set()
        self._is_old = False  # the file asks for YAML 1.1
        node = self._compose(text)
        if node is None:
            return
        try:
            root = self._value(node, ())
        except _TooMuch as error:
            self._wrong((), 1, str(error))
            return
        _remember_secrets("", root)
        if isinstance(root, dict):
            self.root = root
        elif not self.mistakes:
            self._wrong((), 1, "the file must be a mapping, such as `providers:` and its members")

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def mistake(self, path: Path, text: str) -> Mistake:
        line = self.line(path) if self._lines else 0
        return Mistake(file=self.filename, line=line, path=dotted(path), text=text)

    def _wrong(self, path: Path, line: int, text: str) -> None:
        self.mistakes.append(Mistake(file=self.filename, line=line, path=dotted(path), text=text))

    def _compose(self, text: str) -> Node | None:
        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            self._wrong((), 1, f"the file is too large, allowed: {MAX_BYTES} bytes")
            return None
        try:
            yaml = YAML(typ="safe", pure=True)
            node: Node | None = yaml.compose(_Watched(text.removeprefix("\ufeff")))
            self._is_old = yaml.resolver.processing_version == (1, 1)
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._wrong((), line, f"this character is not allowed in YAML: {error.character!r}")
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            words = " ".join(part for part in (error.context, error.problem) if part)
            self._wrong((), mark.line + 1 if mark else 1, f"this is not YAML: {words}")
        except YAMLError as error:
            self._wrong((), 1, f"this is not YAML: {error}")
        except RecursionError:
            self._wrong((), 1, f"the file is nested too deep, allowed: {MAX_DEPTH} levels")
        else:
            return node
        return None

    def _value(self, node: Node, path: Path) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _TooMuch(f"the file has too many values, allowed: {MAX_VALUES:,} with anchors")
        if len(path) > MAX_DEPTH:
            raise _TooMuch(f"{dotted(path)} is nested too deep, allowed: {MAX_DEPTH} levels")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            raise _TooMuch(f"{dotted(path)} contains itself through an anchor")
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            return self._sequence(node, path)
        finally:
            self._open.discard(id(node))

    def _sequence(self, node: Node, path: Path) -> list[Any]:
        if not self._is_tagged(node, "seq", path):
            return []
        for index, item in enumerate(node.value):
            self._lines[(*path, index)] = item.start_mark.line + 1
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        if not self._is_tagged(node, "map", path):
            return {}
        members: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if str(key_node.tag) == _TAG + "merge":
                for source in self._merge_sources(value_node, path, line):
                    merged = self._mapping(source, path) | merged
                continue
            key = self._key(key_node, path, line)
            if key is None:
                continue
            if key in members:
                first = self._lines[(*path, key)]
                self._wrong((*path, key), line, f"this key stands twice, first in line {first}")
                continue
            self._lines[(*path, key)] = line
            members[key] = self._value(value_node, (*path, key))
        return {**members, **{key: merged[key] for key in merged if key not in members}}

    def _merge_sources(self, node: Node, path: Path, line: int) -> Iterator[MappingNode]:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            self._values += 1
            if id(source) in self._open:
                raise _TooMuch(f"{dotted(path)} contains itself through an anchor")
            if isinstance(source, MappingNode):
                yield source
            else:
                self._wrong((*path, "<<"), line, "only a mapping can be merged")

    def _key(self, node: Node, path: Path, line: int) -> str | None:
        if not isinstance(node, ScalarNode) or str(node.tag) == _TAG + "null":
            self._wrong(path, line, "a key must be text")
            return None
        key = _PAIR.sub(_joined, str(node.value))
        if UNSTORABLE.search(key):
            self._wrong((*path, ascii(key)), line, NO_TEXT)
            return None
        if "${" in key:
            self._wrong((*path, ascii(key)), line, "variables expand in values, not in keys")
            return None
        return key

    def _is_tagged(self, node: Node, kind: str, path: Path) -> bool:
        if str(node.tag) == _TAG + kind:
            return True
        self._wrong(path, node.start_mark.line + 1, f"the tag {node.tag} is not allowed")
        return False

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text, kind = str(node.value), str(node.tag).removeprefix(_TAG)
        line = node.start_mark.line + 1
        if kind == "null":
            self._wrong(path, line, "null is not allowed; leave the key out to get its default")
        elif kind == "int" and self._is_old and _OCTAL.fullmatch(text):
            self._wrong(path, line, f"{text} is octal in YAML 1.1, allowed: without the leading 0")
        elif kind in {"bool", "float"} or (kind == "int" and len(text) <= MAX_DIGITS):
            try:
                return _READERS[kind](text)
            except ValueError:
                self._wrong(path, line, f"{text!r} is not of the type {kind}")
        elif kind in {"str", "int", "timestamp"}:  # an absurdly long number; YAML 1.2 has no dates
            if self._is_kept(text, path):
                self.kept.add(path)
                return "" if path[-1] in ADDRESSES else text
            text = _PAIR.sub(_joined, text)
            expanded = Expanded(self._expand(text, path, line)) if "${" in text else text
            if not UNSTORABLE.search(expanded):
                return expanded
            self._wrong(path, line, NO_TEXT)
        else:
            self._wrong(path, line, f"the tag {node.tag} is not allowed")
        return Absent

    def _is_kept(self, text: str, path: Path) -> bool:
        if not self._may_keep_secrets or not (found := _WHOLE_VARIABLE.fullmatch(text)):
            return False
        match path:
            case ("providers", _, "api_key" | "proxy"):
                pass
            case ("providers", _, "headers", _) | ("providers", _, "api_keys", int()):
                pass
            case ("providers", _, "api_keys", int(), "key") | ("keys", int(), "key"):
                pass
            case ("alerts", "webhooks", int(), "url" | "secret"):
                pass
            case _:
                return False
        return found[1] not in self._environ

    def _expand(self, text: str, path: Path, line: int) -> str:
        def replaced(match: re.Match[str]) -> str:
            name: str | None = match[1]
            default: str | None = match[2]
            if match[0] == "$${":
                return "${"
            if name is None:
                self._wrong(
                    path, line, "a broken variable, allowed: ${NAME}, ${NAME:-default}, or $${"
                )
                return ""
            value = self._environ.get(name)
            if default is not None:
                return value or default[2:]
            if value is None:
                self._wrong(
                    path,
                    line,
                    f"the environment variable {name} is not set; set it, or write"
                    f" ${{{name}:-default}}",
                )
            return value or ""

        return _VARIABLE.sub(replaced, text)


class _AbsentType:
    """Stands where a value was refused already, so that nothing else is said about it."""

    def __repr__(self) -> str:
        return "Absent"


Absent: Final = _AbsentType()


class _Watched(io.StringIO):
    """Text whose reader may run out of patience: the parser takes a minute for 4 MiB."""

    def read(self, size: int | None = -1, /) -> str:
        patience.check()
        return super().read(size)


class _TooMuch(Exception):
    pass


def _whole_number(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits)


def _number(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def _boolean(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(word)
    return word in _TRUE


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "bool": _boolean,
    "int": _whole_number,
    "float": _number,
}


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _remember_secrets(name: str, value: Any) -> None:
    """Keep what looks like a secret by its name out of the log, even if the edit is refused."""
    if isinstance(value, dict):
        for member, inner in value.items():
            _remember_secrets(str(member), inner)
    elif isinstance(value, list):
        for inner in value:
            _remember_secrets(name, inner)
    elif isinstance(value, str):
        known.remember_url(value)
        if name not in NOT_SECRET:
            known.remember_named([(name, value)])
