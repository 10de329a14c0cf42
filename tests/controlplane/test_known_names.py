"""Names that exist: proposed while somebody types, and marked where a rule has another one."""

from __future__ import annotations

import re
from dataclasses import asdict
from html import unescape
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from controlplane.health.rules import INTERVAL_S
from controlplane.models import ApiKey, Settings
from failover.engine.plan import Times
from failover.validation import FAILOVER_KEYS
from providers import validation
from providers.admin import BENCH, HEALTH
from providers.managed.block_field import TIMES
from providers.models import Provider, ProviderModel
from routing.blocks import CAPTURE, FAILOVER
from routing.gateway.records.capture import KEEP_DAYS
from tests.support import rows
from tests.support.forms import address, candidate, pool_form, provider_form, typed

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def stored(db: None) -> None:
    lab = rows.provider("lab")
    ProviderModel.objects.create(provider=lab, model_id="listed-1", position=0)
    rows.pool("small", "lab/a-1", "lab/a-2")
    rows.alias("small-too", "small")


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"of": "models", "q": "small"}, ["small", "small-too"]),
        ({"of": "models", "q": "a-"}, ["lab/a-1", "lab/a-2"]),
        ({"of": "subjects", "q": "lab"}, ["lab/*", "lab/a-1", "lab/a-2", "lab/listed-1"]),
        ({"of": "subjects", "q": "lab/*"}, ["lab/*"]),
        ({"of": "ids", "in": "lab", "q": ""}, ["a-1", "a-2", "listed-1"]),
        ({"of": "ids", "in": "other", "q": ""}, []),
    ],
)
def test_names_are_proposed_that_have_what_was_typed(
    admin_client: Client, asked: dict[str, str], names: list[str]
) -> None:
    assert admin_client.get(reverse("known-names"), asked).json() == {"names": names}


def test_a_rule_for_a_model_that_is_not_there_is_marked_in_the_list_and_in_its_form(
    admin_client: Client,
) -> None:
    rows.rule("small", "small-too", "lab/any", "listed-1")
    lost = rows.rule("nosuch", "small", "neither")

    listed = admin_client.get(address("failover_failoverrule", "changelist")).content.decode()
    form = admin_client.get(address("failover_failoverrule", "change", lost.pk)).content.decode()

    assert listed.count("never followed: no such model") == 1
    assert listed.count("no such model</strong>") == 1
    assert "nosuch is no model pool, alias, provider/model or listed model" in form
    assert "neither: it is no model pool" in form


