"""What providers' own status pages say: noted beside a status, which never comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.advice.models import Suggestion
from controlplane.health.checks import Checking
from controlplane.health.models import HealthSnapshot
from controlplane.health.status_pages import MOST_BYTES
from controlplane.jobs.lease import want
from controlplane.jobs.running import run_job
from controlplane.records.models import CallMinute, FaultMinute
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.receiver import receiving
from tests.support.traffic import insert

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def page():
    with receiving() as found:
        says(found, "critical", "Major Outage")
        yield found


def says(page, indicator: str, description: str) -> None:
    page.answer = b'{"page": {"id": "x"}, "status": {"indicator": "%b", "description": "%b"}}' % (
        indicator.encode(),
        description.encode(),
    )


def lab(page, name: str = "lab", **fields):
    more = {"kind": "simulator", "managed_source": "config", **fields}
    return rows.provider(name, health={"status_page": page.url}, **more)


def check(passed: timedelta = timedelta(0)) -> HealthSnapshot:
    Checking(START + passed).run()
    return HealthSnapshot.objects.get(provider="lab")


def test_its_word_is_noted_and_changes_no_status(page):
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    provider = lab(page)
    lab(page, "twin")

    row = check()

    assert (row.page_indicator, row.page_says, row.page_error) == ("critical", "Major Outage", "")
    assert (row.status, row.reason, row.failures) == ("healthy", "It answers.", 0)
    (asked,) = page.posted  # who has the same page shares its answer
    assert asked.path == "/hook/api/v2/status.json"
    told = {one["provider"]: one["status_page"] for one in Api()("get", "health").json()}
    assert told["lab"] == told["twin"] == {
        "indicator": "critical", "description": "Major Outage", "error": "",
        "read_at": "2026-11-28T12:00:00Z",
    }  # fmt: skip
    words = "Its status page said at 2026-11-28 12:00 UTC: critical: Major Outage."
    admin = Client()
    admin.force_login(User.objects.create_superuser("ada"))
    for shown, pk in (("controlplane_healthsnapshot", "lab"), ("providers_provider", provider.pk)):
        html = admin.get(reverse(f"admin:{shown}_change", args=[pk])).content.decode()
        assert words in html

    says(page, "none", "All Systems Operational")
    before = check(4 * MINUTE).updated_at
    assert len(page.posted) == 1
    row = check(5 * MINUTE)
    assert (row.page_indicator, row.status) == ("none", "healthy")
    assert row.updated_at == START + 5 * MINUTE > before

    provider.health = {}
    provider.save()
    assert check(6 * MINUTE).page_read_at is None
    told = {one["provider"]: one["status_page"] for one in Api()("get", "health").json()}
    assert told["lab"] is None


def test_what_cannot_be_read_says_so_and_nothing_else(page):
    lab(page)
    check()
    for number, (status, answer, words) in enumerate(
        [
            (503, b"", "answered with status 503"),
            (302, b"", "answered with status 302"),
            (200, b"<html>", "answered with something else"),
            (200, b'{"status": "ok"}', "answered with something else"),
            (200, b'{"status": {"indicator": ""}}', "answered without an indicator"),
            (200, b" " * (MOST_BYTES + 1), "answered with more than 64 KiB"),
        ],
        1,
    ):
        page.status, page.answer = status, answer
        page.headers = {"location": page.url} if status == 302 else {}
        row = check(number * 5 * MINUTE)
        assert row.page_error.startswith(words)
        assert (row.page_indicator, row.page_says, row.status) == ("", "", "healthy")
        assert len(page.posted) == number + 1


def test_only_the_file_may_name_a_page_on_this_machine(page):
    provider = lab(page)
    type(provider).objects.update(managed_source="dashboard")

    assert "loopback" in check().page_error
    assert page.posted == []


def test_suggestions_about_a_provider_have_its_word_beside_their_figures():
    rows.provider("lab", secret="a-key-of-it", base_url="https://lab.example.com")
    rows.provider("spare", secret="a-key-of-it", base_url="https://spare.example.com")
    rows.pool("small", "lab/m", "spare/m")
    HealthSnapshot.objects.create(
        provider="lab", page_indicator="none", page_says="All is well.", page_read_at=START
    )
    now = timezone.now().replace(second=0, microsecond=0)
    of_it = [
        {"minute": now - n * 30 * MINUTE, "pool": "small", "provider": "lab", "model": "m"}
        for n in range(1, 40)
    ]
    insert(CallMinute, [{**row, "calls": 3} for row in of_it])
    insert(FaultMinute, [{**row, "fault": "status", "status": 500, "calls": 3} for row in of_it])
    want("suggestions")

    assert run_job("suggestions").outcome == "done"

    grounds = Suggestion.objects.get(kind="pool_candidate").evidence
    assert grounds[0]["figures"]["candidate"] == "lab/m"
    assert grounds[-1] == {
        "text": "The status page of lab said at 2026-11-28 12:00 UTC: none: All is well.",
        "figures": {},
        "window_s": 0,
    }
