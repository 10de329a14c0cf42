"""The shipped catalogue: every fact has a source, and an id is never guessed."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from providers.adapters.registry import ADAPTERS
from providers.catalog.entry import Entry, PriceList, Source
from providers.catalog.shipped import BY_HAND, MADE, Catalog, CatalogFile, read_file, shipped
from providers.catalog.vendors import HOSTS, vendor_of

pytestmark = pytest.mark.pure


def catalog(*entries: Entry) -> Catalog:
    return Catalog(entries, {})


@pytest.mark.parametrize("path", [BY_HAND, MADE], ids=lambda path: path.name)
def test_every_shipped_fact_names_a_source_that_can_be_looked_up(path):
    content = read_file(path)
    assert len(content.models) > 50
    for entry in content.models:
        stated = {
            name
            for name in (
                "family", "context_window", "max_output_tokens", "input", "reasons", "prices",
                "deprecated", "retires_on",
            )
            if getattr(entry, name) not in (None, "", ())
        } | {f"capabilities.{name}" for name in entry.capabilities}  # fmt: skip
        assert stated, entry.name
        for fact in stated:
            assert entry.source_of(fact) in content.sources, (entry.name, fact)
    for source in content.sources.values():
        assert source.cite.startswith(("https://", "genai-prices "))
        assert source.as_of <= date.today()  # noqa: DTZ011 - any zone's today will do


def test_no_entry_is_stated_twice():
    for path in (BY_HAND, MADE):
        names = [(e.vendor, e.id.lower()) for e in read_file(path).models]
        assert len(names) == len(set(names))


def test_what_is_made_has_prices_and_windows_and_by_hand_are_the_capabilities():
    entry = shipped().find("openai", "gpt-4o")
    assert entry.prices[-1].input > 0
    assert entry.context_window == 128_000
    assert entry.capabilities["tools"] is True
    assert entry.source_of("prices.input").startswith("genai-prices")
    assert entry.source_of("capabilities.tools").startswith("models.dev")


def test_a_price_shared_with_another_model_shares_no_capabilities():
    assert shipped().find("openai", "gpt-4o-mini").capabilities
    other = shipped().find("openai", "gpt-4o-mini-search-preview")
    assert other.prices
    assert not other.capabilities


@pytest.mark.parametrize(
    "name",
    ["m", "M", "also-m", "m-20250929", "m-2025-09-29", "m@20250929", "also-m-20250929"],
)
def test_an_id_is_found_exactly_by_an_alias_or_with_a_date(name):
    known = catalog(Entry(vendor="v", id="m", aliases=("also-m",)))
    assert known.find("v", name).id == "m"


@pytest.mark.parametrize(
    "name",
    ["m2", "m-mini", "xm", "m-2025", "m-20251399", "m-2025-0929", "m20250929", "m-latest", "v/m",
     "m-19990101", "-20250929", "m-2025-W01-1", ""],
)  # fmt: skip
def test_a_name_that_is_only_like_an_id_is_not_found(name):
    assert catalog(Entry(vendor="v", id="m")).find("v", name) is None


def test_another_vendors_model_of_the_same_id_is_another_model():
    assert catalog(Entry(vendor="v", id="m")).find("w", "m") is None


def test_an_exact_id_wins_over_the_alias_and_the_date_of_another():
    known = catalog(
        Entry(vendor="v", id="m", aliases=("n",)),
        Entry(vendor="v", id="n"),
        Entry(vendor="v", id="m-20250929"),
    )
    assert known.find("v", "n").id == "n"
    assert known.find("v", "m-20250929").id == "m-20250929"


def test_geminis_ids_may_be_spelled_as_its_own_list_does():
    known = catalog(Entry(vendor="google", id="gemini-2.5-pro"))
    assert known.find("google", "models/gemini-2.5-pro").id == "gemini-2.5-pro"


@pytest.mark.parametrize(
    ("kind", "base_url", "vendor"),
    [
        ("openai", "", "openai"),
        ("openai", "https://eu.api.openai.com/v1", "openai"),
        ("openai", "https://proxy.example.com/v1", ""),
        ("anthropic", "", "anthropic"),
        ("anthropic", "https://backup.example.com", ""),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta", "google"),
        ("openai_compatible", "https://api.deepseek.com", "deepseek"),
        ("openai_compatible", "http://127.0.0.1:8001/v1", ""),
        ("openai_compatible", "https://notapi.openai.com.evil.example/v1", ""),
        ("groq", "", "groq"),
        ("simulator", "", ""),
        ("vllm", "", ""),
        ("azure_openai", "https://me.openai.azure.com", ""),
        ("openai", "http://[broken", ""),
    ],
)
def test_the_address_says_whose_models_a_provider_has(kind, base_url, vendor):
    assert vendor_of(kind, base_url) == vendor


def test_every_preset_of_a_vendor_finds_its_models():
    theirs = {entry.vendor for entry in shipped()}
    remote = {
        kind
        for kind, adapter in ADAPTERS.items()
        if adapter.default_base_url.startswith("https://")
    }
    assert {vendor_of(kind, "") for kind in remote} <= theirs
    assert set(HOSTS.values()) <= theirs


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"capabilities": {"flying": True}}, "capabilities: 'flying' is not known"),
        ({"input": ["smell"]}, "input: 'smell' is not known"),
        ({"sources": {"prices": "nowhere"}}, "sources: 'nowhere' is none"),
    ],
)
def test_a_file_with_a_word_that_is_not_known_is_refused(model, words):
    content = msgspec.convert(
        {"sources": {}, "models": [{"vendor": "v", "id": "m", **model}]}, CatalogFile
    )
    with pytest.raises(ValueError, match=words):
        content.checked("file")


def test_a_file_of_another_shape_is_refused_by_name(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"sources": {}, "models": [{"vendor": "v", "id": "m", "price": 1}]}')
    with pytest.raises(ValueError, match=r"prices\.json: .*price"):
        read_file(path)


def test_a_source_reads_as_what_and_when():
    assert str(Source(cite="p 1.0", as_of=date(2026, 11, 21))) == "p 1.0, 2026-11-21"


def test_negative_prices_are_no_prices():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"input": -1}, PriceList)
