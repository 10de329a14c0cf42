"""Switches in admin's pages, and how they end."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from controlplane.control.child import Publisher
from controlplane.publishing.publisher import SNAPSHOT_FILE
from providers.models import Provider
from routing.gateway.deciding.snapshot import decode
from routing.models import Candidate, CanonicalModel, RoutingState
from routing.switches.state import ENDED, end_expired, set_state
from tests.support import rows

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

pytestmark = pytest.mark.django_db

CONFIG = {"managed_source": "config"}
LAB = {"kind": "provider", "provider_name": "lab", "canonical_model": "", "model": ""}
LISTS = ["providers_provider", "routing_canonicalmodel", "routing_candidate"]


@pytest.fixture
def world() -> None:
    rows.provider("lab", **CONFIG)
    rows.provider("spare")
    rows.pool("small", "lab/a", "spare/b", **CONFIG)
    rows.pool("large", "lab/a")


@pytest.fixture
def admin(client: Client, world: None) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def changelist(model: str) -> str:
    return reverse(f"admin:{model}_changelist")


def controls(page: str) -> list[dict[str, str]]:
    """What the page's controls switch."""
    found = re.findall(r'data-switch="([^"]+)"', page)
    return [json.loads(each.replace("&quot;", '"')) for each in found]


def off() -> list[str]:
    return sorted(str(row) for row in RoutingState.objects.filter(enabled=False))


def over(row: RoutingState) -> RoutingState:
    """The same switch, its time over."""
    RoutingState.objects.filter(pk=row.pk).update(until=timezone.now() - timedelta(seconds=1))
    row.refresh_from_db()
    return row


# Lists


def test_each_list_has_a_control_a_row_for_the_configurations_objects_too(admin):
    pages = [admin.get(changelist(model)).content.decode() for model in LISTS]
    assert [len(controls(page)) for page in pages] == [2, 2, 3]
    assert controls(pages[2])[0] == {
        "kind": "pool_candidate",
        "provider_name": "lab",
        "canonical_model": "large",
        "model": "a",
    }
    assert all("switchyard/switch.js" in page for page in pages)


def test_the_page_of_a_configured_pool_switches_its_candidates(admin):
    pool = CanonicalModel.objects.get(name="small")
    page = admin.get(reverse("admin:routing_canonicalmodel_change", args=[pool.pk]))
    assert [c["provider_name"] for c in controls(page.content.decode())] == ["lab", "spare"]


def test_lists_say_who_switched_it_off_why_and_how_long(admin):
    until = timezone.now() + timedelta(hours=1)
    set_state(LAB, {"enabled": False, "reason": "<b>too</b> dear", "until": until}, "ben")
    page = admin.get(changelist("providers_provider")).content.decode()
    assert "by ben: &lt;b&gt;too&lt;/b&gt; dear, until " in page
    assert page.count('data-on="false"') == 1


def test_what_is_disabled_itself_has_no_control_and_says_where(admin):
    rows.provider("gone", enabled=False)
    rows.pool("closed", enabled=False, **CONFIG)
    assert "off in its settings" in admin.get(changelist(LISTS[0])).content.decode()
    assert "off in the configuration" in admin.get(changelist(LISTS[1])).content.decode()


@pytest.mark.parametrize("model", LISTS)
def test_a_lists_queries_do_not_grow_with_its_rows(admin, django_assert_max_num_queries, model):
    with django_assert_max_num_queries(15):
        admin.get(changelist(model))
    for number in range(20):
        rows.provider(f"p{number}")
        rows.pool(f"m{number}", "lab/a", "spare/b")
    with django_assert_max_num_queries(15):
        admin.get(changelist(model))


def test_actions_switch_what_is_chosen_and_say_what_they_did(admin):
    pks = list(Candidate.objects.filter(provider_name="lab").values_list("pk", flat=True))
    chosen = {"action": "switch_off", "_selected_action": pks}
    page = admin.post(changelist("routing_candidate"), chosen, follow=True).content.decode()
    assert off() == ["lab/a in large", "lab/a in small"]
    assert "Switched off: lab/a in large, lab/a in small." in page
    assert "Nobody is left to serve large." in page
    assert set(RoutingState.objects.values_list("set_by", flat=True)) == {"ada"}

    chosen["action"] = "switch_on"
    page = admin.post(changelist("routing_candidate"), chosen, follow=True).content.decode()
    assert not RoutingState.objects.exists()
    assert "Switched on: lab/a in large, lab/a in small." in page


