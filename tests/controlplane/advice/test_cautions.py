"""What operators are told when they save something legal that helps nobody: by API and by admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from controlplane.config.document import parse
from controlplane.models import Settings
from providers.managed.models import cautions_of
from providers.models import Provider, ProviderModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api
from tests.support.forms import address, provider_form, settings_form

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db) -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    for name in ("a", "b"):
        rows.provider(name, secret="a-key-of-it", base_url=f"https://{name}.example.com")
    rows.pool("big", "a/big")
    rows.pool("small", "b/small")
    rows.alias("little", "small")
    return Api()


def warned(api: Api, *fallbacks: str, primary: str = "big") -> list[str]:
    answer = api("put", "failover", {"primary_model": primary, "fallback_models": fallbacks})
    assert answer.status_code == 200, answer.content
    return answer.json()["warnings"]


def knows(provider: str, model: str, **metadata: object) -> None:
    owner = rows.Provider.objects.get(name=provider)
    ProviderModel.objects.create(provider=owner, model_id=model, metadata=metadata)


def test_a_good_rule_is_saved_without_a_word(api):
    assert warned(api, "little", "b/anything") == []


def test_only_the_answer_to_a_write_carries_warnings(api):
    warned(api, "nobody")
    assert "warnings" not in api("get", "failover").json()[0]
    assert "warnings" not in api("get", "pools/big").json()


def test_a_rule_for_a_name_that_nobody_can_ask_for_says_so(api):
    assert "never followed" in warned(api, "small", primary="bigg")[0]
    knows("a", "listed")
    assert warned(api, "small", primary="listed") == []


def test_dead_and_disabled_fallbacks_are_told_by_name(api):
    rows.CanonicalModel.objects.filter(name="small").update(enabled=False)
    rows.alias("gone", "small", enabled=False)
    assert warned(api, "nobody", "little", "gone", "a/x") == [
        "nobody: it is no model pool, alias, provider/model or listed model, so it is passed over.",
        "little: nobody can serve it: model pool small is disabled.",
        "gone: nobody can serve it: alias gone is disabled.",
    ]
    rows.Provider.objects.filter(name="b").update(enabled=False)
    assert warned(api, "b/x", "a/x") == ["b/x: nobody can serve it: provider b is disabled."]


def test_facts_of_the_inventories_are_compared(api):
    knows("a", "big", context_window=9, capabilities={"tools": True, "vision": True})
    knows("b", "small", context_window=8, capabilities={"tools": False})
    assert warned(api, "little") == [
        "little: its context window (8 tokens) is smaller than the model's own (9).",
        "little: it cannot do what the model's own can: tools.",
    ]


def test_one_failure_domain_is_told(api):
    domain = {"vendor": "v", "region": "us"}
    rows.Provider.objects.update(failure_domain=domain)
    (said,) = warned(api, "small")
    assert "share failure domain region us, vendor v" in said


def test_switches_that_stand_in_a_rules_way_are_told(api):
    Settings.objects.create(pk=1, disabled_models=["big"])
    assert "disabled for this model" in warned(api, "small")[0]
    Settings.objects.update(failover_enabled=False, disabled_models=[])
    assert warned(api, "small") == ["Failover rules are switched off."]


def test_whoever_switches_off_what_rules_name_is_told(api):
    rows.rule("big", "small", "a/x")
    for path in ("pools/small", "providers/a"):
        said = api("patch", path, {"enabled": False}).json()["warnings"]
        assert "It is switched off, and failover rules name it: those for big." in said
    assert api("patch", "pools/big", {"enabled": False}).json()["warnings"] == [
        "Nobody can serve it: provider a is disabled."
    ]


def test_a_shadowed_row_says_that_it_does_not_count(api):
    rows.provider("lab")
    rows.provider("lab", managed_source="config")
    answer = api("patch", "providers/lab?managed_source=dashboard", {"enabled": False})
    assert "counts instead" in answer.json()["warnings"][0]


def test_the_configurations_provider_is_the_one_that_is_judged(api):
    rows.provider("b", managed_source="config", enabled=False)
    assert warned(api, "small") == ["small: nobody can serve it: provider b is disabled."]


def test_pools_aliases_and_providers_are_warned_of_too(api):
    body = {"name": "empty", "strategy": "weighted_random"}
    assert api("post", "pools", body).json()["warnings"] == [
        "Nobody can serve it: it has no candidates."
    ]
    two = [
        {"provider_name": "a", "model": "x-embed"},
        {"provider_name": "b", "model": "y", "weight": 2, "priority": 2},
    ]
    assert api("patch", "pools/empty", {"candidates": two}).json()["warnings"] == [
        "b/y: this weight has no effect: it is alone in its priority.",
        "It mixes embedding models (x-embed, y): another model's vectors cannot be compared.",
    ]
    own = [{"provider_name": "b", "model": "y", "weight": 2}, {"provider_name": "a", "model": "y"}]
    assert api("post", "aliases", {"name": "own", "targets": own}).json()["warnings"] == [
        "b/y: this weight has no effect: strategy priority_failover ignores weights."
    ]
    rows.CanonicalModel.objects.filter(name="big").update(enabled=False)
    assert api("post", "aliases", {"name": "huge", "target": "big"}).json()["warnings"] == [
        "Nobody can serve it: model pool big is disabled."
    ]
    far = {"name": "far", "kind": "openai", "base_url": "http://far.example.com/v1"}
    assert "plain http" in api("post", "providers", far).json()["warnings"][0]


def test_names_and_times_that_trip_people_are_told_by_api_form_and_file(api, client):
    twin = {"name": "Small", "failover": {"hold_s": 30, "deadline_s": 10}}
    said = api("post", "pools", twin).json()["warnings"]
    assert said[0].startswith("Small differs from small by upper and lower case alone")
    assert said[-1].startswith("Hold_s (30) is longer than deadline_s (10), so it never comes")
    client.force_login(User.objects.create_superuser("root"))
    form = settings_form(hold_s=700, disabled_models="big\nnobody")
    page = client.post("/admin/controlplane/settings/1/change/", form, follow=True).content.decode()
    assert "Hold_s (700) is longer than deadline_s (600)" in page
    assert "nobody: it is no model pool, alias" in page
    assert "big: it is no" not in page
    text = (
        "providers: {a: {kind: simulator}, A: {kind: simulator}}\n"
        "aliases: {small: x, SMALL: y}\n"
        "routing: {defaults: {failover: {hold_s: 700, deadline_s: 600}}}\n"
        "failover: {disabled_models: [small, nobody]}\n"
    )
    told = parse(text, filename="c.yaml", environ={}).warnings
    for words in (
        "c.yaml:1: providers.A: A differs from a by upper",
        "c.yaml:2: aliases.SMALL: SMALL differs from small by upper",
        "c.yaml:3: routing.defaults.failover.hold_s: hold_s (700) is longer",
        'c.yaml:4: failover.disabled_models[1]: "nobody" is no pool',
    ):
        assert [warning for warning in told if warning.startswith(words)], words


def test_a_key_so_short_that_it_may_be_a_word_is_told_by_its_label(api):
    keys = [{"label": "main", "secret": "null"}, {"label": "spare", "secret": "key-four"}]
    lab = {"name": "lab", "kind": "openai", "credentials": keys}
    (said,) = api("post", "providers", lab).json()["warnings"]
    assert said.startswith("Key main: it is shorter than 8 characters")


def test_a_protocol_that_the_kind_cannot_speak_is_told_by_api_and_admin(api, client):
    spoken = ["gemini_generate", "openai_chat"]
    lab = {"name": "lab", "kind": "gemini", "protocols": spoken}
    words = "openai_chat: kind gemini cannot speak openai_chat, so it is passed over; allowed:"
    told = [f"{words} gemini_count_tokens, gemini_generate."]
    assert api("post", "providers", lab).json()["warnings"] == told
    assert api("patch", "providers/lab", {"protocols": spoken[:1]}).json()["warnings"] == []

    client.force_login(User.objects.create_superuser("root"))
    form = provider_form(name="other", kind="gemini", protocols="openai_chat")
    page = client.post(address("providers_provider", "add"), form, follow=True)
    assert told[0] in page.content.decode()


def test_admin_says_the_same(api, client):
    client.force_login(User.objects.create_superuser("root"))
    form = {"primary_model": "big", "fallback_models": "b/x\nnobody", "enabled": "on"}
    page = client.post("/admin/failover/failoverrule/add/", form, follow=True).content.decode()
    assert "nobody: it is no model pool" in page
    assert "b/x:" not in page


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "azure_openai"}, "kind azure_openai is not spoken yet"),
        ({"kind": "openai"}, "it has no key"),
        ({"kind": "openai_compatible", "base_url": ""}, "it has no address"),
    ],
)
def test_a_pool_that_nobody_can_serve_at_any_endpoint_is_warned_of(db, fields, why):
    rows.provider("mute")
    Provider.objects.update(**fields)  # as an earlier version may have saved it
    pool = rows.pool("lost", "mute/m")
    assert f"Nobody can serve it: provider mute cannot be called: {why}." in cautions_of(pool)
    rows.provider("well", kind="simulator")
    pool = rows.pool("kept", "mute/m", "well/m")
    assert not [said for said in cautions_of(pool) if said.startswith("Nobody")]


def test_the_list_of_pools_names_those_that_nobody_can_serve(admin_client):
    rows.provider("mute", kind="azure_openai")
    rows.provider("well", kind="simulator")
    rows.pool("lost", "mute/m")
    rows.pool("kept", "well/m")
    page = admin_client.get("/admin/routing/canonicalmodel/").content.decode()
    assert page.count("nobody can serve it") == 1
