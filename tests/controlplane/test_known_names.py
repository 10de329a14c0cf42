"""Names that exist: proposed while somebody types, and marked where a rule has another one."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from controlplane.models import Settings
from providers.models import ProviderModel
from tests.support import rows
from tests.support.forms import address, candidate, pool_form

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
    form = {"name": "k", "scopes": "inference", "enabled": "on", "capture": "{}", "rpm": "-5"}
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
    del form["timeouts"]
    wrong = admin_client.post(page, {**form, "timeouts_connect_s": "soon"})
    assert "'soon' is not a number of seconds" in unescape(wrong.content.decode())
    refused = admin_client.post(page, {**form, "timeouts_connect_s": "-1"})
    assert "connect_s: -1 is not allowed" in refused.content.decode()
    done = admin_client.post(page, {**form, "timeouts_connect_s": "2", "timeouts_total_s": "0.5"})

    assert done.status_code == 302
    pool.refresh_from_db()
    assert pool.timeouts == {"connect_s": 2, "total_s": 0.5}
