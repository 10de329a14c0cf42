"""Health as operators see it: the API, the list, the providers' list and pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.health.models import HealthCheck, HealthSnapshot
from controlplane.health.strips import FIELD, FIELDS, candidate_strips, in_words, strips
from controlplane.jobs.models import Job
from controlplane.records.models import CallMinute
from providers.models import ListedModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.traffic import insert

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


def snapshot(provider: str = "lab", status: str = "healthy", **fields: Any) -> HealthSnapshot:
    now = timezone.now()
    usual = {
        "reason": "It answers.",
        "latency_ms": 12.3,
        "checked_at": now,
        "due_at": now,
        "stale_at": now + timedelta(minutes=3),
        "discovered_models": 34,
    }
    return HealthSnapshot.objects.create(provider=provider, status=status, **{**usual, **fields})


def test_the_api_lists_every_provider_by_name_whoever_has_been_checked():
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    for name in ("b", "a"):
        rows.provider(name)
    rows.provider("b", managed_source="config")
    now = timezone.now()
    snapshot("b", "unhealthy", stale_at=now - timedelta(seconds=1), last_error="It is away.")

    fresh, stale = Api()("get", "health").json()

    assert set(fresh) >= {
        "provider", "status", "registered", "discovered_models", "using_cached_list",
        "last_success_at", "last_error_at", "last_error", "latency_ms", "checked_at", "stale",
    }  # fmt: skip
    assert (fresh["provider"], fresh["status"], fresh["registered"]) == ("a", "unknown", False)
    assert (fresh["stale"], fresh["discovered_models"]) == (False, None)
    assert (stale["provider"], stale["status"], stale["stale"]) == ("b", "unhealthy", True)
    assert (stale["last_error"], stale["discovered_models"]) == ("It is away.", 34)


def test_the_list_says_in_words_how_each_is_how_old_that_is_and_how_it_was(admin):
    rows.provider("lab")
    row = snapshot(status="degraded", reason="It answers with status 500.", using_cached_list=True)
    HealthCheck.objects.create(provider="lab", at=row.checked_at, status="degraded")
    html = admin.get(reverse("admin:controlplane_healthsnapshot_changelist")).content.decode()
    assert '<span class="health-word health-degraded">degraded</span>' in html
    assert "12 ms. It answers with status 500." in html
    assert "34 listed earlier" in html
    assert 'role="img" aria-label="the last 6 hours: degraded 2 %, not checked 97 %"' in html


def test_what_is_stale_is_shown_as_that(admin):
    rows.provider("lab")
    at = timezone.now() - timedelta(minutes=10)
    snapshot(checked_at=at, stale_at=at + timedelta(minutes=3))
    html = admin.get(reverse("admin:providers_provider_changelist")).content.decode()
    assert '<span class="health-word health-stale">stale</span>' in html
    assert "healthy 10 min ago; nothing has looked since" in html


def test_the_providers_page_has_health_and_what_its_list_has_lately(admin):
    lab = rows.provider("lab")
    snapshot()
    now = timezone.now()
    for name, gone_at in (("old", now), ("kept", None)):
        ListedModel.objects.create(
            provider="lab",
            model_id=name,
            first_seen_at=now - timedelta(days=30),
            last_seen_at=now,
            vanished_at=gone_at,
        )
    html = admin.get(reverse("admin:providers_provider_change", args=[lab.pk])).content.decode()
    assert '<span class="health-word health-healthy">healthy</span>' in html
    assert "gone: old" in html
    assert admin.get(reverse("admin:providers_provider_add")).status_code == 200


def test_a_row_of_health_shows_its_newest_checks_and_cannot_be_edited(admin):
    row = snapshot()
    HealthCheck.objects.create(
        provider="lab", at=row.checked_at, status="unhealthy", error="<b>away</b>"
    )
    page = reverse("admin:controlplane_healthsnapshot_change", args=["lab"])
    html = admin.get(page).content.decode()
    assert "&lt;b&gt;away&lt;/b&gt;" in html
    assert admin.post(page, {"status": "healthy"}).status_code == 403


def test_check_now_makes_those_chosen_due_and_wants_the_job(admin):
    rows.provider("lab")
    snapshot()
    listed = reverse("admin:controlplane_healthsnapshot_changelist")
    chosen = {"action": "check_now", "_selected_action": ["lab"]}
    page = admin.post(listed, chosen, follow=True)
    assert "lab is checked within seconds" in page.content.decode()
    assert HealthSnapshot.objects.get().due_at is None
    assert Job.objects.get(name="health").is_wanted


def test_who_may_only_look_cannot_have_anybody_checked(client):
    snapshot()
    reader = User.objects.create_user("eve", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_healthsnapshot"))
    client.force_login(reader)
    listed = reverse("admin:controlplane_healthsnapshot_changelist")
    assert "Check now" not in client.get(listed).content.decode()
    client.post(listed, {"action": "check_now", "_selected_action": ["lab"]})
    assert HealthSnapshot.objects.get().due_at is not None


def test_lists_ask_no_more_where_there_are_more_providers(admin, django_assert_max_num_queries):
    for number in range(20):
        rows.provider(f"lab{number}")
        snapshot(f"lab{number}")
    for name in ("controlplane_healthsnapshot", "providers_provider"):
        with django_assert_max_num_queries(14):
            admin.get(reverse(f"admin:{name}_changelist"))


def test_candidates_that_are_not_listed_are_flagged_in_their_list_and_on_their_pools_page(admin):
    rows.provider("lab")
    pool = rows.pool("small", "lab/going")
    now = timezone.now()
    for name, gone_at in (("going", now), ("kept", None)):
        ListedModel.objects.create(
            provider="lab", model_id=name, first_seen_at=now, last_seen_at=now, vanished_at=gone_at
        )
    words = f"not in the provider&#x27;s list since {now:%Y-%m-%d %H:%M} UTC"
    for page in (
        reverse("admin:routing_candidate_changelist"),
        reverse("admin:routing_canonicalmodel_change", args=[pool.pk]),
    ):
        assert words in admin.get(page).content.decode()


def test_a_candidate_has_a_strip_of_its_calls_in_its_pool(admin, django_assert_max_num_queries):
    now = timezone.now().replace(second=0, microsecond=0)
    pools = [rows.pool(f"pool{number}", "lab/m") for number in range(9)]
    of_it = {"pool": "pool0", "provider": "lab", "model": "m"}
    insert(
        CallMinute,
        [
            {**of_it, "minute": now - n * FIELD, "calls": 20, "failed": failed}
            for n, failed in enumerate((0, 2, 3, 10), 1)
        ],
    )

    strip = candidate_strips(["pool0", "pool1"], now)["pool0", "lab", "m"]
    told = [(field.status, field.note) for field in strip if not field.says_nothing]
    assert told == [
        ("unhealthy", "10 of 20 calls failed"),
        ("degraded", "3 of 20 calls failed"),
        ("healthy", "2 of 20 calls failed"),
        ("healthy", "0 of 20 calls failed"),
    ]
    words = "the last 6 hours: healthy 5 %, degraded 2 %, unhealthy 2 %, not called"
    with django_assert_max_num_queries(12):
        listed = admin.get(reverse("admin:routing_candidate_changelist")).content.decode()
    assert listed.count(f'aria-label="{words}') == 1
    assert listed.count("the last 6 hours: not called 100 %") == 2 * 8  # as label and as title
    page = admin.get(reverse("admin:routing_canonicalmodel_change", args=[pools[0].pk]))
    assert f'aria-label="{words}' in page.content.decode()
    assert admin.get(reverse("admin:routing_canonicalmodel_add")).status_code == 200


def test_of_the_checks_of_one_field_the_worst_shows():
    now = timezone.now()
    for ago, status in (
        (FIELD / 2, "healthy"),
        (FIELD / 3, "unhealthy"),
        (FIELD * 1.5, "healthy"),
        (FIELD * 2.5, "unknown"),
        (FIELD * (FIELDS + 1), "unhealthy"),
    ):
        HealthCheck.objects.create(provider="lab", at=now - ago, status=status)
    strip = strips(["lab", "new"], now)["lab"]
    assert [field.status for field in strip[-4:]] == [
        "not checked",
        "unknown",
        "healthy",
        "unhealthy",
    ]
    assert len(strip) == FIELDS
    assert in_words(strip).startswith("the last 6 hours: healthy 2 %, unknown 2 %, unhealthy 2 %")
