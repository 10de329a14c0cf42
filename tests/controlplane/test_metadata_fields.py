"""What operators know better than the catalogue: fields of a provider's models."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from providers.models import ProviderModel
from tests.support import rows
from tests.support.forms import address, inline, provider_form

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
TIERS = [{"above_input_tokens": 200_000, "input_per_mtok": 6.5}]
WHOLE = {
    "catalog": "openai/gpt-4o",
    "family": "gpt",
    "context_window": 128_000,
    "capabilities": {"tools": True, "vision": False},
    "reasons": False,
    "pricing": {"input_per_mtok": 0.15, "tiers": TIERS},
}


def stored(metadata: dict[str, Any]) -> ProviderModel:
    provider = rows.provider("lab")
    return ProviderModel.objects.create(provider=provider, model_id="m", metadata=metadata)


def page_of(row: ProviderModel) -> str:
    return address("providers_provider", "change", row.provider_id)


def inputs(html: str) -> dict[str, str]:
    """What the form holds of the first model, as a browser would send it back."""
    found = {}
    for name in re.findall(r'name="(models-0-metadata_[^"]+)"', html):
        tag = re.search(rf'<(input|select)[^>]*name="{re.escape(name)}"[^>]*>', html)
        assert tag
        if tag.group(1) == "input":
            value = re.search(r'value="([^"]*)"', tag.group())
        else:
            rest = html[tag.end() : html.index("</select>", tag.end())]
            value = re.search(r'value="([^"]*)"\s+selected', rest)
        found[name] = unescape(value.group(1)) if value else ""
    return found


def sent(row: ProviderModel, **fields: Any) -> dict[str, Any]:
    own = {"id": row.pk, "provider": row.provider_id, "model_id": "m", "position": 0}
    return provider_form(**inline("models", own, stored=1)) | fields


def test_each_fact_is_a_field_and_a_form_sent_back_as_it_came_changes_nothing(
    admin_client: Client,
) -> None:
    row = stored(WHOLE)
    html = admin_client.get(page_of(row)).content.decode()
    given = inputs(html)
    assert given["models-0-metadata_context_window"] == "128000"
    assert given["models-0-metadata_capabilities.vision"] == "False"
    assert given["models-0-metadata_pricing.input_per_mtok"] == "0.15"
    assert json.loads(given["models-0-metadata_pricing.tiers"]) == TIERS
    assert "context window (tokens) 128000" in html

    saved = admin_client.post(page_of(row), sent(row, **given))
    assert saved.status_code == 302, saved.context["errors"]
    row.refresh_from_db()
    assert row.metadata == WHOLE
    assert row.history.count() == 1

    given |= {
        "models-0-metadata_context_window": "9000",
        "models-0-metadata_capabilities.vision": "",
        "models-0-metadata_pricing.tiers": "",
    }
    assert admin_client.post(page_of(row), sent(row, **given)).status_code == 302
    row.refresh_from_db()
    changed = {"context_window": 9000, "capabilities": {"tools": True}}
    assert row.metadata == WHOLE | changed | {"pricing": {"input_per_mtok": 0.15}}


def test_what_has_no_field_is_not_lost(admin_client: Client) -> None:
    row = stored({"family": "gpt", "capabilities": {}})
    given = inputs(admin_client.get(page_of(row)).content.decode())
    given["models-0-metadata_reasons"] = "True"
    assert admin_client.post(page_of(row), sent(row, **given)).status_code == 302
    row.refresh_from_db()
    assert row.metadata == {"family": "gpt", "capabilities": {}, "reasons": True}

    ProviderModel.objects.update(metadata={"family": "gpt", "later": {"a": [1]}})
    given = inputs(admin_client.get(page_of(row)).content.decode())
    refused = admin_client.post(page_of(row), sent(row, **given | {"models-0-model_id": "n"}))
    assert "later: unknown key; allowed are catalog" in unescape(refused.content.decode())
    assert inputs(refused.content.decode()) == given


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("context_window", "big", "Context window (tokens): 'big' is not a number."),
        ("context_window", "0", "context_window: 0 is not allowed"),
        ("catalog", "gpt", 'it must be vendor/model, for example "openai/gpt-4o", or "none"'),
        ("pricing.tiers", "[", "'[' is not JSON"),
        ("pricing.tiers", "[{}]", "pricing.tiers[0]: must be an object with above_input_tokens"),
    ],
)
def test_a_mistake_is_told_and_what_was_typed_stays(
    admin_client: Client, name: str, typed: str, said: str
) -> None:
    row = stored({})
    field = f"models-0-metadata_{name}"
    html = admin_client.post(page_of(row), sent(row, **{field: typed})).content.decode()
    assert said in unescape(html)
    assert inputs(html)[field] == typed
    own = re.search(rf'<input[^>]*name="{re.escape(field)}"[^>]*>', html)
    assert own
    assert 'aria-invalid="true"' in own.group()
