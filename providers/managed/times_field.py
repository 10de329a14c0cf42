"""Timeouts in a form: a number for each, instead of JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldAdminTextInputWidget

from providers.validation import TIMEOUTS

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS: Final = {
    "connect_s": "to connect",
    "first_token_s": "to the first token",
    "reasoning_first_token_s": "to the first token, of a model that reasons",
    "idle_s": "between two pieces of a stream",
    "total_s": "for a whole answer",
    "stream_total_s": "for a whole stream",
}


class TimesWidget(forms.Widget):
    """An input for each timeout; `inherited` are the values that count where one is empty."""

    def __init__(self, inherited: Mapping[str, Any], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.inherited = inherited
        self.input = UnfoldAdminTextInputWidget()

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_{next(iter(TIMEOUTS))}" if id_ else id_

    def use_required_attribute(self, initial: Any) -> bool:
        del initial
        return False

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """What was typed, by timeout; a JSON object under the name itself is taken, too."""
        del files
        if name in data:
            return data[name]
        return {key: typed for key in TIMEOUTS if (typed := data.get(f"{name}_{key}", "").strip())}

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        del files
        return not any(given == name or given.startswith(f"{name}_") for given in data)

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> Any:
        given = value if isinstance(value, dict) else {}
        base = str((attrs or {}).get("id", f"id_{name}"))
        first = next(iter(TIMEOUTS))  # stands for all of them where one is wrong
        invalid = {k: v for k, v in (attrs or {}).items() if k.startswith("aria-")}
        rows = (
            (
                f"{base}_{key}",
                WORDS[key],
                self.input.render(
                    f"{name}_{key}",
                    _plain(given.get(key)),
                    {
                        "id": f"{base}_{key}",
                        "inputmode": "decimal",
                        "placeholder": self._usual(key),
                        **(invalid if key == first else {}),
                    },
                    renderer,
                ),
            )
            for key in TIMEOUTS
        )
        inner = format_html_join(
            "", '<div><label for="{}" class="text-subtle text-xs">{}</label>{}</div>', rows
        )
        columns = "repeat(auto-fill, minmax(11rem, 1fr))"
        grid = f"display: grid; gap: .5rem; grid-template-columns: {columns}"
        return format_html('<div id="{}" style="{}">{}</div>', base, grid, inner)

    def _usual(self, key: str) -> str:
        value = self.inherited.get(key)
        return "" if value is None else f"{_plain(value)}, inherited"


class TimesField(forms.Field):
    """`{"connect_s": 5, …}` with those that were given; the model checks their values."""

    def __init__(self, *, inherited: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**{**options, "widget": TimesWidget(inherited), "required": False})

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return json.loads(value or "{}")
            except ValueError as error:
                raise forms.ValidationError("Enter numbers of seconds.") from error
        return {key: _number(key, typed) for key, typed in (value or {}).items()}

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or {}) != self.to_python(data))
        except forms.ValidationError:
            return True


def _number(key: str, typed: Any) -> float | int:
    try:
        value = float(typed)
    except (TypeError, ValueError) as error:
        raise forms.ValidationError(
            f"{WORDS[key]}: {typed!r} is not a number of seconds."
        ) from error
    return int(value) if value.is_integer() else value


def _plain(value: Any) -> str:
    """A number as a person writes it; anything else as it was typed."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
