"""`/api/suggestions`: what is proposed, and what accepting and dismissing do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from controlplane.advice.models import Suggestion
from controlplane.edits.models import Edit
from failover.models import FailoverRule
from providers.models import Provider
from routing.models import Candidate
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.rows import edit, suggestion

pytestmark = pytest.mark.django_db

RULE = edit("rule", "small", "fallback_models", None, ["big"])


@pytest.fixture
def api(db) -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    rows.provider("north")
    rows.provider("south")
    rows.pool("small", "north/a", "south/a")
    return Api()


def accepted(api: Api, row: Suggestion, status: int = 200):
    answer = api("post", f"suggestions/{row.pk}/accept")
    assert answer.status_code == status, answer.content
    return answer.json()


def seats(pool: str = "small") -> list[str]:
    found = Candidate.objects.filter(canonical_model__name=pool)
    return [str(each) for each in found.order_by("priority", "position")]


# What is told


def test_a_suggestion_says_what_would_change_why_and_how_sure_it_is(api):
    ground = {"text": "It is slow.", "figures": {"calls": 9}, "window_s": 60}
    row = suggestion(
        "small", RULE, kind="failover_rule", evidence=[ground], confidence=0.7, price_change=-1.5
    )
    (told,) = api("get", "suggestions").json()
    assert told == {
        "id": row.pk,
        "kind": "failover_rule",
        "target": "small",
        "change": {"text": "Change small.", "edits": [RULE]},
        "evidence": [ground],
        "confidence": 0.7,
        "price_change": -1.5,
        "state": "open",
        "created_at": told["created_at"],
        "expires_at": told["expires_at"],
        "outcome": None,
    }


def test_suggestions_are_filtered_by_state_and_kind_and_come_newest_first(api):
    first = suggestion("a", RULE, kind="failover_rule")
    second = suggestion("b", kind="limit", state="dismissed")
    third = suggestion("c", kind="limit")

    def ids(query: str) -> list[int]:
        return [each["id"] for each in api("get", f"suggestions{query}").json()]

    assert ids("") == [third.pk, second.pk, first.pk]
    assert ids("?state=open") == [third.pk, first.pk]
    assert ids("?kind=limit&state=open") == [third.pk]
    assert api("get", "suggestions?state=gone").status_code == 400


# Accepting


def test_an_accepted_rule_is_made_by_whoever_accepts_it(api):
    row = suggestion("small", RULE)
    shown = accepted(api, row)
    assert (shown["primary_model"], shown["fallback_models"]) == ("small", ["big"])
    assert FailoverRule.objects.get().fallback_models == ["big"]
    noted = Edit.objects.last()
    assert (noted.kind, noted.name, noted.author_kind, noted.author) == (
        "rule", "small", "key", "operator",
    )  # fmt: skip
    assert noted.reason == f"suggestion {row.pk}: Change small."
    row.refresh_from_db()
    assert (row.state, row.decided_by) == ("accepted", "key operator")
    assert FailoverRule.history.first().history_change_reason == f"suggestion {row.pk}"


def test_more_fallbacks_are_added_to_the_rule_that_there_is(api):
    rows.rule("small", "big")
    row = suggestion("small", edit("rule", "small", "fallback_models", ["big"], ["big", "north/b"]))
    assert accepted(api, row)["fallback_models"] == ["big", "north/b"]
    assert FailoverRule.objects.count() == 1


def test_a_candidate_is_added_at_the_end(api):
    rows.provider("west")
    new = edit("pool", "small", "candidate", None, {"priority": 2, "weight": 1}, "west/a")
    shown = accepted(api, suggestion("small", new))
    assert [each["provider_name"] for each in shown["candidates"]] == ["north", "south", "west"]
    assert shown["candidates"][-1]["priority"] == 2
    assert Edit.objects.last().name == "small"


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [("enabled", True, False), ("weight", 1, 2), ("rpm", None, 60), ("max_parallel", None, 4)],
)
def test_a_candidates_field_is_set(api, field, old, new):
    accepted(api, suggestion("small", edit("pool", "small", field, old, new, "south/a")))
    assert getattr(Candidate.objects.get(provider_name="south"), field) == new


def test_a_candidate_goes_before_another_in_its_tier(api):
    Candidate.objects.filter(provider_name="south").update(priority=2)
    row = suggestion(
        "small",
        edit("pool", "small", "order", ["north/a", "south/a"], ["south/a", "north/a"]),
        edit("pool", "small", "priority", 2, 1, "south/a"),
    )
    accepted(api, row)
    assert seats() == ["south/a", "north/a"]
    assert set(Candidate.objects.values_list("priority", flat=True)) == {1}


def test_two_providers_get_one_failure_domain(api):
    Provider.objects.filter(name="north").update(failure_domain={"region": "us"})
    row = suggestion(
        "north, south",
        edit("provider", "north", "failure_domain", {"region": "us"},
             {"region": "us", "together": "x"}),
        edit("provider", "south", "failure_domain", {}, {"together": "x"}),
    )  # fmt: skip
    assert accepted(api, row)["name"] == "north"
    domains = dict(Provider.objects.values_list("name", "failure_domain"))
    assert domains == {"north": {"region": "us", "together": "x"}, "south": {"together": "x"}}


def test_an_accepted_edit_is_checked_as_any_other(api):
    row = suggestion("small", edit("pool", "small", "rpm", None, -1, "south/a"))
    assert "cannot be changed so any more" in accepted(api, row, 409)["detail"]
    row.refresh_from_db()
    assert row.state == "open"


def test_what_has_changed_since_is_not_written_over(api):
    row = suggestion(
        "small",
        edit("pool", "small", "rpm", None, 60, "north/a"),
        edit("pool", "small", "rpm", None, 60, "south/a"),
    )
    Candidate.objects.filter(provider_name="south").update(rpm=5)
    said = accepted(api, row, 409)["detail"]
    assert said.startswith("rpm of south/a is 5 now, and was nothing")
    assert Candidate.objects.get(provider_name="north").rpm is None


@pytest.mark.parametrize(
    "gone",
    [
        edit("pool", "none", "rpm", None, 1, "north/a"),
        edit("pool", "small", "rpm", None, 1, "west/a"),
        edit("provider", "west", "failure_domain", {}, {"together": "x"}),
        edit("rule", "small", "fallback_models", ["big"], ["big", "other"]),
        edit("pool", "small", "order", ["south/a"], ["south/a"]),
        edit("pool", "small", "candidate", None, {"priority": 1, "weight": 1}, "north/a"),
    ],
)
def test_what_is_no_longer_there_is_told(api, gone):
    accepted(api, suggestion("x", gone), 409)
    assert not Edit.objects.filter(reason__startswith="suggestion").exists()


def test_what_the_configuration_manages_is_told_where_to_change(api):
    rows.pool("filed", "north/a", managed_source="config")
    row = suggestion("filed", edit("pool", "filed", "rpm", None, 60, "north/a"))
    (said,) = accepted(api, row, 400)["non_field_errors"]
    assert "managed by configuration" in said
    assert "In routing.model_pools.filed, candidate north/a: rpm from nothing to 60." in said
    row.refresh_from_db()
    assert row.state == "open"


def test_only_what_is_open_can_be_decided(api):
    row = suggestion("small", RULE)
    accepted(api, row)
    assert "accepted by key operator" in accepted(api, row, 409)["detail"]
    late = suggestion("other", RULE, expires_at=timezone.now() - timedelta(seconds=1))
    assert "expired" in accepted(api, late, 409)["detail"]
    answer = api("post", f"suggestions/{late.pk}/dismiss", {"reason": "r"})
    assert answer.status_code == 409
    assert api("post", "suggestions/999999/accept").status_code == 404
    assert api("post", f"suggestions/{'9' * 30}/accept").status_code == 404


def test_who_may_not_edit_the_object_may_not_accept(api):
    row = suggestion("small", RULE)
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["change_suggestion", "change_failoverrule"])
    )
    bob = Client()
    bob.force_login(user)
    assert bob.post(f"/api/suggestions/{row.pk}/accept").status_code == 403
    assert not FailoverRule.objects.exists()
    user.user_permissions.add(Permission.objects.get(codename="add_failoverrule"))
    assert bob.post(f"/api/suggestions/{row.pk}/accept").status_code == 200
    row.refresh_from_db()
    assert row.decided_by == "bob"


# Dismissing


def test_a_dismissed_suggestion_remembers_why_and_by_whom(api):
    row = suggestion("small", RULE)
    assert api("post", f"suggestions/{row.pk}/dismiss", {}).status_code == 400
    answer = api("post", f"suggestions/{row.pk}/dismiss", {"reason": "too dear"})
    assert answer.json()["state"] == "dismissed"
    row.refresh_from_db()
    assert (row.reason, row.decided_by) == ("too dear", "key operator")
    assert not FailoverRule.objects.exists()
