"""The first page: what it shows, and to whom."""

from __future__ import annotations

from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from controlplane import first_run
from controlplane.alerts.models import Alert
from controlplane.health.models import HealthSnapshot
from controlplane.models import ConfigSource
from controlplane.records.models import RequestMinute, RequestRecord
from providers.models import ListedModel, Provider
from routing.models import Alias, CanonicalModel
from tests.support import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def shown(admin_client):
    """`shown(path)` is the text of the page."""
    return lambda path="/admin/": unescape(admin_client.get(path).content.decode())


def steps(client) -> dict[str, bool]:
    return {step.words: step.is_done for step in client.get("/admin/").context["first_steps"]}


@pytest.fixture
def newcomer(client, db):
    """Signed in after the first start, which has made a key and the demo."""
    first_run.prepare()
    client.force_login(User.objects.get(username="admin"))
    return client


def test_a_newcomer_is_shown_what_to_do_next_and_each_step_is_ticked_when_it_is_done(newcomer):
    assert "What to do first" in newcomer.get("/admin/").content.decode()
    ways = ("Add a provider", "Test it", "Make a model pool of its models", "Make an API key")
    done = dict.fromkeys((*ways, "Call it"), False) | {ways[3]: True}
    assert steps(newcomer) == done  # nothing of the demo counts

    rows.provider("lab")
    assert steps(newcomer) == done | {ways[0]: True}
    now = timezone.now()
    ListedModel.objects.create(provider="lab", model_id="m", first_seen_at=now, last_seen_at=now)
    rows.pool("small", "lab/m")
    assert steps(newcomer) == dict.fromkeys(ways, True) | {"Call it": False}
    RequestRecord.objects.create(
        id=RequestRecord.first_id_at(now), canonical_model="small", duration_ms=1
    )
    assert steps(newcomer) == {}


def test_the_demo_is_removed_with_one_click_and_nothing_else(newcomer):
    rows.provider("lab")
    rows.alias("trial", "demo")

    kept = newcomer.post("/admin/remove-demo/", follow=True).content.decode()
    assert "demo is still in use. The alias trial stands for it." in kept
    assert CanonicalModel.objects.filter(name="demo").exists()
    Alias.objects.all().delete()
    gone = newcomer.post("/admin/remove-demo/", follow=True).content.decode()

    assert "The demo is gone." in gone
    assert "Remove the demo" not in gone
    assert not CanonicalModel.objects.exists()
    assert list(Provider.objects.values_list("name", flat=True)) == ["lab"]
    assert newcomer.get("/admin/remove-demo/").status_code == 405


def test_who_may_not_delete_sees_no_way_to_remove_the_demo(client):
    first_run.prepare()
    client.force_login(User.objects.create_user("bob", is_staff=True))
    assert "Remove the demo" not in client.get("/admin/").content.decode()
    assert client.post("/admin/remove-demo/").status_code == 403


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
