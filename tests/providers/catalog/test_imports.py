"""Files of other people's shapes: taken, and what is nonsense in them named."""

from __future__ import annotations

from datetime import date

import pytest

from providers.catalog.entry import PriceList, Tier
from providers.catalog.imports import read_litellm, read_models_dev

pytestmark = pytest.mark.pure


def models_dev(vendor: str = "openai", **models: object) -> dict[str, object]:
    return {vendor: {"id": vendor, "models": models}}


def test_a_model_of_models_dev_is_taken_whole():
    (read,) = read_models_dev(
        models_dev(
            m={
                "family": "gpt",
                "tool_call": True,
                "structured_output": False,
                "reasoning": True,
                "modalities": {"input": ["text", "image", "hologram"], "output": ["text"]},
                "limit": {"context": 1000, "output": 100},
                "cost": {
                    "input": 1,
                    "output": 4.5,
                    "cache_read": 0.1,
                    "cache_write": 1.25,
                    "context_over_200k": {"input": 2},
                },
                "status": "deprecated",
            }
        ),
        "the file",
    )
    entry = read.entry
    assert (entry.vendor, entry.id, entry.family) == ("openai", "m", "gpt")
    assert (entry.context_window, entry.max_output_tokens) == (1000, 100)
    assert entry.capabilities == {"tools": True, "json_schema": False, "reasoning": True}
    assert entry.input == ("text", "image")
    assert entry.deprecated is True
    assert entry.prices == (
        PriceList(
            input=1.0,
            output=4.5,
            cached_input=0.1,
            cache_write=1.25,
            tiers=(Tier(above_input_tokens=200_000, input=2.0),),
        ),
    )
    assert set(entry.sources.values()) == {"the file"}


def test_a_model_of_litellm_is_taken_with_its_prices_a_million_tokens():
    content = {
        "sample_spec": {"max_tokens": "set to …", "litellm_provider": "one of …"},
        "gemini/gemini-x": {
            "litellm_provider": "gemini",
            "mode": "chat",
            "max_input_tokens": 1000,
            "max_output_tokens": 100,
            "input_cost_per_token": 3e-07,
            "output_cost_per_token": 2.5e-06,
            "cache_read_input_token_cost": 7.5e-08,
            "input_cost_per_token_above_200k_tokens": 6e-07,
            "supports_function_calling": True,
            "supports_vision": False,
            "supports_pdf_input": True,
            "deprecation_date": "2026-12-01",
        },
    }
    (read,) = read_litellm(content, "the file")
    entry = read.entry
    assert (entry.vendor, entry.id) == ("google", "gemini-x")
    assert entry.prices == (
        PriceList(
            input=0.3,
            output=2.5,
            cached_input=0.075,
            tiers=(Tier(above_input_tokens=200_000, input=0.6),),
        ),
    )
    assert entry.capabilities == {
        "tools": True, "vision": False, "files": True, "embeddings": False
    }  # fmt: skip
    assert entry.retires_on == date(2026, 12, 1)


def test_models_that_answer_no_text_are_passed_over():
    content = {"dall-e": {"litellm_provider": "openai", "mode": "image_generation"}}
    (read,) = read_litellm(content, "the file")
    assert (read.entry, read.skipped) == (None, "mode image_generation")


def test_a_model_that_nothing_is_said_of_is_passed_over():
    (read,) = read_models_dev(models_dev(m={"name": "M"}), "the file")
    assert (read.entry, read.problems) == (None, ())
    assert read.skipped


def test_an_unknown_limit_is_unknown_when_it_is_written_as_nought():
    (read,) = read_models_dev(models_dev(m={"limit": {"context": 0, "output": 5}}), "the file")
    assert read.entry.context_window is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"limit": {"context": -5}},
            "limit.context: -5 is not allowed; it must be a whole number of tokens, at least 1",
        ),
        ({"limit": {"context": "128k"}}, "limit.context: '128k' is not allowed"),
        ({"limit": {"context": True}}, "limit.context: True is not allowed"),
        ({"limit": 5}, "limit: 5 is not allowed; it must be an object"),
        (
            {"cost": {"input": -1}},
            "cost.input: -1 is not allowed; it must be a price of at least 0",
        ),
        ({"cost": {"output": float("nan")}}, "cost.output: nan is not allowed"),
        ({"cost": {"output": 1e9}}, "cost.output: 1000000000.0 is not allowed"),
        ({"tool_call": "yes"}, "tool_call: 'yes' is not allowed; it must be true or false"),
        ({"modalities": {"input": "text"}}, "modalities.input: 'text' is not allowed"),
        ({"family": 5}, "family: 5 is not allowed; it must be text"),
    ],
)
def test_nonsense_is_refused_naming_the_field_and_the_value(fields, problem):
    (read,) = read_models_dev(models_dev(m=fields), "the file")
    assert read.entry is None
    assert read.problems[0].startswith(problem)


def test_litellms_dates_and_missing_vendors_are_refused_by_name():
    content = {
        "a": {"litellm_provider": "openai", "deprecation_date": "soon"},
        "b": {"mode": "chat"},
        "c": [],
    }
    first, second, third = read_litellm(content, "the file")
    assert first.problems == (
        "deprecation_date: 'soon' is not allowed; it must be a date such as 2026-12-31",
    )
    assert second.problems == third.problems == ("litellm_provider: a word is needed",)


@pytest.mark.parametrize("content", [[], {}, {"a": 1}, {"a": {"b": 1}}, {"a": {"models": []}}])
def test_a_file_of_another_shape_is_refused_whole(content):
    with pytest.raises(ValueError, match=r"this is not models\.dev's shape"):
        list(read_models_dev(content, "the file"))
    with pytest.raises(ValueError, match="this is not LiteLLM's shape"):
        list(read_litellm(content, "the file"))
