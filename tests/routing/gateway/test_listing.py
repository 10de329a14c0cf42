"""`/v1/models`: which names a key sees."""

import pytest

from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.snapshot import AliasSpec, CandidateSpec, KeySpec
from routing.gateway.listing import model_entry, model_list, visible_names
from tests.support.builders import pool, provider, table

pytestmark = pytest.mark.pure


def names(of, *models):
    return visible_names(of, Key.compile(KeySpec(name="k", digest=b"", models=models)))


def test_canonical_models_and_aliases_are_listed_sorted_and_once():
    aliases = (
        AliasSpec(name="fast", target="m"),
        AliasSpec(name="own", targets=(CandidateSpec(provider="a", model="y"),)),
    )
    assert names(table(pool("n", "a/x"), pool("m", "a/x"), aliases=aliases)) == [
        "fast", "m", "n", "own",
    ]  # fmt: skip


def test_a_name_is_listed_only_if_operators_leave_it_a_candidate():
    off = CandidateSpec(provider="a", model="x", enabled=False)
    of = table(
        pool("all-off", off),
        pool("half-off", off, "a/y"),
        pool("pool-off", "a/x", enabled=False),
        pool("provider-off", "b/x"),
        pool("provider-gone", "c/x"),
        providers=(provider("a"), provider("b", enabled=False)),
        aliases=(
            AliasSpec(name="to-off", target="pool-off"),
            AliasSpec(name="to-nothing", target="gone"),
            AliasSpec(name="alias-off", target="half-off", enabled=False),
        ),
    )
    assert names(of) == ["half-off"]


def test_a_key_sees_what_its_patterns_match_by_name_canonical_name_or_candidate():
    aliases = (AliasSpec(name="fast", target="m"),)
    of = table(pool("m", "a/x"), pool("n", "b/y"), aliases=aliases)
    assert names(of, "m") == ["fast", "m"]
    assert names(of, "fast") == ["fast"]
    assert names(of, "b/*") == ["n"]
    assert names(of, "other") == []


def test_the_list_has_openais_shape_or_anthropics():
    listed = model_list(["m"], 1_700_000_000.7, anthropic=False)
    assert listed == {
        "object": "list",
        "data": [
            {"id": "m", "object": "model", "created": 1_700_000_000, "owned_by": "switchyard"}
        ],
    }
    listed = model_list(["m"], 1_700_000_000, anthropic=True)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("m", "m", False)
    assert listed["data"] == [model_entry("m", 1_700_000_000, anthropic=True)]
    assert listed["data"][0]["created_at"] == "2023-11-14T22:13:20Z"
    assert model_list([], 0, anthropic=True)["first_id"] is None


def test_a_pool_that_nobody_can_serve_at_any_endpoint_is_not_listed():
    pools = (
        pool("kindless", "azure/x"),
        pool("keyless", "open/x"),
        pool("homeless", "nowhere/x"),
        pool("served", "azure/x", "lab/x"),
    )
    providers = (
        provider("azure", kind="azure_openai"),
        provider("open", kind="openai", credentials=()),
        provider("nowhere", base_url=""),
        provider("lab"),
    )
    world = table(*pools, providers=providers)
    assert visible_names(world, MASTER) == ["served"]