def test_whoever_may_only_look_sees_switches_and_turns_none(client, world):
    person = User.objects.create_user("eve", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_provider"))
    client.force_login(person)
    set_state(LAB, {"enabled": False, "reason": "dear"}, "ada")
    page = client.get(changelist("providers_provider")).content.decode()
    assert controls(page) == []
    assert "by ada: dear" in page
    chosen = {"action": "switch_off", "_selected_action": [Provider.objects.first().pk]}
    client.post(changelist("providers_provider"), chosen)
    assert off() == ["provider lab"]


def test_the_overview_counts_what_is_switched_off(admin):
    assert "switched off by operators" not in admin.get(reverse("admin:index")).content.decode()
    set_state(LAB, {"enabled": False}, "ada")
    assert "1 switched off by operators" in admin.get(reverse("admin:index")).content.decode()


# The form


def form(**fields: object) -> dict[str, object]:
    return {**LAB, "reason": "", "until_0": "", "until_1": "", **fields}


def test_the_form_of_a_switch_names_its_author_and_warns(admin):
    add = reverse("admin:routing_routingstate_add")
    page = admin.post(add, form(reason="rotation"), follow=True).content.decode()
    row = RoutingState.objects.get()
    assert (str(row), row.enabled, row.set_by) == ("provider lab", False, "ada")
    assert "Nobody is left to serve large." in page


def test_the_form_refuses_a_second_switch_what_is_not_there_and_a_time_that_is_over(admin):
    add = reverse("admin:routing_routingstate_add")
    yesterday = {"until_0": "2020-01-01", "until_1": "00:00:00"}
    assert "This time is over" in admin.post(add, form(**yesterday)).content.decode()
    page = admin.post(add, form(provider_name="la")).content.decode()
    assert "allowed are lab, spare" in page
    set_state(LAB, {"enabled": False}, "ben")
    assert "There is a switch for this already" in admin.post(add, form()).content.decode()
    assert RoutingState.objects.get().set_by == "ben"


def test_deleting_in_the_list_of_switches_is_kept_with_its_author(admin):
    row = set_state(LAB, {"enabled": False}, "ben")
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin.post(changelist("routing_routingstate"), chosen)
    assert not RoutingState.objects.exists()
    assert RoutingState.history.first().history_change_reason == "ada"


# The end


def test_what_a_kind_does_not_name_is_refused_at_save(world):
    with pytest.raises(ValidationError, match="does not belong to a provider"):
        set_state({**LAB, "model": "a"}, {"enabled": False}, "ada")


def test_a_switch_whose_time_is_over_ends_once_and_its_history_says_so(world):
    later = timezone.now() + timedelta(hours=1)
    over(set_state(LAB, {"enabled": False, "until": later}, "ada"))
    other = {**LAB, "provider_name": "spare"}
    set_state(other, {"enabled": False, "until": later}, "ada")
    assert [end_expired(timezone.now()) for _ in range(2)] == [1, 0]
    assert off() == ["provider spare"]
    assert RoutingState.history.first().set_by == ENDED


def test_a_round_ends_what_is_over_and_publishes_though_nothing_else_was_edited(
    world, tmp_path: Path
):
    publisher = Publisher(tmp_path, {})
    later = timezone.now() + timedelta(hours=1)
    row = set_state(LAB, {"enabled": False, "until": later}, "ada")
    first = publisher.round()
    assert [s.provider for s in on_disk(tmp_path)] == ["lab"]
    over(row)  # sends no signal: the edit counter stands still
    second = publisher.round()
    assert on_disk(tmp_path) == ()
    assert (second.generation or 0) > (first.generation or 0)
    assert publisher.round() == second


def on_disk(folder: Path):
    return decode((folder / SNAPSHOT_FILE).read_bytes()).content.switches
