"""Trouble first: pools as they stand now, on their page, in lists and in the menu."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from controlplane.models import ConfigSource
from controlplane.records.models import RequestMinute
from routing.gateway.deciding.snapshot import AliasSpec
from tests.support import rows
from tests.support.builders import bench_entry, content, pool, provider, snapshot
from tests.support.workers import WorkerClient, local_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

    from controlplane.decisions.local_worker import LocalWorker

pytestmark = pytest.mark.django_db

PAGE, BOARD = "/admin/pools-now/", "/admin/failover/bench/"
CALM = [f"calm-{number:02}" for number in range(60)]
CONTENT = content(
    pool("a-fine", "a/x", "b/x"),
    pool("half", "c/x", "a/x"),
    pool("off", "a/x", enabled=False),
    pool("zone", "c/x"),
    *[pool(name, "b/calm") for name in CALM],
    providers=tuple(provider(name, kind="simulator", credentials=()) for name in "abc"),
    aliases=(AliasSpec(name="other-name", target="half"),),
)


@pytest.fixture(scope="module")
def worker() -> Iterator[LocalWorker]:
    now = time.time()
    with local_worker(snapshot(CONTENT)) as started:
        live, clock = started.gateway.live, started.gateway.clock
        bench = bench_entry("c/x", since=now, until=now + 600, reason="overloaded")
        started.read(lambda: live.benches.merge([bench], clock()))
        yield started


@pytest.fixture
def client(worker: LocalWorker) -> Client:
    return WorkerClient(worker)


@pytest.fixture
def page(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def staff(*permissions: str) -> User:
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    return user


def shown(client: Client, **query: object) -> str:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return answer.content.decode()


def names(text: str) -> list[str]:
    return re.findall(r'<h2 id="pool-\d+">([^<]*)</h2>', text)


def test_what_is_wrong_comes_first_and_is_counted(page: Client):
    text = shown(page)
    assert names(text)[:5] == ["zone", "half", "off", "a-fine", "calm-00"]
    assert len(names(text)) == 50
    for words in ("1 unavailable", "1 degraded", "1 disabled", "61 fine", "all 64"):
        assert words in text
    assert "this model benched until" in text


def test_a_status_and_a_part_of_a_name_choose_and_stay_in_the_links(page: Client):
    assert names(shown(page, status="degraded")) == ["half"]
    assert names(shown(page, q="OTHER-name")) == ["half"]
    assert names(shown(page, q="c/x")) == ["zone", "half"]
    assert names(shown(page, q="c/x", status="unavailable")) == ["zone"]
    assert "No pool is like that." in shown(page, q="nothing like it")
    assert len(names(shown(page, status="nonsense"))) == 50
    text = shown(page, q="calm", status="enabled")
    assert "?status=enabled&amp;q=calm&amp;page=2" in text
    assert "?status=degraded&amp;q=calm" in text
    assert names(shown(page, q="calm", status="enabled", page=2)) == CALM[50:]


def test_each_row_has_its_switch_bench_and_release_for_those_who_may(client: Client):
    rows.provider("c", kind="simulator")
    rows.provider("a", kind="simulator")
    rows.pool("half", "c/x", "a/x")
    client.force_login(staff("view_canonicalmodel"))
    text = shown(client, q="half")
    for absent in ("switch-toggle", 'value="release"', "data-bench", "<dialog"):
        assert absent not in text
    User.objects.all().delete()
    client.force_login(User.objects.create_superuser("ada"))
    text = shown(client, q="half")
    assert text.count("switch-toggle") == 3
    assert text.count('value="release"') == 1
    assert 'data-bench="a/x"' in text
    assert 'name="next" value="/admin/pools-now/?q=half"' in text


def test_the_bench_board_takes_the_name_and_leads_back_to_us_alone(page: Client):
    assert 'value="a/x"' in page.get(BOARD, {"model": "a/x"}).content.decode()
    form = {"act": "release", "model": "c/x"}
    assert page.post(BOARD, {**form, "next": f"{PAGE}?q=half"}).url == f"{PAGE}?q=half"
    assert page.post(BOARD, {**form, "next": "https://evil.example/"}).url == BOARD


def test_the_page_takes_the_same_queries_however_many_pools_it_shows(page: Client):
    def asked(**query: object) -> int:
        shown(page, **query)
        with CaptureQueriesContext(connection) as queries:
            shown(page, **query)
        return len(queries)

    for name in (*CALM, "half"):
        rows.pool(name, "b/calm", "b/other")
    assert asked(q="half") == asked(q="calm") <= 10


def test_lists_say_how_pools_and_candidates_stand(page: Client):
    rows.provider("c", kind="simulator")
    rows.pool("half", "c/x", "a/x")
    rows.pool("not-published", "a/x")
    pools = page.get(reverse("admin:routing_canonicalmodel_changelist")).content.decode()
    assert '<span class="health-word health-degraded">degraded</span>' in pools
    assert "chosen is a/x, not c/x" in pools
    assert '<span class="health-word health-unknown">not known</span>' in pools
    candidates = page.get(reverse("admin:routing_candidate_changelist")).content.decode()
    assert '<span class="health-word health-unhealthy">benched after failures</span>' in candidates
    assert '<span class="health-note">chosen now</span>' in candidates


def badges(client: Client) -> list[str]:
    text = client.get("/admin/jobs/").content.decode()
    return re.findall(r'<span class="menu-badge[^"]*">([^<]*)</span>', text)


def test_the_menu_counts_what_needs_somebody_and_only_that(client: Client):
    client.force_login(User.objects.create_superuser("ada"))
    assert badges(client) == ["1 unavailable", "1 benched"]
    source = ConfigSource.load()
    source.refused_at = timezone.now()
    source.save()
    assert badges(client) == ["1 unavailable", "1 benched", "refused"]
    source.applied_at = timezone.now()
    source.save()
    assert badges(client) == ["1 unavailable", "1 benched"]
    User.objects.all().delete()
    client.force_login(staff("view_job"))
    assert badges(client) == []


def test_where_all_is_well_the_menu_has_no_numbers():
    calm = content(pool("m", "a/x"), providers=(provider("a", kind="simulator", credentials=()),))
    with local_worker(snapshot(calm)) as worker:
        client = WorkerClient(worker)
        client.force_login(User.objects.create_superuser("ada"))
        assert badges(client) == []


def test_the_first_page_shows_trouble_first_however_quiet_the_pool_is(page: Client):
    minute = timezone.now().replace(second=0, microsecond=0)
    for place, name in enumerate((*CALM, "off")):
        RequestMinute.objects.create(minute=minute, pool=name, key="", requests=1000 - place)
    context = page.get("/admin/").context
    told = [entry["view"].canonical_model for entry in context["pools"]]
    assert told == ["zone", "half", "off", *CALM[:9]]
    assert [label["text"] for label in context["pool_statuses"]] == [
        "1 unavailable", "1 degraded", "1 disabled", "61 fine"
    ]  # fmt: skip
