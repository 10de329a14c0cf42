"""Who may see the bench board, who may change it, and what it says without a control child."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from controlplane.benches.admin import NO_ANSWER, scope_of
from providers.models import ListedModel, ProviderModel
from routing.models import AliasTarget
from routing.names import unknown_subject
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.builders import bench_entry

pytestmark = pytest.mark.django_db

ORDER = {"act": "bench", "model": "one/m", "for_s": "600", "reason": "why"}


@pytest.fixture
def page():
    return reverse("admin:failover_bench_changelist")


def staff(client, *codenames):
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def test_who_may_not_see_benches_is_refused_page_and_rows(client, page):
    staff(client, "view_failoverrule")
    assert client.get(page).status_code == 403
    assert client.get(reverse("admin:failover_bench_rows")).status_code == 403


def test_who_may_only_look_gets_no_forms_and_changes_nothing(client, page):
    staff(client, "view_bench")
    shown = client.get(page)
    assert shown.status_code == 200
    assert "Bench by hand" not in shown.content.decode()
    assert client.post(page, ORDER).status_code == 403
    assert client.post(page, {**ORDER, "act": "release"}).status_code == 403


def test_without_a_control_child_the_board_says_so(client, page):
    client.force_login(User.objects.create_superuser("ada"))
    rows.provider("one")
    rows.pool("small", "one/m")
    assert NO_ANSWER in client.get(page).content.decode()
    shown = client.get(reverse("admin:failover_bench_rows")).json()
    assert shown["problem"] == NO_ANSWER
    said = client.post(page, ORDER, headers={"accept": "application/json"}).json()
    assert (said["is_good"], said["said"]) == (False, NO_ANSWER)


@pytest.mark.parametrize("lacking", ["for_s", "reason", "model"])
def test_a_bench_needs_who_how_long_and_why(lacking, client, page):
    client.force_login(User.objects.create_superuser("ada"))
    order = {name: value for name, value in ORDER.items() if name != lacking}
    said = client.post(page, order, headers={"accept": "application/json"}).json()
    assert not said["is_good"]
    assert said["said"] != NO_ANSWER


@pytest.mark.parametrize(
    ("subject", "credential", "expected"),
    [
        ("one/*", None, "all models of the provider"),
        ("one/m", None, "this model"),
        ("one/*", "main", "credential main"),
        ("one/m", "main", "credential main, at this model"),
    ],
)
def test_each_scope_has_its_words(subject, credential, expected):
    assert scope_of(bench_entry(subject, credential=credential)) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "nosuch/m"}, "There is no provider 'nosuch'; known are one."),
        ({"model": "one/mm"}, "No pool, alias, rule or list has 'one/mm'; known are m."),
        ({"credential": "mian"}, "one has no credential 'mian'; known are main."),
    ],
)
def test_who_is_not_known_cannot_be_benched_and_the_names_known_are_said(
    change, said, client, page
):
    rows.provider("one", secret="a-key-of-it")
    rows.pool("small", "one/m")
    client.force_login(User.objects.create_superuser("ada"))
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])

    shown = client.post(page, {**ORDER, **change}, headers={"accept": "application/json"}).json()
    by_api = Api()("post", "benches", {"model": "one/m", "for_s": 60, "reason": "why", **change})

    assert (shown["is_good"], shown["said"]) == (False, said)
    assert (by_api.status_code, by_api.json()) == (400, {next(iter(change)): [said]})


@pytest.mark.parametrize("known_by", ["pool", "inventory", "alias", "rule", "list", "endpoint"])
def test_who_a_pool_an_alias_a_rule_or_a_list_knows_can_be_benched(known_by, db):
    lab = rows.provider("lab")
    subject = "lab/*" if known_by == "endpoint" else f"lab/{known_by}"
    match known_by:
        case "pool":
            rows.pool("small", subject)
        case "inventory":
            ProviderModel.objects.create(provider=lab, model_id=known_by, position=0)
        case "alias":
            own = rows.alias("own", "")
            AliasTarget.objects.create(alias=own, provider_name="lab", model=known_by, position=0)
        case "rule":
            rows.rule("small", subject)
        case "list":
            now = timezone.now()
            ListedModel.objects.create(
                provider="lab", model_id=known_by, first_seen_at=now, last_seen_at=now
            )
    assert unknown_subject(subject) == {}
    assert set(unknown_subject("lab/else")) == {"model"}
