"""What a caller may call a model, which names a key may use, and where they are listed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from openai import NotFoundError, PermissionDeniedError

from tests.journeys.stage import HELLO, Stage, calls, candidate

if TYPE_CHECKING:
    from collections.abc import Mapping

NARROW_KEY = f"sy_{secrets.token_hex(16)}"
ADMIN_KEY = f"sy_{secrets.token_hex(16)}"


@pytest.fixture(scope="module", autouse=True)
def config(whole_session_stage: Stage) -> None:
    stage = whole_session_stage
    listed = ["listed-model", "org/slashed-model"]
    down = "status:503"
    stage.add(
        providers={
            "north": stage.first.provider(models=listed),
            "south": stage.second.provider(models=["listed-model"]),
        },
        pools={
            "canon-large": {
                "aliases": ["large"],
                "candidates": [candidate("north", "large-1"), candidate("south", "large-2")],
            },
            "canon-small": {"candidates": [candidate("south", "small-1")]},
            "canon-down": {"candidates": [candidate("north", f"down~{down}")]},
            "canon-off": {"candidates": [candidate("north", "off", enabled=False)]},
            "canon-fixed": {
                "candidates": [candidate("north", f"fixed~{down}"), candidate("south", "fixed-2")]
            },
        },
        aliases={
            "quick": "canon-small",
            "quicker": "quick",
            "own-targets": {
                "targets": [candidate("north", f"own~{down}"), candidate("south", "own-2")]
            },
        },
        rules={"canon-down": ["north/ruled~status:500", "canon-small"]},
        disabled_models=["canon-fixed"],
        keys=[
            {"name": "narrow", "key": NARROW_KEY, "models": ["canon-l*", "south/free-*"]},
            {"name": "admin-only", "key": ADMIN_KEY, "scopes": ["admin"]},
        ],
    )


def ask(stage: Stage, model: str, **more: Any) -> Mapping[str, str]:
    """The headers of an answer that the SDK was happy with."""
    options = {"key": more.pop("key", None)}
    reply = stage.client(**options).chat.completions.with_raw_response.create(
        model=model, messages=HELLO, **more
    )
    assert reply.parse().choices[0].message.content
    headers: Mapping[str, str] = reply.http_response.headers
    return headers


@pytest.mark.parametrize(
    ("name", "canonical", "served"),
    [
        ("canon-large", "canon-large", "north/large-1"),
        ("large", "canon-large", "north/large-1"),
        ("quick", "canon-small", "south/small-1"),
        ("quicker", "canon-small", "south/small-1"),
        ("own-targets", "own-targets", "south/own-2"),
        ("south/anything-at-all", "south/anything-at-all", "south/anything-at-all"),
        ("north/org/slashed-model", "north/org/slashed-model", "north/org/slashed-model"),
        ("listed-model", "listed-model", "north/listed-model"),
        ("org/slashed-model", "org/slashed-model", "north/org/slashed-model"),
        ("canon-small,canon-large", "canon-small", "south/small-1"),
    ],
)
def test_a_model_goes_by_many_names(stage: Stage, name: str, canonical: str, served: str) -> None:
    headers = ask(stage, name)

    assert headers["x-switchyard-model"] == canonical
    provider, model = headers["x-switchyard-provider"], headers["x-switchyard-provider-model"]
    assert f"{provider}/{model}" == served


def test_a_chain_leaves_out_unknown_names_with_a_warning(stage: Stage) -> None:
    headers = ask(stage, "no-such, canon-down ,canon-small,canon-small")

    assert headers["x-switchyard-provider-model"] == "small-1"
    assert headers["x-switchyard-attempts"] == "2"
    assert "no-such" in headers["x-switchyard-warning"]


def test_a_failover_rule_is_tried_after_a_models_own_candidates(stage: Stage) -> None:
    headers = ask(stage, "canon-down")

    assert headers["x-switchyard-model"] == "canon-down"
    assert headers["x-switchyard-provider-model"] == "small-1"
    assert headers["x-switchyard-attempts"] == "3"
    assert headers["x-switchyard-failover"] == "true"


def test_clearing_the_dashboards_rules_leaves_the_files_rules_alone(stage: Stage) -> None:
    """litellm #38406, #15647: an empty list in the database is no answer to the file."""
    cleared = stage.gateway.request("/api/failover/reset", {})
    assert cleared.status == 200, cleared.body

    assert ask(stage, "canon-down")["x-switchyard-provider-model"] == "small-1"


