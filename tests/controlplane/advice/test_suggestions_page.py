"""Admin's page of suggestions: who sees it, what it says, what its buttons do."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from controlplane.advice.accepting import seen_as
from controlplane.edits.models import Edit
from controlplane.jobs.models import Job, JobRun
from failover.models import FailoverRule
from tests.support import rows
from tests.support.rows import edit, suggestion

pytestmark = pytest.mark.django_db

GROUND = {
    "text": "Half of it failed.",
    "figures": {"calls": 99, "content_p50_ms": None, "until": "2026-03-11T10:29:00Z"},
    "window_s": 86400,
}


@pytest.fixture
def url() -> str:
    rows.provider("north")
    rows.pool("small", "north/a")
    return reverse("admin:controlplane_suggestion_changelist")


@pytest.fixture
def rule():
    change = edit("rule", "small", "fallback_models", ["big"], ["big", "north/b"])
    rows.rule("small", "big")
    return suggestion("small", change, kind="failover_rule", evidence=[GROUND], price_change=-2)


def staff(client, *codenames):
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def words(answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_a_draft_stands_beside_the_rule_that_there_is(admin_client, url, rule):
    said = words(admin_client.get(url))
    assert "rule small: fallbacks big big north/b (new)" in said
    assert "Half of it failed." in said
    assert "24 hours up to 2026-03-11 10:29:00 UTC calls 99 content p50 ms unknown" in said
    assert "2 US dollars less a million tokens" in said


def test_accept_makes_the_edit_in_the_persons_name_and_says_what_was_done(
    admin_client, admin_user, url, rule
):
    order = {"act": "accept", "number": rule.pk, "seen": seen_as(rule)}
    said = words(admin_client.post(url, order, follow=True))
    assert "Accepted: Change small. Edited: failover rule small ." in said
    assert "big: it is no model pool" in said  # what is told of any edit
    assert FailoverRule.objects.get().fallback_models == ["big", "north/b"]
    assert Edit.objects.last().author == admin_user.get_username()


def test_a_change_that_was_not_on_the_page_is_not_made(admin_client, url, rule):
    order = {"act": "accept", "number": rule.pk, "seen": "another"}
    assert "has changed since" in words(admin_client.post(url, order, follow=True))
    assert FailoverRule.objects.get().fallback_models == ["big"]


def test_dismiss_needs_a_reason_and_shows_it_from_then_on(admin_client, url, rule):
    order = {"act": "dismiss", "number": rule.pk, "seen": seen_as(rule)}
    assert "Say why" in words(admin_client.post(url, order, follow=True))
    said = words(admin_client.post(url, {**order, "reason": "too far"}, follow=True))
    assert "Dismissed, and not proposed again for 30 days" in said
    assert "by admin: too far" in words(admin_client.get(f"{url}?state=dismissed"))
    assert "Nothing is suggested." in words(admin_client.get(url))


def test_the_list_is_filtered_by_state_and_kind(admin_client, url, rule):
    suggestion("other", kind="limit")
    assert "Change other." not in words(admin_client.get(f"{url}?kind=failover_rule"))
    assert "Change small." not in words(admin_client.get(f"{url}?kind=limit"))
    assert "Nothing is suggested of this kind." in words(admin_client.get(f"{url}?kind=order"))
    assert "No suggestion is accepted." in words(admin_client.get(f"{url}?state=accepted"))
    assert "Change small." in words(admin_client.get(f"{url}?state=nonsense&p=77"))


def test_an_empty_page_says_when_somebody_looked(admin_client, url):
    assert "Nobody has looked yet" in words(admin_client.get(url))
    job = Job.objects.create(name="suggestions")
    now = timezone.now()
    JobRun.objects.create(job=job, started_at=now, ended_at=now, outcome="done", told="0 new")
    said = words(admin_client.get(url))
    assert f"Last looked at {now:%Y-%m-%d %H:%M:%S} UTC , 0 s ago : 0 new." in said


def test_what_the_configuration_manages_is_told_and_has_no_button(admin_client, url):
    rows.pool("filed", "north/a", managed_source="config")
    row = suggestion("filed", edit("pool", "filed", "rpm", None, 60, "north/a"))
    answer = admin_client.get(url)
    assert "In routing.model_pools.filed, candidate north/a: rpm from nothing" in words(answer)
    assert b">Accept<" not in answer.content
    order = {"act": "accept", "number": row.pk, "seen": seen_as(row)}
    assert "managed by configuration" in words(admin_client.post(url, order, follow=True))


def test_who_may_only_look_has_no_buttons_and_changes_nothing(client, url, rule):
    staff(client, "view_suggestion")
    assert b">Dismiss<" not in client.get(url).content
    assert client.post(url, {"act": "accept", "number": rule.pk}).status_code == 403


def test_who_may_not_edit_the_object_can_dismiss_alone(client, url, rule):
    staff(client, "view_suggestion", "change_suggestion")
    shown = client.get(url).content
    assert b">Accept<" not in shown
    assert b">Dismiss<" in shown
    order = {"act": "accept", "number": rule.pk, "seen": seen_as(rule)}
    assert client.post(url, order).status_code == 403


def test_who_may_not_see_suggestions_is_refused(client, url):
    staff(client, "view_failoverrule")
    assert client.get(url).status_code == 403


def test_texts_of_providers_are_shown_as_text(admin_client, url):
    row = suggestion("<script>x</script>", edit("pool", "<b>", "rpm", None, 1, "<i>/x"))
    shown = admin_client.get(url).content
    assert b"<script>x" not in shown
    assert b"<i>/x" not in shown
    assert row.state == "open"
