"""The first page: what it shows, and to whom."""

from __future__ import annotations

from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from controlplane.alerts.models import Alert
from controlplane.health.models import HealthSnapshot
from controlplane.models import ApiKey, ConfigSource
from controlplane.records.models import RequestMinute
from providers.models import Provider
from routing.gateway.auth import new_key
from routing.models import CanonicalModel
from tests.support import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def shown(admin_client):
    """`shown(path)` is the text of the page."""
    return lambda path="/admin/": unescape(admin_client.get(path).content.decode())


def test_an_empty_gateway_says_what_to_do_first(shown):
    text = shown()
    for words in ("What to do first", "Add a provider", "Make a model pool", "Make an API key"):
        assert words in text
    Provider.objects.create(name="lab", kind="simulator")
    CanonicalModel.objects.create(name="small")
    key = ApiKey(name="team")
    key.set_key(new_key())
    key.save()
    assert "What to do first" not in shown()


def test_a_window_without_requests_says_so_and_one_with_them_has_figures(shown):
    assert "No request has come in within this window." in shown()
    RequestMinute.objects.create(
        minute=timezone.now().replace(second=0, microsecond=0), pool="small", key="", requests=321
    )
    text = shown()
    assert "No request has come in" not in text
    assert "321" in text
    assert 'id="chart-data"' in text


def test_the_part_that_changes_is_the_pages_own(admin_client, shown):
    part = unescape(admin_client.get("/admin/overview/part/?window=15m").content.decode())
    assert part.lstrip().startswith('<div id="overview-top"')
    assert "<html" not in part
    assert 'aria-current="true">last 15 minutes' in shown("/admin/?window=15m")
    assert 'aria-current="true">last hour' in shown("/admin/?window=nonsense")


def test_what_is_wrong_is_on_it(shown):
    text = shown()
    assert "Nothing needs you." in text
    assert "No check has found anything wrong." in text
    now = timezone.now()
    Alert.objects.create(kind="job_missed", subject="health", text="Health is late.", since=now)
    Alert.objects.create(kind="x", subject="y", text="Long over.", since=now, ended_at=now)
    rows.suggestion(target="small")
    HealthSnapshot.objects.create(provider="lab", status="unhealthy", reason="refused")
    text = shown()
    assert "Health is late." in text
    assert "Long over." not in text
    assert "lab: refused" in text
    assert "for small" in text


def test_a_refused_file_is_named_until_a_later_edit_is_applied(shown):
    row = ConfigSource.load()
    row.refused_at, row.refused_errors = timezone.now(), ["x.yaml:3: pools: wrong"]
    row.save()
    assert "x.yaml:3: pools: wrong" in shown()
    row.applied_at = timezone.now()
    row.save()
    assert "x.yaml:3: pools: wrong" not in shown()


def test_who_may_see_little_sees_little(client):
    user = User.objects.create_user("op", is_staff=True)
    client.force_login(user)
    text = client.get("/admin/").content.decode()
    for words in ("Requests</dt>", "chart-data", "Nothing needs you", "Who sits out", "host</a>"):
        assert words not in text
    user.user_permissions.add(Permission.objects.get(codename="view_alert"))
    assert "Nothing needs you" in client.get("/admin/").content.decode()


def test_looking_writes_nothing(shown):
    shown()
    with CaptureQueriesContext(connection) as queries:
        shown()
    told = [query["sql"] for query in queries]
    assert not [sql for sql in told if not sql.startswith(("SELECT", "SAVEPOINT", "RELEASE"))]
    assert len(told) <= 40
