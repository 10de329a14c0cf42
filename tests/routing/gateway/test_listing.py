"""`/v1/models`: which names a key sees."""

import pytest

from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.snapshot import AliasSpec, CandidateSpec, KeySpec
from routing.gateway.errors import Refused
from routing.gateway.families import ANTHROPIC, GEMINI, OPENAI
from routing.gateway.listing import answer_models, visible_names
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


AT = 1_700_000_000.7
FIVE = ["a", "b", "c", "d", "e"]


def listed(family, query=b"", names=FIVE, name=""):
    return answer_models(name, names, AT, family, query)


def test_the_list_and_each_of_its_entries_have_openais_shape():
    entry = {"id": "m", "object": "model", "created": 1_700_000_000, "owned_by": "switchyard"}

    assert listed(OPENAI, names=["m"]) == {"object": "list", "data": [entry]}
    assert listed(OPENAI, names=["m"], name="m") == entry


def test_the_list_and_each_of_its_entries_have_anthropics_shape():
    entry = {
        "type": "model",
        "id": "m",
        "display_name": "m",
        "created_at": "2023-11-14T22:13:20Z",
    }

    assert listed(ANTHROPIC, names=["m"]) == {
        "data": [entry],
        "has_more": False,
        "first_id": "m",
        "last_id": "m",
    }
    assert listed(ANTHROPIC, names=["m"], name="m") == entry
    assert listed(ANTHROPIC, names=[]) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_the_list_and_each_of_its_entries_have_geminis_shape():
    entry = {
        "name": "models/a/m",
        "displayName": "a/m",
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }

    assert listed(GEMINI, names=["a/m"]) == {"models": [entry]}
    assert listed(GEMINI, names=["a/m"], name="a/m") == entry
    assert listed(GEMINI, names=["a/m"], name="models/a/m") == entry


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        (b"", "abcde", False),
        (b"limit=1000", "abcde", False),
        (b"limit=2", "ab", True),
        (b"limit=2&after_id=b", "cd", True),
        (b"limit=2&after_id=d", "e", False),
        (b"limit=2&after_id=bb", "cd", True),  # gone meanwhile
        (b"limit=2&before_id=d", "bc", True),
        (b"limit=2&before_id=c", "ab", False),
        (b"limit=2&after_id=a&before_id=e", "bc", True),
        (b"after_id=e", "", False),
        (b"limit=&after_id=c", "de", False),
    ],
)
def test_an_anthropic_client_pages_by_ids(query, ids, has_more):
    page = listed(ANTHROPIC, query)

    assert "".join(entry["id"] for entry in page["data"]) == ids
    assert page["has_more"] is has_more
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


def test_a_gemini_client_pages_by_tokens_to_the_end():
    found, token = [], ""
    while token is not None:
        page = listed(GEMINI, f"pageSize=2&pageToken={token}".encode())
        found += [model["displayName"] for model in page["models"]]
        token = page.get("nextPageToken")

    assert found == FIVE


@pytest.mark.parametrize(("family", "member"), [(ANTHROPIC, "limit"), (GEMINI, "pageSize")])
@pytest.mark.parametrize("size", ["0", "1001", "-1", "ten", "1.5", "9" * 5000])
def test_the_size_of_a_page_is_checked(family, member, size):
    with pytest.raises(Refused, match=f"{member} is .*whole numbers from 1 to 1000") as refused:
        listed(family, f"{member}={size}".encode())

    assert (refused.value.status, refused.value.param) == (400, member)


@pytest.mark.parametrize("family", [OPENAI, ANTHROPIC, GEMINI])
def test_one_that_is_not_listed_is_not_there(family):
    with pytest.raises(Refused) as refused:
        listed(family, name="z")

    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


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