def test_a_disabled_models_failure_is_final(stage: Stage) -> None:
    reply = stage.gateway.chat("canon-fixed")

    assert reply.status == 502
    assert [attempt["provider"] for attempt in reply.json()["error"]["attempts"]] == ["north"] * 2
    assert not calls(stage.second, "fixed-2")


def test_an_unknown_name_is_answered_with_close_ones(stage: Stage) -> None:
    with pytest.raises(NotFoundError) as refused:
        ask(stage, "canon-larg")

    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"
    assert "'canon-large'" in refused.value.message


def test_a_chain_of_unknown_names_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFoundError) as refused:
        ask(stage, "no-such,nor-this")

    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("name", ["canon-large", "large", "south/free-1", "north/large-1,large"])
def test_a_key_opens_what_its_patterns_match(stage: Stage, name: str) -> None:
    assert ask(stage, name, key=NARROW_KEY)["x-switchyard-attempts"] == "1"


@pytest.mark.parametrize("name", ["canon-small", "quick", "north/free-1", "north/large-1"])
def test_a_key_opens_nothing_else(stage: Stage, name: str) -> None:
    with pytest.raises(PermissionDeniedError) as refused:
        ask(stage, name, key=NARROW_KEY)

    assert refused.value.code == "key_not_allowed"


def test_an_error_proposes_only_names_that_the_key_may_use(stage: Stage) -> None:
    with pytest.raises(NotFoundError) as refused:
        ask(stage, "canon-smal", key=NARROW_KEY)

    assert "canon-small" not in refused.value.message


def test_a_key_without_the_inference_scope_asks_nobody(stage: Stage) -> None:
    with pytest.raises(PermissionDeniedError) as refused:
        ask(stage, "canon-large", key=ADMIN_KEY)

    assert refused.value.code == "scope_missing"


def test_the_list_shows_models_and_aliases_that_operators_leave_a_candidate_for(
    stage: Stage,
) -> None:
    names = [model.id for model in stage.client().models.list()]

    assert {"canon-large", "large", "quick", "quicker", "own-targets", "canon-down"} <= set(names)
    assert not {"canon-off", "listed-model", "north/large-1"} & set(names)
    assert names == sorted(names)


def test_the_list_shows_a_key_what_it_may_use(stage: Stage) -> None:
    names = [model.id for model in stage.client(NARROW_KEY).models.list()]

    assert names == ["canon-large", "large"]


def test_one_listed_model_is_found_by_its_name(stage: Stage) -> None:
    found = stage.client().models.retrieve("canon-large")

    assert (found.id, found.object) == ("canon-large", "model")
    with pytest.raises(NotFoundError):
        stage.client(NARROW_KEY).models.retrieve("canon-small")


def test_the_list_has_anthropics_shape_for_anthropics_callers(stage: Stage) -> None:
    headers = {"anthropic-version": "2023-06-01"}

    listed = stage.gateway.request("/v1/models", headers=headers).json()
    one = stage.gateway.request("/v1/models/canon-large/", headers=headers).json()

    assert listed["has_more"] is False
    assert listed["first_id"] == listed["data"][0]["id"]
    assert listed["last_id"] == listed["data"][-1]["id"]
    assert one in listed["data"]
    assert (one["type"], one["id"]) == ("model", "canon-large")
