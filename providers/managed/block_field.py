"""A block of settings in a form: an input for each of its members, instead of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from django import forms
from django.forms.boundfield import BoundField
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

NUMBER: Final = "number"
FLAG: Final = "flag"
STATUSES: Final = "statuses"
TEXT: Final = "text"
CHOICE: Final = "choice"
JSON: Final = "json"  # what is no single value
INHERITED: Final = "inherited"
BESIDES: Final = "besides"
NONE: Final = "none"  # an empty list, which is not the same as nothing typed
YES_OR_NO: Final = ((True, "yes"), (False, "no"))


@dataclass(frozen=True, slots=True)
class BlockMember:
    """
    One member of a block: `words` name it, `kind` is what may be typed.

    `setting` is the field of the settings that counts where it is empty, and `usual` what counts
    where there is none. `choices` are of a CHOICE: values and their words.
    """

    words: str
    kind: str = NUMBER
    setting: str = ""
    usual: Any = None
    choices: tuple[tuple[Any, str], ...] = ()

    def read(self, typed: str) -> Any:
        """The value that `typed` stands for. Raises ValidationError."""
        if self.kind == TEXT:
            return typed
        if self.kind == STATUSES:
            return statuses_in(typed)
        if self.kind == JSON:
            return _json(self.words, typed)
        if self.kind == NUMBER:
            return _number(self.words, typed)
        known = {str(value): value for value, _words in self.offered}
        if typed not in known:
            raise forms.ValidationError(f"{self.words}: {typed!r} is none of the choices.")
        return known[typed]

    @property
    def offered(self) -> tuple[tuple[Any, str], ...]:
        return YES_OR_NO if self.kind == FLAG else self.choices

    def told(self, value: Any) -> str:
        """`value` as a person says it."""
        words = {repr(one): said for one, said in self.offered}.get(repr(value))
        return words or self.written(value)

    def written(self, value: Any) -> str:
        """`value` as it is typed; a text that could not be read is that itself."""
        is_json = self.kind == JSON and value is not None and not isinstance(value, str)
        return json.dumps(value, ensure_ascii=False) if is_json else plain(value)


BlockMembers: TypeAlias = Mapping[
    str, BlockMember
]  # by key; that of an inner block: "backoff.base_ms"

TIMES: Final[BlockMembers] = {
    "connect_s": BlockMember("to connect", usual=5),
    "first_token_s": BlockMember("to the first token", usual=60),
    "reasoning_first_token_s": BlockMember(
        "to the first token, of a model that reasons", usual=300
    ),
    "idle_s": BlockMember("between two pieces of a stream", usual=90),
    "total_s": BlockMember("for a whole answer", usual=600),
    "stream_total_s": BlockMember("for a whole stream", usual=3600),
}


class BlockWidget(forms.Widget):
    """
    An input for each member; `inherited` are the values that count where one is empty.

    Where it `is_folded`, as in a table's cell, one line says what is given, and opens the inputs;
    `unsaid` stands for what is not given. What the block has besides comes along unseen, so that
    saving a form loses nothing.
    """

    def __init__(
        self,
        members: BlockMembers,
        inherited: Mapping[str, Any],
        *,
        is_folded: bool = False,
        unsaid: str = INHERITED,
    ) -> None:
        super().__init__()
        self.members, self.inherited = members, inherited
        self.is_folded, self.unsaid = is_folded, unsaid

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_{next(iter(self.members))}" if id_ else id_

    def use_required_attribute(self, initial: Any) -> bool:
        del initial
        return False

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """What was typed, by key."""
        del files
        typed = {key: data.get(f"{name}_{key}", "").strip() for key in self.members}
        besides = _besides(data.get(f"{name}_{BESIDES}", ""), self.members)
        return nested(besides | {key: text for key, text in typed.items() if text})

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        del files
        return not any(f"{name}_{key}" in data for key in self.members)

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> Any:
        attrs = self.build_attrs(self.attrs, attrs)
        base = str(attrs.get("id", f"id_{name}"))
        given = flat(value) if isinstance(value, dict) else {}
        wrong = [key for key in attrs.pop("wrong", ()) if key in self.members]
        invalid = {key: said for key, said in attrs.items() if key.startswith("aria-")}
        label = invalid.pop("aria-label", "")
        at_fault = wrong or list(self.members)[:1]  # the first stands for all of them
        rows = []
        for key, member in self.members.items():
            own: dict[str, Any] = {"id": f"{base}_{key}"}
            if "aria-invalid" in invalid and key in at_fault:
                own |= invalid
            if label:
                own["aria-label"] = f"{label}: {member.words}"
            rows.append(
                (
                    f"{base}_{key}",
                    member.words,
                    self._input(name, key, given.get(key), own, renderer),
                )
            )
        besides = {key: one for key, one in given.items() if key not in self.members}
        columns = "repeat(auto-fill, minmax(11rem, 1fr))"
        grid = format_html(
            '<div id="{}" style="display: grid; gap: .5rem; grid-template-columns: {}">{}{}</div>',
            base,
            columns,
            format_html(
                '<input type="hidden" name="{}_{}" value="{}">', name, BESIDES, json.dumps(besides)
            )
            if besides
            else "",
            format_html_join(
                "", '<div><label for="{}" class="text-subtle text-xs">{}</label>{}</div>', rows
            ),
        )
        if not self.is_folded:
            return grid
        return format_html(
            '<details{}><summary class="cursor-pointer decision-link">{}</summary>{}</details>',
            " open" if "aria-invalid" in invalid else "",
            self._summary(given),
            grid,
        )

    def _input(self, name: str, key: str, value: Any, attrs: dict[str, Any], renderer: Any) -> str:
        member, name = self.members[key], f"{name}_{key}"
        usual = self._usual(key)
        if not member.offered:
            attrs["placeholder"] = usual
            if member.kind == NUMBER:
                attrs["inputmode"] = "decimal"
            text = member.written(value)
            typed: str = UnfoldAdminTextInputWidget().render(name, text, attrs, renderer)
            return typed
        choices = [("", usual or "as is usual"), *((str(v), words) for v, words in member.offered)]
        chosen = "" if value is None else str(value)
        select: str = UnfoldAdminSelectWidget(choices=choices).render(name, chosen, attrs, renderer)
        return select

    def _usual(self, key: str) -> str:
        if self.is_folded:
            return self.unsaid
        member = self.members[key]
        value = self.inherited.get(member.setting or key)
        if value is not None:
            return f"{member.told(value)}, inherited"
        return "" if member.usual is None else f"{member.told(member.usual)}, as is usual"

    def _summary(self, given: Mapping[str, Any]) -> str:
        said = [
            f"{member.words} {member.told(given[key])}"
            for key, member in self.members.items()
            if key in given
        ]
        return ", ".join(said) or self.unsaid


class _BoundBlock(BoundField):
    """Tells its widget which members the problems are of: each begins with its key or its words."""

    def build_widget_attrs(self, attrs: Any, widget: Any = None) -> dict[str, Any]:
        found = super().build_widget_attrs(attrs, widget)
        field: Any = self.field
        keys = {capfirst(one.words): key for key, one in field.members.items()}
        heads = [re.split(r"[:\[]", str(problem), maxsplit=1)[0] for problem in self.errors]
        wrong = [keys.get(head, head) for head in heads]
        return {**found, "wrong": wrong} if wrong else found


class BlockField(forms.Field):
    """`{"connect_s": 5, …}` with those members that were given; the model checks their values."""

    bound_field_class = _BoundBlock

    def __init__(
        self,
        members: BlockMembers,
        *,
        inherited: Mapping[str, Any],
        is_folded: bool = False,
        unsaid: str = INHERITED,
        **options: Any,
    ) -> None:
        self.members = members
        widget = BlockWidget(members, inherited, is_folded=is_folded, unsaid=unsaid)
        super().__init__(**{**options, "widget": widget, "required": False})

    def to_python(self, value: Any) -> Any:
        typed = flat(value or {})
        return nested(
            {
                key: self.members[key].read(text) if key in self.members else text
                for key, text in typed.items()
            }
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or {}) != self.to_python(data))
        except forms.ValidationError:
            return True


def flat(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block's members, those of inner blocks with both names between a dot."""
    found: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, dict) and value:
            found |= {f"{key}.{inner}": one for inner, one in value.items()}
        else:
            found[key] = value
    return found


