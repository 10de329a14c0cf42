"""What operators may state of a model, and what they are told otherwise."""

from __future__ import annotations

import pytest

from providers.catalog.metadata import metadata_facts, metadata_problems

pytestmark = pytest.mark.pure

WHOLE = {
    "catalog": "openai/gpt-4o",
    "family": "gpt",
    "context_window": 1000,
    "max_output_tokens": 100,
    "capabilities": {"tools": True, "vision": False},
    "reasons": True,
    "pricing": {
        "input_per_mtok": 5,
        "output_per_mtok": 25,
        "cached_input_per_mtok": 0.5,
        "cache_write_per_mtok": 6.25,
        "tiers": [{"above_input_tokens": 200_000, "input_per_mtok": 10}],
    },
}


def test_everything_that_may_be_stated_is_taken():
    assert metadata_problems(WHOLE) == []
    facts = metadata_facts(WHOLE)
    assert facts["prices.cache_write"] == 6.25
    assert facts["prices.tiers"][0].input == 10
    assert facts["capabilities.vision"] is False
    assert facts["reasons"] is True


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ([], "must be a JSON object, for example {}"),
        ({"window": 1}, ("window: unknown key; allowed are catalog, family, context_window, "
         "max_output_tokens, capabilities, reasons, pricing")),
        ({"context_window": 0}, ("context_window: 0 is not allowed; it must be a whole number from "
         "1 to 2147483647")),
        ({"context_window": "1"}, "context_window: '1' is not allowed"),
        ({"max_output_tokens": 1.5}, "max_output_tokens: 1.5 is not allowed"),
        ({"reasons": 1}, "reasons: 1 is not allowed; it must be true or false"),
        ({"family": 3}, "family: 3 is not allowed; it must be a word"),
        ({"catalog": "gpt-4o"}, ("catalog: 'gpt-4o' is not allowed; it must be vendor/model, for "
         'example "openai/gpt-4o", or "none"')),
        ({"catalog": "openai/"}, "catalog: 'openai/' is not allowed"),
        ({"capabilities": True}, "capabilities: must be a JSON object"),
        ({"capabilities": {"tols": True}}, ("capabilities.tols: unknown key; allowed are tools, "
         "parallel_tools, vision, audio, files, json_schema, reasoning, embeddings, streaming")),
        ({"capabilities": {"tools": "yes"}}, "capabilities.tools: 'yes' is not allowed"),
        ({"pricing": 5}, "pricing: must be a JSON object"),
        ({"pricing": {"input": 5}}, ("pricing.input: unknown key; allowed are input_per_mtok, "
         "output_per_mtok, cached_input_per_mtok, cache_write_per_mtok, tiers")),
        ({"pricing": {"input_per_mtok": -1}}, ("pricing.input_per_mtok: -1 is not allowed; it must "
         "be a number from 0 to 1000000")),
        ({"pricing": {"input_per_mtok": float("nan")}}, "pricing.input_per_mtok: nan is not"),
        ({"pricing": {"tiers": 3}}, "pricing.tiers: must be a list"),
        ({"pricing": {"tiers": [{}]}}, ("pricing.tiers[0]: must be an object with "
         "above_input_tokens and prices")),
        ({"pricing": {"tiers": [{"above_input_tokens": 0}]}}, ("pricing.tiers[0].above_input_tokens"
         ": 0 is not allowed")),
    ],
)  # fmt: skip
def test_what_may_not_be_stated_is_named_with_what_is_allowed(metadata, problem):
    (found,) = metadata_problems(metadata)
    assert found.startswith(problem)
