"""Forms of the pages that ask the planner, and the gateway."""

from __future__ import annotations

import json
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from controlplane.decisions.deciding import ENDPOINTS

MOST_S: Final = 120


def _text(placeholder: str = "", **attrs: str) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(
        attrs={"placeholder": placeholder, "autocomplete": "off", **attrs}
    )


class JsonObject(forms.CharField):
    """A JSON object, or nothing."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip():
            return None
        try:
            found = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from error
        if not isinstance(found, dict):
            raise forms.ValidationError("This has to be a JSON object.")
        return found


class ExplainForm(forms.Form):
    model = forms.CharField(
        max_length=500,
        widget=_text(list="known-models"),
        help_text="As a request names it: a pool, an alias, provider/model, or a chain a,b.",
    )
    endpoint = forms.ChoiceField(
        choices=[(path, path) for path in ENDPOINTS],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    key = forms.CharField(
        label="API key",
        required=False,
        max_length=100,
        widget=_text("may use everything", list="known-keys"),
        help_text="The name of a key.",
    )
    session = forms.CharField(
        required=False,
        max_length=500,
        widget=_text(),
        help_text="As the header x-switchyard-session.",
    )
    body = JsonObject(
        label="Request body",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="JSON. Its size, tools, images and limits bear on who can take it."
        " Empty: a short request.",
    )


class TryForm(forms.Form):
    model = forms.CharField(max_length=500, widget=_text(list="known-models"))
    prompt = forms.CharField(
        initial="Say hello in one short sentence.",
        max_length=100_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
    )
    max_tokens = forms.IntegerField(
        label="Most tokens",
        required=False,
        min_value=1,
        initial=200,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Of the answer. Empty: the provider's own limit.",
    )
    session = forms.CharField(
        required=False, max_length=200, widget=_text(), help_text="As x-switchyard-session."
    )
    provider = forms.CharField(
        label="Preferred provider",
        required=False,
        max_length=100,
        widget=_text(list="known-providers"),
        help_text="As x-switchyard-provider.",
    )
    simulate = forms.CharField(
        label="Pretend faults",
        required=False,
        max_length=500,
        widget=_text("openai_main=status:503"),
        help_text="As x-switchyard-simulate: PROVIDER=FAULT between commas, for this request only.",
    )
    timeout_s = forms.IntegerField(
        label="Give up after (seconds)",
        min_value=1,
        max_value=MOST_S,
        initial=60,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    stream = forms.BooleanField(
        label="As a stream", required=False, widget=UnfoldBooleanSwitchWidget
    )

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        for name in ("session", "provider", "simulate"):
            if any(not " " <= c <= "~" for c in found.get(name, "")):
                self.add_error(name, "Only printable ASCII can stand in a header.")
        return found
