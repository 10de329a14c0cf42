"""`/api/routing-state`: operators' switches, as a script turns them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from controlplane.edits.models import EditCounter
from controlplane.publishing.content import Builder
from providers.models import Provider
from routing.gateway.deciding.snapshot import SwitchSpec
from routing.models import RoutingState
from tests.support import rows

pytestmark = pytest.mark.django_db

KEY = "sy_admin-key-of-the-tests-0123456789"
LAB = {"kind": "provider", "provider_name": "lab"}
SMALL = {"kind": "canonical_model", "canonical_model": "small"}
IN_SMALL = {
    "kind": "pool_candidate",
    "provider_name": "lab",
    "canonical_model": "small",
    "model": "a",
}
LATER = "2999-01-01T00:00:00Z"


@pytest.fixture
def client(db) -> Client:
    rows.api_key("operator", KEY, scopes=["admin"])
    rows.provider("lab")
    rows.provider("spare", managed_source="config")
    rows.pool("small", "lab/a", "lab/b", managed_source="config")
    rows.pool("large", "lab/a", "spare/a")
    return Client(headers={"authorization": f"Bearer {KEY}"})


def put(client, identity, *, enabled=False, **fields):
    body = {**identity, "enabled": enabled, **fields}
    return client.put("/api/routing-state", body, content_type="application/json")


def delete(client, identity):
    return client.delete("/api/routing-state", identity, content_type="application/json")


def listed(client):
    answer = client.get("/api/routing-state")
    assert answer.status_code == 200
    return answer.json()


def published() -> tuple[SwitchSpec, ...]:
    return Builder().build().switches


def test_a_switch_is_listed_as_the_contract_says_and_published(client):
    answer = put(client, IN_SMALL, reason=" key rotation ", until=LATER)
    assert answer.status_code == 200
    entry = answer.json()
    assert entry.pop("warnings") == []
    assert listed(client) == [entry]
    assert datetime.fromisoformat(entry.pop("updated_at")) <= timezone.now()
    assert entry == {
        **IN_SMALL,
        "enabled": False,
        "reason": "key rotation",
        "until": LATER,
        "set_by": "API: operator",
    }
    assert published() == (
        SwitchSpec(
            kind="pool_candidate",
            provider="lab",
            canonical_model="small",
            model="a",
            reason="key rotation",
            until=datetime(2999, 1, 1, tzinfo=UTC).timestamp(),
        ),
    )


def test_each_kind_has_its_names_and_the_list_is_in_order(client):
    for identity in (LAB, IN_SMALL, SMALL, {**LAB, "provider_name": "spare"}):
        assert put(client, identity).status_code == 200
    assert [
        (entry["kind"], entry["provider_name"], entry["canonical_model"], entry["model"])
        for entry in listed(client)
    ] == [
        ("canonical_model", None, "small", None),
        ("pool_candidate", "lab", "small", "a"),
        ("provider", "lab", None, None),
        ("provider", "spare", None, None),
    ]


def test_a_candidate_switched_in_one_pool_is_another_switch_than_in_another(client):
    put(client, IN_SMALL)
    put(client, {**IN_SMALL, "canonical_model": "large"}, reason="mine")
    assert delete(client, IN_SMALL).status_code == 204
    assert [entry["canonical_model"] for entry in listed(client)] == ["large"]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"kind": "provider"}, "provider_name", "has to be named"),
        ({"provider_name": "lab"}, "kind", "required"),
        ({**LAB, "kind": "alias"}, "kind", "not a valid choice"),
        ({**LAB, "model": "a"}, "model", "'a' does not belong to a provider"),
        ({**LAB, "provider_name": 5}, "provider_name", "Not a valid string"),
        ({**LAB, "provider_name": "la"}, "provider_name", "'la'; allowed are lab, spare"),
        ({**SMALL, "canonical_model": "x"}, "canonical_model", "'x'; allowed are large, small"),
        ({**IN_SMALL, "model": None}, "model", "has to be named"),
        ({**IN_SMALL, "model": "c"}, "model", "'c'; allowed are a, b"),
        ({**IN_SMALL, "provider_name": "spare"}, "provider_name", "'spare'; allowed are lab"),
        ({**IN_SMALL, "canonical_model": "m"}, "canonical_model", "'m'; allowed are large"),
        ({**LAB, "until": "2020-01-01T00:00:00Z"}, "until", "over"),
        ({**LAB, "until": "soon"}, "until", "wrong format"),
        ({**LAB, "reason": "x" * 501}, "reason", "500"),
        ({**LAB, "enabled": "perhaps"}, "enabled", "valid boolean"),
    ],
)
def test_a_switch_of_what_is_not_there_is_refused_by_field_value_and_what_is(
    client, body, field, words
):
    answer = client.put(
        "/api/routing-state", {"enabled": False, **body}, content_type="application/json"
    )
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert words in str(answer.json()[field])
    assert not RoutingState.objects.exists()


def test_enabled_has_to_be_said(client):
    answer = client.put("/api/routing-state", LAB, content_type="application/json")
    assert (answer.status_code, list(answer.json())) == (400, ["enabled"])


def test_of_many_names_a_refusal_lists_the_nearest(client):
    for number in range(20):
        rows.provider(f"east-{number:02}")
    said = put(client, {**LAB, "provider_name": "east-7"}).json()["provider_name"][0]
    assert "east-07" in said
    assert said.endswith("and 17 more")


def test_reason_and_end_stay_until_the_switch_turns(client):
    put(client, LAB, reason="why", until=LATER)
    kept = put(client, LAB).json()
    assert (kept["reason"], kept["until"]) == ("why", LATER)
    assert put(client, LAB, until=None).json()["until"] is None
    turned = put(client, LAB, enabled=True).json()
    assert (turned["enabled"], turned["reason"], turned["until"]) == (True, "", None)
    assert published() == ()


def test_delete_takes_query_or_body_and_is_content_with_what_has_no_switch(client):
    put(client, SMALL)
    assert client.delete("/api/routing-state", query_params=SMALL).status_code == 204
    assert listed(client) == []
    assert delete(client, SMALL).status_code == 204
    assert delete(client, {**SMALL, "canonical_model": "none"}).status_code == 404
    assert delete(client, {"kind": "provider"}).status_code == 400


def test_the_switch_of_an_object_that_is_gone_is_kept_for_its_return_and_can_be_ended(client):
    put(client, {**LAB, "provider_name": "spare"})
    Provider.objects.filter(name="spare").delete()
    assert [entry["provider_name"] for entry in listed(client)] == ["spare"]
    assert delete(client, {**LAB, "provider_name": "spare"}).status_code == 204
    assert listed(client) == []


def test_a_switch_moves_the_edit_counter_so_that_every_host_publishes_it(client):
    before = EditCounter.load().value
    put(client, LAB)
    moved = EditCounter.load().value
    delete(client, LAB)
    assert before < moved < EditCounter.load().value


def test_a_time_that_is_over_is_not_listed_and_its_switch_can_be_made_anew(client):
    put(client, LAB, reason="before", until=LATER)
    RoutingState.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert listed(client) == []
    entry = put(client, LAB).json()
    assert (entry["reason"], entry["until"]) == ("", None)


def test_pools_that_are_left_without_anybody_are_named(client):
    assert put(client, {**IN_SMALL, "model": "b"}).json()["warnings"] == []
    said = put(client, LAB).json()["warnings"]
    assert said == ["Nobody is left to serve small."]
    said = put(client, {**LAB, "provider_name": "spare"}).json()["warnings"]
    assert said == ["Nobody is left to serve large."]


def test_rules_that_lose_a_fallback_by_a_switch_are_named(client):
    rows.pool("best", "spare/c")
    rows.rule("best", "large", "lab/a")
    loses = ["Failover rules name it: those for best."]
    assert put(client, {**SMALL, "canonical_model": "large"}).json()["warnings"] == loses
    assert put(client, {**IN_SMALL, "canonical_model": "large"}).json()["warnings"] == []
    assert put(client, LAB).json()["warnings"] == ["Nobody is left to serve small.", *loses]


def test_a_rule_whose_fallback_is_switched_off_warns_when_it_is_saved(client):
    def saved():
        body = {"primary_model": "small", "fallback_models": ["large"]}
        answer = client.put("/api/failover", body, content_type="application/json")
        return [text for text in answer.json()["warnings"] if "disabled" in text]

    assert saved() == []
    put(client, {**SMALL, "canonical_model": "large"})
    assert saved() == ["large: nobody can serve it: model pool large is disabled."]
    delete(client, {**SMALL, "canonical_model": "large"})
    for provider_name in ("lab", "spare"):
        put(client, {**IN_SMALL, "canonical_model": "large", "provider_name": provider_name})
    assert saved() == ["large: nobody can serve it: every candidate is disabled."]
    for provider_name in ("lab", "spare"):
        delete(client, {**IN_SMALL, "canonical_model": "large", "provider_name": provider_name})
    put(client, LAB)
    put(client, {**LAB, "provider_name": "spare"})
    assert "every candidate is disabled or missing" in saved()[0]


def test_switching_on_what_is_disabled_itself_says_so(client):
    rows.provider("off", enabled=False)
    rows.pool("closed", "lab/a", enabled=False, managed_source="config")
    answer = put(client, {**LAB, "provider_name": "off"}, enabled=True)
    assert answer.json()["warnings"] == [
        "Provider off is off all the same: its own settings disable it."
    ]
    answer = put(client, {**SMALL, "canonical_model": "closed"}, enabled=True)
    assert answer.json()["warnings"] == [
        "Model pool closed is off all the same: the configuration disables it."
    ]


def test_history_tells_who_switched_what_and_why_also_of_what_has_ended(client):
    put(client, LAB, reason="one")
    person = Client()
    person.force_login(User.objects.create_superuser("ada"))
    put(person, LAB, reason="two")
    delete(client, LAB)
    told = RoutingState.history.order_by("history_id").values_list(
        "history_type", "reason", "set_by", "history_change_reason"
    )
    assert list(told) == [
        ("+", "one", "API: operator", "API: operator"),
        ("~", "two", "ada", "ada"),
        ("-", "two", "API: operator", "API: operator"),
    ]
    page = person.get("/admin/routing/historicalroutingstate/").content.decode()
    assert "as configured" in page
    assert page.count("provider lab") == 3