def nested(members: Mapping[str, Any]) -> dict[str, Any]:
    """The block that `flat` made `members` of."""
    block: dict[str, Any] = {}
    for key, value in members.items():
        outer, _dot, inner = key.partition(".")
        if inner:
            block[outer] = {**block.get(outer, {}), inner: value}
        else:
            block[outer] = value
    return block


def statuses_in(text: str) -> list[int]:
    """HTTP statuses between commas or blanks; "none" is an empty list. Raises ValidationError."""
    words = text.replace(",", " ").split()
    if words == [NONE]:
        return []
    if wrong := [word for word in words if not word.isdecimal()]:
        raise forms.ValidationError(f"{wrong[0]!r} is not an HTTP status")
    return [int(word) for word in words]


def plain(value: Any) -> str:
    """A value as a person writes it, and all of it: what is typed again is the same."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or NONE
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _besides(text: str, members: BlockMembers) -> dict[str, Any]:
    """What a block has for which there is no input."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: one for key, one in found.items() if key not in members}


def _json(words: str, typed: str) -> Any:
    try:
        return json.loads(typed)
    except ValueError as error:
        raise forms.ValidationError(f"{capfirst(words)}: {typed!r} is not JSON.") from error


def _number(words: str, typed: str) -> float | int:
    try:
        value = float(typed)
    except ValueError as error:
        raise forms.ValidationError(f"{capfirst(words)}: {typed!r} is not a number.") from error
    return int(value) if value.is_integer() else value
