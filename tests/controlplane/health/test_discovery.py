"""The discovery job: what lists hold, what has changed in them, and what follows for routing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.edits.models import Edit, EditCounter, Revision
from controlplane.health.discovery import discover
from controlplane.jobs.models import Job, JobRun
from controlplane.jobs.running import Run
from controlplane.models import Settings
from controlplane.publishing.content import Builder
from controlplane.publishing.publisher import Publication
from providers.listed import flags, recent
from providers.models import ListedModel, ProviderModel
from routing.gateway.deciding.snapshot import Content
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.lists import ListServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def serve() -> Iterator[Callable[..., ListServer]]:
    started: list[ListServer] = []

    def start(*models: str, **options: Any) -> ListServer:
        started.append(ListServer(*models, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def run(passed_s: float = 0) -> str:
    job, _made = Job.objects.get_or_create(name="discovery")
    at = BEGIN + timedelta(seconds=passed_s)
    return discover(Run(JobRun.objects.create(job=job, holder="test", started_at=at)))


def lab(server: ListServer, *models: str, **fields: Any) -> None:
    row = rows.provider("lab", **{"base_url": server.url, "secret": "sk-1", **fields})
    for position, model in enumerate(models):
        ProviderModel.objects.create(provider=row, model_id=model, position=position)


def content() -> Content:
    return Builder().build()


def inventory() -> tuple[str, ...]:
    (spec,) = content().providers
    return spec.models


def current() -> list[str]:
    listed = ListedModel.objects.filter(vanished_at=None)
    return list(listed.values_list("model_id", flat=True))


def test_what_is_new_gone_and_back_is_told_and_kept(serve):
    server = serve("a", "b", "c")
    lab(server)
    assert run() == "1 of 1 list read; lab: 3 models, listed for the first time"
    assert run(600) == "1 of 1 list read; nothing new"
    server.models = ["b", "d"]
    assert run(1200) == "1 of 1 list read; lab: new: d; gone: a, c"
    assert current() == ["b", "d"]
    gone = ListedModel.objects.get(model_id="a")
    assert (gone.first_seen_at, gone.last_seen_at) == (BEGIN, BEGIN + timedelta(seconds=600))
    assert gone.vanished_at == BEGIN + timedelta(seconds=1200)
    server.models = ["a", "b", "d"]
    assert run(1800) == "1 of 1 list read; lab: new: a"
    assert ListedModel.objects.get(model_id="a").first_seen_at == BEGIN


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("made-up", "made-up-2025-09-29"),
        ("made-up-20250101", "made-up-20250929"),
        ("made-up@20250101", "Made-Up"),
    ],
)
def test_an_id_that_differs_by_its_date_alone_is_renamed(serve, before, now):
    server = serve("x", before)
    lab(server)
    run()
    server.models = ["x", now]
    assert run(600) == f"1 of 1 list read; lab: renamed: {before} → {now}"
    assert recent("lab", BEGIN + timedelta(days=1)) == [
        f"2026-11-28 12:10 UTC: renamed: {before} → {now}"
    ]
    assert recent("lab", BEGIN + timedelta(days=8)) == []


def test_of_two_that_it_could_be_nobody_says_which(serve):
    server = serve("m-20250101")
    lab(server)
    run()
    server.models = ["m-20250201", "m-20250301"]
    assert run(600).endswith("lab: new: m-20250201, m-20250301; gone: m-20250101")


@pytest.mark.parametrize("how", ["fails", "is cut"])
def test_a_list_that_could_not_be_read_to_its_end_takes_nobody_out(serve, how):
    server = serve("a", "b", "c", kind="gemini", page=2)
    lab(server, kind="gemini")
    run()
    server.asked.clear()
    if how == "fails":
        server.status = 500
        assert run(600) == "0 of 1 list read; nothing new"
    else:
        server.models = ["a", "new", "b", "c"]
        server.breaks_after = 1
        assert run(600) == "1 of 1 list read; lab: new: new"
    assert {"a", "b", "c"} <= set(current())


def test_lists_of_providers_that_are_gone_and_what_vanished_long_ago_are_forgotten(serve):
    server = serve("a", "b")
    lab(server)
    ListedModel.objects.create(
        provider="nobody", model_id="x", first_seen_at=BEGIN, last_seen_at=BEGIN
    )
    run()
    assert not ListedModel.objects.filter(provider="nobody").exists()
    server.models = ["a"]
    run(600)
    assert ListedModel.objects.count() == 2
    run(91 * 86400)
    assert current() == ["a"]
    assert ListedModel.objects.count() == 1


def test_a_model_that_the_catalogue_knows_is_matched(serve):
    server = serve("gpt-4o", "gpt-4o-2024-08-06", "made-up")
    proxy = server.url.removesuffix("/v1")
    lab(server, base_url="http://api.openai.com/v1", proxy=proxy)  # the address names the vendor
    run()
    matches = dict(ListedModel.objects.values_list("model_id", "catalog_match"))
    assert matches == {
        "gpt-4o": "openai/gpt-4o",
        "gpt-4o-2024-08-06": "openai/gpt-4o",
        "made-up": "",
    }


# What follows for routing


def test_the_own_list_serves_and_the_configured_one_where_there_is_none_or_it_is_empty(serve):
    server = serve()
    lab(server, "configured")
    assert inventory() == ("configured",)
    run()
    assert inventory() == ("configured",)  # it lists nothing
    server.models = ["b", "a"]
    run(600)
    assert inventory() == ("a", "b")
    server.status = 500
    run(1200)
    assert inventory() == ("a", "b")  # the list of before serves on
    server.status, server.models = 200, []
    run(1800)
    assert inventory() == ("configured",)


def test_under_allowlist_the_configured_models_alone_count(serve):
    row = Settings.load()
    row.inventory_mode = "allowlist"
    row.save()
    lab(serve("a", "b"), "configured")
    run()
    assert inventory() == ("configured",)


def test_what_operators_state_of_a_model_holds_whoever_lists_it(serve):
    lab(serve("a"), "a")
    ProviderModel.objects.update(metadata={"context_window": 7000})
    run()
    (spec,) = content().providers
    assert spec.facts["a"].context_window == 7000


def test_another_list_is_another_snapshot_and_no_revision(serve, tmp_path: Path):
    server = serve("a")
    lab(server)
    publication = Publication(tmp_path)
    first = publication.publish()
    revisions, edits = Revision.objects.count(), Edit.objects.count()
    counter = EditCounter.load().value

    run()
    assert EditCounter.load().value == counter + 1
    second = publication.publish(whole=False)
    assert second.generation == first.generation + 1
    assert (Revision.objects.count(), Edit.objects.count()) == (revisions, edits)
    run(600)
    assert EditCounter.load().value == counter + 1

    rows.pool("small", "lab/a")
    publication.publish()
    assert Revision.objects.count() == revisions + 1


# Flags


def test_a_candidate_that_the_list_lacks_is_flagged_with_the_time_and_stays_a_candidate(serve):
    server = serve("kept", "going")
    lab(server)
    rows.provider("silent", kind="openai")
    rows.pool("small", "lab/kept", "lab/going", "lab/never", "silent/s")
    run()
    server.models = ["kept"]
    run(600)

    api = Api()
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    told = {c["model"]: c["flag"] for c in api("get", "pools/small").json()["candidates"]}

    assert told == {
        "kept": "",
        "going": "not in the provider's list since 2026-11-28 12:10 UTC",
        "never": "not in the provider's list",
        "s": "",
    }
    (pool,) = content().pools
    assert [c.model for c in pool.candidates] == ["kept", "going", "never", "s"]


def test_an_answer_with_flags_can_be_sent_back(serve):
    lab(serve("a"))
    rows.pool("small", "lab/never")
    run()
    api = Api()
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    (body,) = api("get", "pools").json()
    assert body["candidates"][0]["flag"] == "not in the provider's list"
    assert api("put", "pools/small", body).status_code == 200


def test_flags_cost_two_queries_however_many_candidates_there_are(serve, django_assert_num_queries):
    lab(serve("a"))
    run()
    with django_assert_num_queries(2):
        assert len(flags({("lab", f"m{n}") for n in range(50)})) == 50
