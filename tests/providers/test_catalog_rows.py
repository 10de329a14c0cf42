"""Imports as an operator makes them, and what admin and API show of facts."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.urls import reverse

from controlplane.edits.models import EditCounter
from controlplane.publishing.content import Builder
from providers.adapters.spec import ModelFacts, Prices
from providers.catalog.effective import OPERATOR
from providers.models import CatalogEntry, Provider, ProviderModel
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel

pytestmark = pytest.mark.django_db

FILE = {
    "openai": {
        "models": {
            "gpt-4o": {"limit": {"context": 64000}, "cost": {"input": 9, "output": 18}},
            "gpt-new": {"limit": {"context": 5000}},
        }
    },
    "acme": {"models": {"one": {"limit": {"context": 7000}}}},
}


@pytest.fixture
def api(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def imported(tmp_path, content: object = FILE, *options: str) -> str:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(content))
    out = io.StringIO()
    command = ["catalog", "import", str(path), "--format", "models.dev", *options]
    call_command(*command, stdout=out, stderr=out)
    return out.getvalue()


def facts(provider: Provider, model: str) -> ModelFacts | None:
    return {spec.name: spec for spec in Builder().build().providers}[provider.name].facts.get(model)


def pool(name: str, provider: str, model: str) -> None:
    row = CanonicalModel.objects.create(name=name)
    Candidate.objects.create(canonical_model=row, provider_name=provider, model=model)


def test_an_import_says_what_it_did_and_the_second_does_nothing(tmp_path):
    assert "3 added, 0 changed, 0 unchanged" in imported(tmp_path)
    before = list(CatalogEntry.objects.values_list())
    assert "0 added, 0 changed, 3 unchanged" in imported(tmp_path)
    assert list(CatalogEntry.objects.values_list()) == before


def test_an_import_changes_what_the_file_says_anew(tmp_path):
    imported(tmp_path)
    changed = {"acme": {"models": {"one": {"limit": {"context": 8000}}}}}
    said = imported(tmp_path, changed)
    assert "changed: acme/one" in said
    assert "0 added, 1 changed" in said
    assert CatalogEntry.objects.count() == 3


def test_an_import_may_be_of_one_vendor_only(tmp_path):
    imported(tmp_path, FILE, "--vendor", "acme")
    assert [str(row) for row in CatalogEntry.objects.all()] == ["acme/one"]


def test_nonsense_is_refused_by_name_and_the_rest_is_taken(tmp_path):
    bad = {"acme": {"models": {"one": {"limit": {"context": -1}}, "two": {"reasoning": True}}}}
    with pytest.raises(CommandError, match="1 model was refused; the others are in"):
        imported(tmp_path, bad)
    assert [str(row) for row in CatalogEntry.objects.all()] == ["acme/two"]


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "api.json"
    for content in ("{", "[]", '{"a": 1}'):
        path.write_text(content)
        with pytest.raises(CommandError, match=r"api\.json"):
            call_command("catalog", "import", str(path), "--format", "models.dev")


def test_an_import_is_an_edit_that_is_published(tmp_path):
    Provider.objects.create(name="oai", kind="openai")
    pool("m", "oai", "gpt-4o")
    before = EditCounter.objects.get(pk=1).value
    imported(tmp_path)
    assert EditCounter.objects.get(pk=1).value > before
    found = Builder().build().providers[0].facts["gpt-4o"]
    assert (found.context_window, found.prices.input) == (64000, 9.0)
    assert found.capabilities["tools"] is True  # what the file leaves out stays as shipped


def test_a_row_that_cannot_be_read_counts_for_nothing(tmp_path):
    imported(tmp_path)
    row = CatalogEntry.objects.get(model_id="gpt-4o")
    row.facts = {"context_window": "many"}
    row.save()
    provider = Provider.objects.create(name="oai", kind="openai")
    pool("m", "oai", "gpt-4o")
    assert facts(provider, "gpt-4o").context_window == 128_000


def test_what_is_deleted_or_changed_counts_no_longer(tmp_path):
    imported(tmp_path)
    provider = Provider.objects.create(name="oai", kind="openai")
    pool("m", "oai", "gpt-new")
    assert facts(provider, "gpt-new").context_window == 5000
    imported(tmp_path, {"openai": {"models": {"gpt-new": {"limit": {"context": 6000}}}}})
    assert facts(provider, "gpt-new").context_window == 6000
    CatalogEntry.objects.get(model_id="gpt-new").delete()
    assert facts(provider, "gpt-new") is None


# what is published


def test_facts_are_published_for_every_named_model_and_for_no_other():
    provider = Provider.objects.create(name="oai", kind="openai")
    ProviderModel.objects.create(provider=provider, model_id="gpt-4.1")
    pool("m", "oai", "gpt-4o")
    alias = Alias.objects.create(name="a")
    AliasTarget.objects.create(alias=alias, provider_name="oai", model="gpt-4o-mini")
    from failover.models import FailoverRule  # noqa: PLC0415 - the one test that needs it

    FailoverRule.objects.create(primary_model="oai/gpt-5.4", fallback_models=["oai/gpt-5.5", "m"])
    spec = Builder().build().providers[0]
    assert list(spec.facts) == ["gpt-4.1", "gpt-4o", "gpt-4o-mini", "gpt-5.4", "gpt-5.5"]


def test_a_provider_whose_vendor_is_not_certain_has_only_stated_facts():
    provider = Provider.objects.create(
        name="lab", kind="openai_compatible", base_url="http://127.0.0.1:1/v1"
    )
    pool("m", "lab", "gpt-4o")
    assert facts(provider, "gpt-4o") is None
    row = ProviderModel.objects.create(
        provider=provider, model_id="gpt-4o", metadata={"context_window": 9}
    )
    assert facts(provider, "gpt-4o") == ModelFacts(context_window=9)
    row.metadata = {"catalog": "openai/gpt-4o"}
    row.save()
    assert facts(provider, "gpt-4o").prices == Prices(input=2.5, output=10.0, cached_input=1.25)


def test_metadata_that_is_nonsense_is_refused_at_save():
    row = ProviderModel(model_id="m", metadata={"context_window": "big"})
    with pytest.raises(Exception, match="context_window: 'big' is not allowed"):
        row.clean()


# what is shown


def test_the_api_tells_the_catalogue_with_the_source_of_each_fact(api, tmp_path):
    imported(tmp_path)
    found = api.get("/api/catalog?vendor=openai&model=gpt-4o-2024-08-06").json()
    assert [(row["vendor"], row["model"]) for row in found] == [("openai", "gpt-4o")]
    (row,) = found
    assert row["prices"]["input"] == 9
    assert row["sources"]["prices.input"].startswith("imported from models.dev file api.json, ")
    assert row["capabilities"]["tools"] is True
    assert row["capabilities"]["streaming"] is None
    assert row["sources"]["capabilities.tools"].startswith("https://github.com/")
    assert "capabilities.streaming" not in row["sources"]


def test_the_api_lists_the_catalogue_sorted_and_filtered(api):
    names = [(row["vendor"], row["model"]) for row in api.get("/api/catalog").json()]
    assert len(names) > 1000
    assert names == sorted(names)
    groq = api.get("/api/catalog/?vendor=groq&search=GPT-oss").json()
    assert {row["vendor"] for row in groq} == {"groq"}
    assert all("gpt-oss" in row["model"] for row in groq)
    assert api.get("/api/catalog?model=no-such-model").json() == []


def test_the_api_tells_what_counts_for_a_providers_model(api, tmp_path):
    provider = Provider.objects.create(name="oai", kind="openai")
    ProviderModel.objects.create(
        provider=provider, model_id="gpt-4o", metadata={"context_window": 5}
    )
    imported(tmp_path)
    found = api.get("/api/catalog/facts?provider=oai&model=gpt-4o").json()
    assert (found["vendor"], found["matched"]) == ("openai", ["openai/gpt-4o"])
    assert (found["context_window"], found["sources"]["context_window"]) == (5, OPERATOR)
    assert found["prices"]["output"] == 18
    unlisted = api.get("/api/catalog/facts?provider=oai&model=gpt-4.1").json()
    assert unlisted["context_window"] == 1_047_576
    unknown = api.get("/api/catalog/facts?provider=oai&model=x").json()
    assert (unknown["context_window"], unknown["sources"]) == (None, {})


def test_the_api_names_what_it_misses(api):
    assert api.get("/api/catalog/facts?provider=oai&model=m").status_code == 404
    answer = api.get("/api/catalog/facts?provider=oai")
    assert (answer.status_code, answer.json()) == (400, {"model": ["This parameter is needed."]})


def test_admin_shows_each_fact_with_its_source(api):
    provider = Provider.objects.create(name="oai", kind="openai")
    row = ProviderModel.objects.create(
        provider=provider, model_id="gpt-4o", metadata={"context_window": 5}
    )
    page = api.get(reverse("admin:providers_providermodel_change", args=[row.pk])).text
    assert OPERATOR in page
    assert "genai-prices" in page
    assert 'href="https://github.com/anomalyco/models.dev/' in page
    assert "openai/gpt-4o" in page
    listed = api.get(reverse("admin:providers_providermodel_changelist")).text
    assert "5 tokens · $2.5 / $10" in listed
    inline = api.get(reverse("admin:providers_provider_change", args=[provider.pk])).text
    assert "5 tokens · $2.5 / $10" in inline


def test_admin_shows_imports_and_lets_them_be_deleted_only(api, tmp_path):
    imported(tmp_path)
    page = api.get(reverse("admin:providers_catalogentry_changelist"))
    assert "models.dev file api.json" in page.text
    row = CatalogEntry.objects.first()
    assert api.get(reverse("admin:providers_catalogentry_add")).status_code == 403
    change = reverse("admin:providers_catalogentry_change", args=[row.pk])
    assert api.post(change, {"vendor": "x"}).status_code == 403
    api.post(reverse("admin:providers_catalogentry_delete", args=[row.pk]), {"post": "yes"})
    assert not CatalogEntry.objects.filter(pk=row.pk).exists()


def test_the_command_shows_what_is_known_of_a_model():
    out = io.StringIO()
    call_command("catalog", "show", "openai/gpt-4o", stdout=out)
    assert "context_window: 128000  (genai-prices " in out.getvalue()
    with pytest.raises(CommandError, match="openai/gpt-nope is not in the catalogue"):
        call_command("catalog", "show", "openai/gpt-nope")
