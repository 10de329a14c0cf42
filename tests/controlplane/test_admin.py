from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission, User
from django.db.models import DateTimeField
from django.urls import reverse
from django.utils import timezone

from controlplane.admin import OneRowAdmin
from controlplane.advice.admin import SuggestionAdmin
from controlplane.alerts.models import Alert
from controlplane.benches.admin import BenchAdmin
from controlplane.models import ApiKey, ConfigSource, Settings, Team, digest_of
from controlplane.publishing.publisher import publish
from failover.models import FailoverRule
from providers.models import Credential, Provider, ProviderModel
from routing.models import Alias, Candidate, CanonicalModel, RoutingState
from tests.support import rows
from tests.support.forms import (
    address,
    candidate,
    inline,
    pool_form,
    provider_form,
    settings_form,
)

pytestmark = pytest.mark.django_db

CONFIG = {"managed_source": "config"}


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def errors_of(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return " ".join(
        str(form.errors) + str(getattr(form, "non_form_errors", list)())
        for form in [
            answer.context["adminform"].form,
            *(formset.formset for formset in answer.context["inline_admin_formsets"]),
        ]
    )


def test_lists_show_fifty_rows_at_a_time():
    own = (OneRowAdmin, BenchAdmin, SuggestionAdmin)  # pages that are no lists of Django's
    lists = [shown for shown in site._registry.values() if not isinstance(shown, own)]
    assert {shown.list_per_page for shown in lists} == {50}


def test_only_the_numbers_that_a_strategy_goes_by_are_asked_for(admin):
    page = admin.get(address("routing_canonicalmodel", "add")).content.decode()
    uses = json.loads(unescape(re.search(r'data-uses="([^"]*)"', page).group(1)))
    assert uses["priority_failover"] == uses["fill_first"] == uses[""] == []
    assert uses["round_robin"] == ["priority"]
    assert uses["weighted_random"] == ["priority", "weight"]
    Settings.objects.update_or_create(pk=1, defaults={"strategy": "least_busy"})
    page = admin.get(address("routing_canonicalmodel", "add")).content.decode()
    assert json.loads(unescape(re.search(r'data-uses="([^"]*)"', page).group(1)))[""] == [
        "priority",
        "weight",
    ]


def test_the_form_says_that_enabled_is_no_switch(admin):
    for model in ("routing_canonicalmodel", "providers_provider"):
        page = admin.get(address(model, "add")).content.decode()
        assert "To take it out for a while, turn its switch in the lists." in page


def test_a_person_who_signs_in_without_next_lands_in_admin(client, db):
    User.objects.create_superuser("ada", password="a-long-password")
    page = reverse("admin:login")
    answer = client.post(page, {"username": "ada", "password": "a-long-password"})
    assert answer.status_code == 302
    assert answer["location"] == "/admin/"


# Providers and their secrets


def test_a_secret_never_reaches_a_page_and_blank_keeps_it(admin):
    first = {"label": "main", "secret": "sk-very-secret", "enabled": "on", "position": 0}
    form = provider_form(**inline("credentials", first))
    answer = admin.post(address("providers_provider", "add"), form, follow=True)
    assert answer.status_code == 200
    row, stored = Provider.objects.get(), Credential.objects.get()
    assert stored.secret.reveal() == "sk-very-secret"
    token = stored.secret.token

    page = address("providers_provider", "change", row.pk)
    html = admin.get(page).content.decode()
    assert "sk-very-secret" not in html
    assert token not in html

    kept = {"id": stored.pk, "label": "renamed", "secret": "", "enabled": "on", "position": 0}
    admin.post(page, provider_form(**inline("credentials", kept, stored=1)))
    stored.refresh_from_db()
    assert (stored.label, stored.secret.reveal()) == ("renamed", "sk-very-secret")

    admin.post(page, provider_form(**inline("credentials", kept | {"secret": "n"}, stored=1)))
    stored.refresh_from_db()
    assert stored.secret.reveal() == "n"


def test_a_page_that_is_shown_again_with_errors_does_not_hold_the_secret(admin):
    typed = {"label": "main", "secret": "sk-very-secret", "position": 0}
    form = provider_form(kind="nonsense", **inline("credentials", typed))
    answer = admin.post(address("providers_provider", "add"), form)
    assert "kind" in errors_of(answer)
    assert "sk-very-secret" not in answer.content.decode()


def test_a_credential_needs_a_key_without_blanks(admin):
    for secret, words in [("", "A key is needed"), ("a b", "not allowed in a key")]:
        typed = {"label": "main", "secret": secret, "position": 0}
        form = provider_form(**inline("credentials", typed))
        assert words in errors_of(admin.post(address("providers_provider", "add"), form))


def test_the_history_of_an_object_is_its_revisions_each_to_be_undone(admin, tmp_path):
    typed = {"label": "main", "secret": "sk-very-secret", "position": 0}
    form = provider_form(headers='{"x-token": "h-very-secret"}', **inline("credentials", typed))
    admin.post(address("providers_provider", "add"), form)
    publish(tmp_path)
    row = Provider.objects.get()
    row.timeouts = {"idle_s": 7}
    row.save()
    rows.pool("small", "lab/a")
    publish(tmp_path)
    admin.post(
        address("routing_canonicalmodel", "change", CanonicalModel.objects.get().pk),
        pool_form(strategy="fill_first", change_reason="ticket 7"),
    )
    publish(tmp_path)
    page = admin.get(address("providers_provider", "history", row.pk), follow=True)
    html = page.content.decode()
    assert page.status_code == 200
    assert "by ada" in html
    assert "timeouts.idle_s: as in the settings → 7" in html
    assert "very-secret" not in html
    assert "strategy" not in html
    assert (
        "Reason: ticket 7"
        in admin.get(
            address("routing_canonicalmodel", "history", CanonicalModel.objects.get().pk),
            follow=True,
        ).content.decode()
    )
    (undone,) = [link for link in re.findall(r'href="([^"]*/undo/[^"]*)"', html) if "/2/" in link]
    undone = undone.replace("&amp;", "&")
    assert "timeouts.idle_s: 7 → as in the settings" in admin.get(undone).content.decode()
    said = admin.post(undone, {"change_reason": "no"}, follow=True).content.decode()
    assert "Undid revision 2: 1 object changed." in said
    row.refresh_from_db()
    assert row.timeouts == {}
    assert CanonicalModel.objects.get().strategy == "fill_first"


def test_who_may_only_look_sees_the_history_and_takes_nothing_back(client, db, tmp_path):
    rows.provider("lab")
    publish(tmp_path)
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_provider"))
    client.force_login(user)
    page = address("providers_provider", "history", Provider.objects.get().pk)
    html = client.get(page, follow=True).content.decode()
    assert "added provider lab" in html
    assert "/undo/" not in html
    assert client.post(address("controlplane_revision", "undo", 1)).status_code == 403
    assert (
        client.get(address("controlplane_revision", "of", "controlplane.team")).status_code == 403
    )


def test_revisions_name_teams_switches_and_settings(admin, tmp_path):
    rows.provider("lab")
    publish(tmp_path)
    admin.post(address("controlplane_team", "add"), {"name": "search"})
    form = {"kind": "provider", "provider_name": "lab", "reason": "drill"}
    admin.post(address("routing_routingstate", "add"), form)
    admin.post(address("controlplane_settings", "change", 1), settings_form(keep_records_days=9))
    publish(tmp_path)
    listed = admin.get(address("controlplane_revision", "changelist")).content.decode()
    for words in ("added team search", "switched off provider lab (drill)", "changed settings"):
        assert words in listed
    assert "no object" not in listed
    newest = admin.get(address("controlplane_revision", "change", 2)).content.decode()
    assert "keep_records_days: 30 → 9" in newest
    team = admin.get(address("controlplane_team", "history", Team.objects.get().pk), follow=True)
    assert "added team search" in team.content.decode()
    admin.post(address("controlplane_revision", "rollback", 1))
    assert Settings.load().keep_records_days == 30


def test_a_second_provider_of_a_name_is_an_error_on_the_page(admin):
    rows.provider("lab")
    answer = admin.post(address("providers_provider", "add"), provider_form())
    assert "There is a provider of this name already." in errors_of(answer)


def test_a_provider_in_use_is_not_deleted_by_page_or_action(admin):
    row = rows.provider("lab")
    rows.pool("small", "lab/a")
    page = address("providers_provider", "delete", row.pk)
    answer = admin.post(page, {"post": "yes"}, follow=True)
    assert "The model pool small has it as a candidate." in answer.content.decode()
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin.post(address("providers_provider", "changelist"), action)
    assert Provider.objects.count() == 1
    CanonicalModel.objects.all().delete()
    admin.post(page, {"post": "yes"})
    assert Provider.objects.count() == 0


def test_plain_http_beyond_loopback_is_saved_with_a_warning(admin):
    page = address("providers_provider", "add")
    far = provider_form(base_url="http://llm.example.com/v1")
    assert "plain http" in admin.post(page, far, follow=True).content.decode()
    near = provider_form(name="near", base_url="http://127.0.0.1:8001/v1")
    assert "plain http" not in admin.post(page, near, follow=True).content.decode()
    assert Provider.objects.count() == 2


# The configuration's rows


def test_configuration_rows_can_only_be_looked_at(admin):
    row = rows.provider("lab", **CONFIG)
    page = address("providers_provider", "change", row.pk)
    html = admin.get(page).content.decode()
    assert "Managed by configuration." in html
    assert 'name="_save"' not in html
    assert admin.post(page, provider_form(enabled="")).status_code == 403
    delete = address("providers_provider", "delete", row.pk)
    assert admin.post(delete, {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin.post(address("providers_provider", "changelist"), action)
    assert Provider.objects.get().enabled


def test_badges_say_who_manages_a_row(admin):
    rows.provider("lab")
    rows.provider("lab", **CONFIG)
    rows.provider("own")
    html = admin.get(address("providers_provider", "changelist")).content.decode()
    badges = re.findall(r"configuration|shadowed by configuration|dashboard", _badges(html))
    assert badges == ["configuration", "shadowed by configuration", "dashboard"]
    shadowed = Provider.objects.get(name="lab", managed_source="dashboard")
    page = admin.get(address("providers_provider", "change", shadowed.pk)).content.decode()
    assert "Shadowed by configuration." in page


def _badges(html: str) -> str:
    return " | ".join(
        " ".join(re.sub(r"<[^>]+>", " ", cell).split())
        for cell in re.findall(r'<td class="field-source.*?</td>', html, re.DOTALL)
    )


# Pools, aliases, rules


def test_candidates_are_stored_in_the_order_of_their_positions(admin):
    rows.provider("lab")
    form = pool_form(candidate("lab", "b", 1), candidate("lab", "a", 0))
    admin.post(address("routing_canonicalmodel", "add"), form)
    pool = CanonicalModel.objects.get()
    assert [row.model for row in pool.candidates.all()] == ["a", "b"]
    html = admin.get(address("routing_canonicalmodel", "changelist")).content.decode()
    assert "lab/a, lab/b" in html


def test_a_new_candidate_without_a_position_goes_behind_the_others(admin):
    rows.provider("lab")
    pool = rows.pool("small", "lab/a", "lab/b")
    stored = [
        candidate("lab", row.model, row.position) | {"id": row.pk} for row in pool.candidates.all()
    ]
    new = [candidate("lab", name, 0) | {"position": ""} for name in ("c", "d")]
    form = pool_form() | inline("candidates", *stored, *new, stored=2)
    answer = admin.post(address("routing_canonicalmodel", "change", pool.pk), form)
    assert answer.status_code == 302
    assert [row.model for row in pool.candidates.all()] == ["a", "b", "c", "d"]


def test_a_candidate_of_a_missing_provider_is_refused(admin):
    form = pool_form(candidate("nobody", "a", 0))
    answer = admin.post(address("routing_canonicalmodel", "add"), form)
    assert "provider_name" in errors_of(answer)
    assert not Candidate.objects.exists()


def test_an_operator_is_warned_of_empty_pools_and_mixed_embeddings(admin):
    rows.provider("lab")
    page = address("routing_canonicalmodel", "add")
    empty = admin.post(page, pool_form(name="empty"), follow=True).content.decode()
    assert "it has no candidates" in empty
    mixed = pool_form(candidate("lab", "embed-1", 0), candidate("lab", "embed-2", 1))
    assert "mixes embedding models" in admin.post(page, mixed, follow=True).content.decode()


def test_a_list_of_pools_takes_the_same_queries_however_long_it_is(
    admin, django_assert_max_num_queries
):
    rows.provider("lab")
    rows.pool("p0", "lab/a")
    page = address("routing_canonicalmodel", "changelist")
    admin.get(page)
    with django_assert_max_num_queries(10) as few:
        admin.get(page)
    for number in range(1, 20):
        rows.pool(f"p{number}", "lab/a", "lab/b")
    with django_assert_max_num_queries(len(few)):
        admin.get(page)


def test_an_alias_has_a_target_or_targets_of_its_own(admin):
    rows.provider("lab")
    rows.pool("small", "lab/a")
    page = address("routing_alias", "add")
    own = {"provider_name": "lab", "model": "x", "priority": 1, "weight": 1, "position": 0}
    form = {"name": "n", "enabled": "on"}
    neither = admin.post(page, form | inline("targets"))
    assert "give it targets of its own" in errors_of(neither)
    both = admin.post(page, form | {"target": "small"} | inline("targets", own))
    assert "not both" in errors_of(both)
    assert not Alias.objects.exists()
    admin.post(page, form | inline("targets", own))
    assert Alias.objects.get().targets.get().model == "x"


def test_fallbacks_are_typed_one_a_line_and_keep_their_order(admin):
    page = address("failover_failoverrule", "add")
    form = {"primary_model": "a", "enabled": "on", "fallback_models": "c\n b \n\nlab/x"}
    admin.post(page, form)
    row = FailoverRule.objects.get()
    assert row.fallback_models == ["c", "b", "lab/x"]
    change = admin.get(address("failover_failoverrule", "change", row.pk)).content.decode()
    assert "c\nb\nlab/x" in change
    again = admin.post(page, form | {"primary_model": "d", "fallback_models": "d"})
    assert "the model itself" in errors_of(again).replace("&#x27;", "'")


# Keys


def key_form(**fields: object) -> dict[str, object]:
    return {"name": "k", "enabled": "on", "scopes": ["inference"], **fields}


def test_a_key_is_shown_once_and_kept_nowhere(admin):
    answer = admin.post(address("controlplane_apikey", "add"), key_form(models="claude-*\nx"))
    key = re.search(r'value="(sy_[\w-]{43})"', answer.content.decode()).group(1)
    assert "no-store" in answer["cache-control"]
    row = ApiKey.objects.get()
    assert row.digest == digest_of(key)
    assert row.models == ["claude-*", "x"]
    assert key not in str(vars(row)) + str(vars(row.history.get()))
    assert key not in str(admin.cookies) + json.dumps(dict(admin.session))
    for page in ("changelist", "change"):
        arguments = [row.pk] if page == "change" else []
        html = admin.get(address("controlplane_apikey", page, *arguments)).content.decode()
        assert key not in html
        assert row.digest not in html
        assert row.hint in html


def test_changing_a_key_keeps_its_digest(admin):
    row = rows.api_key("k", "sy_the-key")
    page = address("controlplane_apikey", "change", row.pk)
    answer = admin.post(page, key_form(rpm=5))
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.rpm, row.digest) == (5, digest_of("sy_the-key"))


# Settings


def test_settings_are_saved_from_one_form(admin):
    page = address("controlplane_settings", "change", 1)
    form = settings_form(
        max_attempts=5,
        disabled_models="a\nb",
        retry_on_statuses="429 500",
        retry_first_times=1,
        retry_first_statuses="429",
        bench_max_outage_s=7,
    )
    assert admin.post(page, form).status_code == 302
    row = Settings.load()
    assert (row.max_attempts, row.disabled_models) == (5, ["a", "b"])
    assert row.retry_on_statuses == [429, 500]
    assert (row.retry_first_times, row.retry_first_statuses) == (1, [429])
    assert row.bench_max_outage_s == 7
    assert Settings.objects.count() == 1


def test_wrong_settings_are_refused_with_what_is_allowed(admin):
    page = address("controlplane_settings", "change", 1)
    for field, value, words in [
        ("retry_on_statuses", "99", "from 100 to 599"),
        ("retry_on_statuses", "x", "not an HTTP status"),
        ("retry_first_statuses", "600", "from 100 to 599"),
        ("bench_max_outage_s", "0", "more than 0"),
        ("bench_cooldown_s", "0", "more than 0"),
        ("bench_max_cooldown_s", "1", "shorter than the first"),
        ("timeouts_connect_s", "0", "connect_s: 0 is not allowed"),
    ]:
        answer = admin.post(page, settings_form(**{field: value}))
        assert words in errors_of(answer), field


def test_a_setting_that_the_configuration_gives_shows_its_value_and_source(admin):
    source = ConfigSource.load()
    source.values = {"routing.defaults.failover.max_attempts": {"value": 7, "source": "file"}}
    source.save()
    page = address("controlplane_settings", "change", 1)
    html = admin.get(page).content.decode()
    assert "<strong>7</strong> from the file (routing.defaults.failover.max_attempts)" in html
    assert 'name="max_attempts"' not in html
    admin.post(page, settings_form(max_attempts=9, hold_s=4))
    row = Settings.load()
    assert (row.max_attempts, row.hold_s) == (3, 4)


def test_a_timeout_from_the_configuration_leaves_the_others_to_be_edited(admin):
    source = ConfigSource.load()
    source.values = {"routing.defaults.timeouts.idle_s": {"value": 8, "source": "file"}}
    source.save()
    page = address("controlplane_settings", "change", 1)
    admin.post(page, settings_form(timeouts_connect_s="2"))
    html = admin.get(page).content.decode().replace("&quot;", '"')
    assert '<strong>{"connect_s": 2, "idle_s": 8}</strong> from the file' in html
    assert Settings.load().timeouts == {"connect_s": 2}


def test_sections_are_no_tabs_since_the_keyboard_cannot_reach_those():
    for page in site._registry.values():
        for title, options in page.fieldsets or []:
            assert "tab" not in options.get("classes", []), (page, title)


def test_times_are_as_iso_has_them_with_seconds(admin):
    at = datetime(2026, 11, 28, 12, 15, 13, tzinfo=UTC)
    row = Alert.objects.create(kind="job_missed", subject="health", text="late", since=at)
    shown = admin.get(address("controlplane_alert", "change", row.pk)).content.decode()
    assert "2026-11-28 12:15:13" in shown
    assert "p.m." not in shown


def test_every_list_has_ages_beside_its_times(admin):
    for model, page in site._registry.items():
        times = {f.name for f in model._meta.get_fields() if isinstance(f, DateTimeField)}
        bare = times & {column for column in page.list_display if isinstance(column, str)}
        assert not bare, (page, bare)

    at = timezone.now() - timedelta(hours=3)
    Alert.objects.create(kind="job_missed", subject="health", text="late", since=at)
    rows.provider("lab")
    switch = {"kind": "provider", "provider_name": "lab", "until": at + timedelta(hours=5.9)}
    RoutingState.objects.create(**switch)
    for label, age in (
        ("controlplane_alert", "3 h ago"),
        ("routing_routingstate", "in 3 h"),
        ("routing_historicalroutingstate", "0 s ago"),
    ):
        shown = admin.get(address(label, "changelist")).content.decode()
        assert re.search(rf'data-age="[^"]+">{age}</span>', shown), label


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("controlplane_healthsnapshot", "0 providers"),
        ("controlplane_capturedlook", "0 looks"),
        ("providers_providermodel", "1 provider model"),
        ("providers_provider", "1 provider"),
        ("routing_alias", "0 aliases"),
    ],
)
def test_the_foot_of_a_list_agrees_with_its_number(admin, label, said):
    ProviderModel.objects.create(provider=rows.provider("lab"), model_id="m")
    shown = admin.get(address(label, "changelist")).content.decode()
    assert re.search(rf">\s*{said}\s*</div>", shown)
