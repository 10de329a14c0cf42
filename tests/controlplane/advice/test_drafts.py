"""`POST /api/failover/generate`: drafts for an operator to judge, and nothing saved."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from controlplane.edits.models import EditCounter
from controlplane.models import Settings
from controlplane.records.models import NeedMinute
from failover.models import FailoverRule
from providers.models import ProviderModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db):
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    for name in ("north", "south"):
        rows.provider(name, secret="a-key-of-it", base_url=f"https://{name}.example.com")
    rows.pool("big", "north/big-1")
    rows.pool("twin", "south/big-1")
    rows.pool("other", "south/other-1")
    cache.clear()
    yield Api()
    cache.clear()


def drafted(api: Api, *models: str) -> dict[str, list[str]]:
    answer = api("post", "failover/generate", {"models": models} if models else {})
    assert answer.status_code == 200, answer.content
    return {draft["primary_model"]: draft["fallback_models"] for draft in answer.json()}


def test_a_draft_names_who_might_stand_in_and_why(api):
    before = EditCounter.load().value
    (draft,) = api("post", "failover/generate", {"models": ["big"]}).json()
    assert (draft["primary_model"], draft["fallback_models"]) == ("big", ["twin"])
    (evidence,) = draft["evidence"]
    assert evidence["fallback_model"] == "twin"
    assert 0 < evidence["score"] <= 1
    assert "the same model (big-1)" in evidence["reasons"]
    assert "fails apart from it (south.example.com)" in evidence["reasons"]
    assert not FailoverRule.objects.exists()
    assert EditCounter.load().value == before


def test_a_draft_can_be_saved_as_it_is(api):
    (draft,) = api("post", "failover/generate", {"models": ["big"]}).json()
    assert "evidence" in draft
    assert api("put", "failover", draft).json()["warnings"] == []


def test_without_names_pools_without_a_rule_are_drafted(api):
    assert drafted(api) == {"big": ["twin"], "twin": ["big"]}
    rows.rule("big", "other")
    assert drafted(api) == {"twin": ["big"]}


def test_whom_operators_keep_out_is_not_proposed(api):
    rows.CanonicalModel.objects.filter(name="twin").update(enabled=False)
    assert drafted(api, "big") == {"big": []}
    rows.CanonicalModel.objects.update(enabled=True)
    Settings.objects.create(pk=1, disabled_models=["twin"])
    assert drafted(api, "big") == {"big": []}
    Settings.objects.update(disabled_models=[])
    rows.Provider.objects.filter(name="south").update(enabled=False)
    assert drafted(api, "big") == {"big": []}


def test_a_listed_model_in_no_pool_is_proposed_by_provider_and_model(api):
    rows.provider("west", secret="a-key-of-it", base_url="https://west.example.com")
    for provider, model in [("west", "big-1"), ("north", "big-1")]:
        owner = rows.Provider.objects.get(name=provider)
        ProviderModel.objects.create(provider=owner, model_id=model)
    assert drafted(api, "big") == {"big": ["twin", "west/big-1"]}


def test_a_provider_model_is_drafted_by_its_name_in_a_pool_or_not(api):
    owner = rows.Provider.objects.get(name="south")
    ProviderModel.objects.create(provider=owner, model_id="spare-1", metadata={"family": "f"})
    owner = rows.Provider.objects.get(name="north")
    ProviderModel.objects.create(provider=owner, model_id="spare-2", metadata={"family": "f"})
    assert drafted(api, "north/big-1", "north/spare-2") == {
        "north/big-1": ["twin"],
        "north/spare-2": ["south/spare-1"],
    }


def test_who_is_known_to_lack_what_traffic_used_is_not_drafted(api):
    owner = rows.Provider.objects.get(name="south")
    ProviderModel.objects.create(
        provider=owner, model_id="big-1", metadata={"capabilities": {"vision": False}}
    )
    assert drafted(api, "big") == {"big": ["twin"]}
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(days=1)
    NeedMinute.objects.create(minute=minute, pool="big", need="vision", requests=1)
    assert drafted(api, "big") == {"big": []}


@pytest.mark.parametrize("models", [["nobody"], [], "big", [7.5, None], ["x"] * 101])
def test_names_that_mean_nothing_are_400(api, models):
    answer = api("post", "failover/generate", {"models": models})
    assert answer.status_code == 400
    assert set(answer.json()) == {"models"}


def test_an_operator_who_asks_too_often_is_told_when_to_come_back(api):
    rows.api_key("second", "sy_second", scopes=["admin"])
    statuses = [api("post", "failover/generate", {}).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    refused = api("post", "failover/generate", {})
    assert 1 <= int(refused["retry-after"]) <= 60
    assert Api("sy_second")("post", "failover/generate", {}).status_code == 200
    assert api("get", "failover").status_code == 200


def test_what_a_rule_names_already_and_members_of_its_targets_are_not_drafted(api):
    rows.provider("west", secret="a-key-of-it", base_url="https://west.example.com")
    rows.pool("third", "west/big-1")
    assert set(drafted(api, "big")["big"]) == {"twin", "third"}
    rows.rule("big", "twin")
    assert drafted(api, "big")["big"] == ["third"]
    rows.pool("both", "south/big-1", "west/big-1")
    FailoverRule.objects.update(fallback_models=["both"])
    assert drafted(api, "big") == {"big": []}


def test_of_pools_with_the_same_members_one_is_drafted(api):
    rows.pool("twin-again", "south/big-1")
    assert drafted(api, "big")["big"] == ["twin"]


def test_a_rule_for_900_targets_is_refused_and_one_for_100_takes_few_queries(
    api, django_assert_max_num_queries
):
    many = [f"north/m-{number}" for number in range(900)]
    answer = api("put", "failover", {"primary_model": "big", "fallback_models": many})
    assert answer.status_code == 400
    assert "900 are too many; at most 100" in str(answer.json())
    with django_assert_max_num_queries(700):
        body = {"primary_model": "big", "fallback_models": many[:100]}
        assert api("put", "failover", body).status_code == 200
