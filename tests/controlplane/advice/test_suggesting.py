"""The job: what it looks at, and what it makes of the configuration as it is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from controlplane.advice.evidence import Picture
from controlplane.advice.models import Suggestion
from controlplane.advice.suggesting import found_in
from controlplane.jobs.lease import want
from controlplane.jobs.running import run_job
from controlplane.models import Settings
from controlplane.records.models import CallMinute, FaultMinute, NeedMinute, RequestMinute
from providers.models import ListedModel, Provider, ProviderModel
from routing.models import RoutingState
from tests.support import rows
from tests.support.traffic import insert

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def providers(db):
    for name in ("north", "south", "west"):
        rows.provider(name, secret="a-key-of-it", base_url=f"https://{name}.example.com")


def lists(provider: str, model: str, **metadata) -> None:
    owner = Provider.objects.get(name=provider)
    ProviderModel.objects.create(provider=owner, model_id=model, metadata=metadata)


def asked(name: str, *, need: str = "", tokens: int = 100, ago: timedelta = timedelta(hours=2)):
    minute = timezone.now().replace(second=0, microsecond=0) - ago
    row = {"minute": minute, "pool": name, "key": "k", "requests": 5}
    insert(RequestMinute, [{**row, "answered": 5, "most_input_tokens": tokens}])
    if need:
        insert(NeedMinute, [{"minute": minute, "pool": name, "need": need, "requests": 5}])


def found(kind: str = "failover_rule") -> dict[str, list[str]]:
    """By target, the fallbacks that are proposed, or the candidates."""
    return {
        p.target: p.steps[0].new if kind == "failover_rule" else [p.steps[0].candidate]
        for p in found_in(Picture(timezone.now()))
        if p.kind == kind
    }


def test_the_job_finds_renews_and_says_what_it_did():
    rows.pool("big", "north/big-1")
    rows.pool("twin", "south/big-1")
    lists("north", "big-1")
    lists("south", "big-1")
    want("suggestions")
    run = run_job("suggestions")
    assert (run.outcome, run.told) == ("done", "4 new, 0 renewed, 0 expired")
    Suggestion.objects.filter(kind="pool_candidate").update(
        state="accepted", decided_at=timezone.now() - timedelta(hours=3)
    )
    asked("big", ago=timedelta(hours=2.5))
    rows.rule("big", "twin")
    want("suggestions")
    run_job("suggestions")
    assert Suggestion.objects.get(kind="failover_rule", target="big").state == "expired"
    assert Suggestion.objects.get(kind="failover_rule", target="twin").state == "open"
    assert Suggestion.objects.get(kind="pool_candidate", target="big").outcome is not None


def test_a_provider_model_that_is_asked_for_by_name_gets_a_rule_of_its_own():
    lists("north", "big-1")
    lists("south", "big-1")
    assert found() == {}
    asked("north/big-1")
    assert found() == {"north/big-1": ["south/big-1"]}


def test_nobody_is_proposed_who_lacks_what_traffic_used_within_a_week():
    rows.pool("big", "north/big-1")
    lists("south", "big-1", capabilities={"tools": False}, context_window=1000)
    assert found() == {"big": ["south/big-1"]}
    asked("big", need="tools", ago=timedelta(days=8))
    assert found() == {"big": ["south/big-1"]}
    asked("big", need="tools", ago=timedelta(days=6))
    assert found() == {}
    NeedMinute.objects.all().delete()
    assert found() == {"big": ["south/big-1"]}
    asked("big", tokens=1001)
    assert found() == {}


def test_a_rule_of_the_first_candidates_name_is_the_pools():
    rows.pool("big", "north/big-1")
    lists("south", "big-1")
    rows.rule("north/big-1", "west/other")
    assert found() == {}


def test_names_without_failover_embeddings_and_rules_that_are_off_get_none():
    rows.pool("big", "north/big-1")
    rows.pool("vectors", "north/embed-1")
    lists("south", "big-1")
    lists("south", "embed-1")
    settings = Settings.objects.create(pk=1, disabled_models=["north/big-1"])
    assert found() == {}
    settings.disabled_models = ["south/big-1"]
    settings.save()
    assert found() == {}
    settings.disabled_models = []
    settings.save()
    assert set(found()) == {"big"}
    settings.failover_enabled = False
    settings.save()
    assert found() == {}


def test_what_a_provider_lists_itself_counts_unless_only_the_configured_do():
    now = timezone.now()
    seen = {"first_seen_at": now, "last_seen_at": now}
    rows.pool("big", "north/big-1")
    ListedModel.objects.create(provider="south", model_id="big-1", **seen)
    ListedModel.objects.create(provider="west", model_id="big-1", vanished_at=now, **seen)
    ListedModel.objects.create(provider="gone", model_id="big-1", **seen)
    assert found("pool_candidate") == {"big": ["south/big-1"]}
    assert found() == {"big": ["south/big-1"]}
    Settings.objects.create(pk=1, inventory_mode="allowlist")
    assert found("pool_candidate") == found() == {}


def test_whom_operators_keep_out_is_not_looked_at():
    rows.pool("big", "north/big-1")
    lists("south", "big-1")
    for switch in (
        {"kind": "provider", "provider_name": "south"},
        {"kind": "canonical_model", "canonical_model": "big"},
    ):
        state = RoutingState.objects.create(**switch, enabled=False)
        assert found("pool_candidate") == {}
        state.delete()
    assert found("pool_candidate") == {"big": ["south/big-1"]}


def test_a_pass_over_calls_asks_no_more_for_more_pools(django_assert_max_num_queries):
    """Not even where each of them is rate limited all the time, which is looked into."""
    now = timezone.now().replace(second=0, microsecond=0)
    for number in range(20):
        name = f"pool-{number}"
        rows.pool(name, f"north/m-{number}", f"south/m-{number}")
        of_it = {"pool": name, "provider": "north", "model": f"m-{number}"}
        calls = [{**of_it, "minute": now - timedelta(minutes=n), "calls": 3} for n in range(9, 49)]
        insert(CallMinute, calls)
        insert(FaultMinute, [{**each, "fault": "rate_limited", "calls": 1} for each in calls])
        asked(name)
    with django_assert_max_num_queries(30):
        found = list(found_in(Picture(timezone.now())))
    assert [p.steps[0].new for p in found if p.kind == "limit"] == [2] * 20