def test_a_list_of_rules_asks_as_many_questions_for_fifty_as_for_one(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    page = address("failover_failoverrule", "changelist")
    rows.rule("small", "nosuch")
    with django_assert_max_num_queries(14) as few:  # type: ignore[operator]
        admin_client.get(page)
    for number in range(30):
        rows.rule(f"small-{number}", "nosuch", f"lab/{number}")
    with django_assert_max_num_queries(len(few)):  # type: ignore[operator]
        admin_client.get(page)


def test_a_kind_that_cannot_be_called_yet_says_so_in_list_and_form(admin_client: Client) -> None:
    rows.provider("aws", kind="bedrock")
    for page, number in (("add", 2), ("changelist", 1)):
        shown = admin_client.get(address("providers_provider", page)).content.decode()
        assert "bedrock (cannot be called yet)" in shown
        assert shown.count("(cannot be called yet)") == number, page


def test_a_count_that_is_too_small_is_told_the_least_that_is_allowed(admin_client: Client) -> None:
    form = {"name": "k", "scopes": "inference", "enabled": "on", "rpm": "-5"}
    shown = admin_client.post(address("controlplane_apikey", "add"), form)
    assert shown.context["adminform"].form.errors == {
        "rpm": ["Ensure this value is greater than or equal to 1."]
    }


def test_what_is_inherited_is_shown_with_its_value(admin_client: Client) -> None:
    Settings.objects.update_or_create(
        pk=1, defaults={"strategy": "least_busy", "timeouts": {"idle_s": 7}}
    )
    form = admin_client.get(address("routing_canonicalmodel", "add")).content.decode()

    assert "least busy, from the settings" in form.lower()
    assert "yes, from the settings" in form
    assert 'placeholder="7, inherited"' in form
    assert 'placeholder="600, inherited"' in form


def test_timeouts_are_fields_each_of_its_own(admin_client: Client) -> None:
    pool = rows.pool("large", "lab/a", timeouts={"idle_s": 8.5})
    page = address("routing_canonicalmodel", "change", pool.pk)
    shown = admin_client.get(page).content.decode()
    assert re.search(r'name="timeouts_idle_s"[^>]*value="8.5"', shown)
    assert re.search(r'<label for="id_timeouts_connect_s"[^>]*>to connect', shown)

    stored = pool.candidates.get()
    own = {**candidate("lab", "a", 0), "id": stored.pk}
    form = pool_form(own, name="large", **{"candidates-INITIAL_FORMS": 1})
    wrong = admin_client.post(page, {**form, "timeouts_connect_s": "soon"})
    assert "To connect: 'soon' is not a number." in unescape(wrong.content.decode())
    refused = admin_client.post(page, {**form, "timeouts_connect_s": "-1"})
    assert "connect_s: -1 is not allowed" in refused.content.decode()
    done = admin_client.post(page, {**form, "timeouts_connect_s": "2", "timeouts_total_s": "0.5"})

    assert done.status_code == 302
    pool.refresh_from_db()
    assert pool.timeouts == {"connect_s": 2, "total_s": 0.5}


def test_blocks_of_a_pool_are_fields_and_what_they_inherit_is_shown(admin_client: Client) -> None:
    Settings.objects.update_or_create(
        pk=1,
        defaults={"max_attempts": 7, "retry_first_statuses": [503], "failover_in_pools": False},
    )
    own = {"gate": "whole_answer", "retry_on_statuses": [429, 500], "backoff": {"factor": 3}}
    pool = rows.pool("large", "lab/a", failover=own, capture={"requests": True})
    page = address("routing_canonicalmodel", "change", pool.pk)
    shown = re.sub(r"\s+", " ", unescape(admin_client.get(page).content.decode()))
    chosen = r'name="{}"[^>]*>.*?<option value="([^"]*)" selected>([^<]*)'
    typed_in = r'name="{}"[^>]*value="([^"]*)"'
    faint = r'name="{}"[^>]*placeholder="([^"]*)"'
    for name, pattern, told in (
        ("failover_enabled", chosen, ("", "no, inherited")),
        ("failover_gate", chosen, ("whole_answer", "when the answer is whole")),
        ("capture_requests", chosen, ("True", "yes")),
        ("failover_retry_on_statuses", typed_in, ("429, 500",)),
        ("failover_backoff.factor", typed_in, ("3",)),
        ("failover_max_attempts", faint, ("7, inherited",)),
        ("failover_retry_first.statuses", faint, ("503, inherited",)),
        ("capture_keep_days", faint, ("7, as is usual",)),
    ):
        found = re.search(pattern.format(re.escape(name)), shown)
        assert found, name
        assert found.groups() == told

    stored = pool.candidates.get()
    times = typed("timeouts", {"first_token_s": 20})
    mine = {**candidate("lab", "a", 0), **times, "id": stored.pk}
    block = {"enabled": False, "hold_s": "0", "retry_first": {"max_wait_s": 1.5}}
    form = pool_form(
        mine,
        name="large",
        capture_requests="",
        **{"candidates-INITIAL_FORMS": 1},
        **typed("failover", block),
    )
    assert admin_client.post(page, form).status_code == 302
    pool.refresh_from_db()
    assert pool.failover == {
        "enabled": False, "hold_s": 0, "retry_first": {"max_wait_s": 1.5, "times": 1}
    }  # fmt: skip
    assert pool.capture == {}
    assert pool.candidates.get().timeouts == {"first_token_s": 20}
    again = re.sub(r"\s+", " ", admin_client.get(page).content.decode())
    assert "to the first token 20</summary>" in again


def test_a_form_that_is_saved_as_it_came_changes_nothing(admin_client: Client) -> None:
    own = {"retry_on_statuses": [], "deadline_s": 1234567.25, "backoff": {"factor": 1.0000001}}
    pool = rows.pool("large", "lab/a", failover=own)
    page = address("routing_canonicalmodel", "change", pool.pk)
    shown = admin_client.get(page).context["adminform"].form["failover"].as_widget()
    inputs = re.findall(r'name="(failover_[^"]*)"[^>]*value="([^"]*)"', shown)
    mine = {**candidate("lab", "a", 0), "id": pool.candidates.get().pk}
    form = pool_form(mine, name="large", **{"candidates-INITIAL_FORMS": 1}, **dict(inputs))
    assert admin_client.post(page, form).status_code == 302
    pool.refresh_from_db()
    assert pool.failover == own


def test_what_is_wrong_in_a_block_is_marked_where_it_was_typed(admin_client: Client) -> None:
    wrong = {
        "failover_hold_s": "-1",
        "failover_backoff.base_ms": "9",
        "failover_backoff.max_ms": "1",
    }
    page = address("routing_canonicalmodel", "add")
    shown = admin_client.post(page, pool_form(**wrong)).content.decode()
    inputs = re.findall(r"<(?:input|select)[^>]*>", shown)
    marked = [re.search(r'name="([^"]*)"', one)[1] for one in inputs if "aria-invalid" in one]
    assert marked == ["failover_hold_s", "failover_backoff.max_ms"]
    assert "is not an HTTP status" in unescape(
        admin_client.post(page, pool_form(failover_retry_on_statuses="soon")).content.decode()
    )
    odd = admin_client.post(page, pool_form(failover_gate="sometimes")).content.decode()
    assert "streams go out: 'sometimes' is none of the choices" in unescape(odd)


def test_blocks_of_a_provider_and_a_key_are_fields(admin_client: Client) -> None:
    given = {
        **typed("bench", {"failures": 5, "cooldown_s": 0.5}),
        **typed("health", {"interval_s": 30, "paid_probe_model": "m"}),
    }
    form = provider_form(name="benched", **given)
    assert admin_client.post(address("providers_provider", "add"), form).status_code == 302
    row = Provider.objects.get(name="benched")
    assert row.bench == {"failures": 5, "cooldown_s": 0.5}
    assert row.health == {"interval_s": 30, "paid_probe_model": "m"}
    key = {"name": "k", "scopes": "inference", "enabled": "on"}
    form = key | typed("capture", {"responses": True, "keep_days": 2})
    assert admin_client.post(address("controlplane_apikey", "add"), form).status_code == 200
    assert ApiKey.objects.get(name="k").capture == {"responses": True, "keep_days": 2}


def test_the_usual_timeouts_are_those_that_count() -> None:
    assert {key: member.usual for key, member in TIMES.items()} == asdict(Times())
    assert CAPTURE["keep_days"].usual == KEEP_DAYS
    assert HEALTH["interval_s"].usual == INTERVAL_S
    assert {key.partition(".")[0] for key in FAILOVER} == set(FAILOVER_KEYS)
    assert set(BENCH) == set(validation.BENCH)
