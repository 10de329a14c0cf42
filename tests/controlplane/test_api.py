from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from rest_framework.exceptions import ValidationError

from controlplane.edits.models import EditCounter
from controlplane.models import ApiKey, Team
from failover.api import RuleSerializer
from failover.models import FailoverRule
from providers.models import Credential, Provider
from routing.models import CanonicalModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

pytestmark = pytest.mark.django_db

CONFIG = {"managed_source": "config"}


@pytest.fixture
def api(db) -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Api()


# Who gets in


def test_no_key_and_a_bad_key_are_401(db):
    assert Api(key="")("get", "failover").status_code == 401
    answer = Api(key="sy_wrong")("get", "failover")
    assert answer.status_code == 401
    assert answer["www-authenticate"] == "Bearer"


def test_a_disabled_or_expired_key_is_401(db):
    rows.api_key("off", "sy_off", scopes=["admin"], enabled=False)
    rows.api_key("old", "sy_old", scopes=["admin"], expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert Api("sy_off")("get", "failover").status_code == 401
    assert Api("sy_old")("get", "failover").status_code == 401


def test_a_key_shadowed_by_configuration_does_not_open(db):
    rows.api_key("ops", "sy_before", scopes=["admin"])
    rows.api_key("ops", "sy_after", scopes=["admin"], **CONFIG)
    assert Api("sy_before")("get", "failover").status_code == 401
    assert Api("sy_after")("get", "failover").status_code == 200


def test_a_key_without_the_admin_scope_is_403(db):
    rows.api_key("caller", "sy_caller")
    assert Api("sy_caller")("get", "failover").status_code == 403


def test_the_master_key_opens_by_either_header(db):
    with override_settings(MASTER_KEY="the-master"):
        assert Api("the-master")("get", "failover").status_code == 200
        by_header = Client(headers={"x-api-key": "the-master"})
        assert by_header.get("/api/failover").status_code == 200
        assert Api("the-maste")("get", "failover").status_code == 401


def test_without_a_master_key_an_empty_key_opens_nothing(db):
    with override_settings(MASTER_KEY=""):
        assert Client(headers={"x-api-key": ""}).get("/api/failover").status_code == 401


def test_staff_may_do_what_their_permissions_in_admin_allow(client, db):
    user = User.objects.create_user("viewer", is_staff=True)
    client.force_login(user)
    assert client.get("/api/failover").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_failoverrule"))
    assert client.get("/api/failover").status_code == 200
    assert client.post("/api/failover/reset").status_code == 403


# Failover rules


def test_a_rule_is_made_trimmed_and_kept_on_a_second_put(api):
    body = {"primary_model": " a ", "fallback_models": [" b", "lab/c "]}
    made = api("put", "failover", body)
    assert made.status_code == 200
    view = made.json()
    assert (view["primary_model"], view["fallback_models"]) == ("a", ["b", "lab/c"])
    assert (view["enabled"], view["managed_source"]) == (True, "dashboard")

    FailoverRule.objects.update(enabled=False)
    again = api("put", "failover", {"primary_model": "a", "fallback_models": ["d"]}).json()
    assert again["fallback_models"] == ["d"]
    assert again["enabled"] is False
    assert again["created_at"] == view["created_at"]
    assert api("put", "failover", body | {"enabled": True}).json()["enabled"] is True
    assert api("get", "failover").json()[0]["enabled"] is True


@pytest.mark.parametrize(
    ("fallbacks", "words"),
    [
        (["a"], "the model itself"),
        ([" a "], "the model itself"),
        (["b", "b "], "listed twice"),
        (["b", "  "], "entry 2 is blank"),
        ([], "at least one"),
        (None, "may not be null"),
        (["b", 7, None], "may not be null"),
        (["b", 7], "Not a valid string"),
        ("b", "Expected a list"),
    ],
)
def test_wrong_fallbacks_are_400_and_say_why(api, fallbacks, words):
    answer = api("put", "failover", {"primary_model": "a", "fallback_models": fallbacks})
    assert answer.status_code == 400
    assert words in str(answer.json()["fallback_models"])
    assert not FailoverRule.objects.exists()


@pytest.mark.parametrize("body", [[], "text", {}, {"primary_model": 7}, {"primary_model": ""}])
def test_a_body_of_the_wrong_shape_is_400(api, body):
    assert api("put", "failover", body).status_code == 400


@pytest.mark.parametrize("name", [7, True, None, " ", "a,b", "a b", ["a"], "x" * 301])
def test_a_name_that_is_none_is_400(api, name):
    answer = api("put", "failover", {"primary_model": name, "fallback_models": ["b"]})
    assert answer.status_code == 400
    assert set(answer.json()) == {"primary_model"}
    assert not FailoverRule.objects.exists()


def test_a_rule_is_deleted_by_body_or_query(api):
    rows.rule("a", "b")
    rows.rule("c", "d")
    assert api("delete", "failover", {"primary_model": "a"}).status_code == 204
    assert api("delete", "failover?primary_model=c").status_code == 204
    assert api("delete", "failover", {"primary_model": "a"}).status_code == 404
    assert api("delete", "failover").status_code == 400


def test_configuration_rules_are_read_only_and_survive_a_reset(api):
    rows.rule("a", "b", **CONFIG)
    rows.rule("c", "d")
    refused = api("put", "failover", {"primary_model": "a", "fallback_models": ["x"]})
    assert refused.status_code == 400
    assert "managed by configuration" in str(refused.json())
    assert api("delete", "failover", {"primary_model": "a"}).status_code == 400
    assert api("post", "failover/reset").json() == {"deleted": 1}
    assert [rule["primary_model"] for rule in api("get", "failover").json()] == ["a"]


def test_a_shadowed_rule_is_listed_as_such(api):
    rows.rule("a", "b")
    rows.rule("a", "c", **CONFIG)
    listed = [(r["managed_source"], r["is_shadowed"]) for r in api("get", "failover").json()]
    assert listed == [("config", False), ("dashboard", True)]


# Providers


def test_a_secret_is_written_and_never_read_back(api):
    body = {
        "name": "lab",
        "kind": "openai",
        "credentials": [{"label": "main", "secret": "sk-very-secret"}],
        "models": [{"model_id": "small"}],
    }
    made = api("post", "providers", body)
    assert made.status_code == 201, made.content
    assert Credential.objects.get().secret.reveal() == "sk-very-secret"
    for answer in (made, api("get", "providers"), api("get", "providers/lab")):
        assert b"sk-very-secret" not in answer.content
        assert b"secret" not in answer.content
        assert Credential.objects.get().secret.token.encode() not in answer.content


def test_a_put_keeps_what_it_does_not_mention(api):
    rows.provider("lab", secret="sk-1", enabled=False, timeouts={"idle_s": 5})
    rows.pool("small", "lab/s", enabled=False, strategy="round_robin")
    rows.alias("tiny", "small", enabled=False)
    key = api("post", "keys", {"name": "k", "rpm": 5, "enabled": False}).json()["key"]
    before = {path: api("get", path).json() for path in ("providers/lab", "pools/small")}
    kept = api("put", "providers/lab", {"name": "lab", "kind": "openai"}).json()
    assert kept | {"updated_at": 0, "warnings": 0} == before["providers/lab"] | {
        "updated_at": 0,
        "warnings": 0,
    }
    assert Credential.objects.get().secret.reveal() == "sk-1"
    kept = api("put", "pools/small", {"name": "small"}).json()
    assert kept["candidates"] == before["pools/small"]["candidates"]
    assert (kept["enabled"], kept["strategy"]) == (False, "round_robin")
    kept = api("put", "aliases/tiny", {"name": "tiny"}).json()
    assert (kept["target"], kept["enabled"]) == ("small", False)
    kept = api("put", "keys/k", {"name": "k"}).json()
    assert (kept["rpm"], kept["enabled"], kept["last4"]) == (5, False, key[-4:])


def test_a_secret_that_is_left_out_stays(api):
    rows.provider("lab", secret="sk-1")
    token = Credential.objects.get().secret.token
    body = {"credentials": [{"label": "second", "secret": "sk-2"}, {"label": "main"}]}
    assert api("patch", "providers/lab", body).status_code == 200
    stored = list(Credential.objects.all())
    assert [c.label for c in stored] == ["second", "main"]
    assert stored[1].secret.token == token
    missing = api("patch", "providers/lab", {"credentials": [{"label": "third"}]})
    assert missing.status_code == 400
    assert "third: a key is needed" in str(missing.json())


def test_what_clean_refuses_the_api_refuses_with_the_field(api):
    body = {
        "name": "a/b",
        "kind": "nonsense",
        "base_url": "ftp://x",
        "headers": {"x-a": "b\r\nc"},
        "timeouts": {"connect_s": 0, "wieght": 1},
        "credentials": [{"label": "m", "secret": "a b"}],
    }
    answer = api("post", "providers", body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"credentials"}
    body["credentials"] = []
    problems = api("post", "providers", body).json()
    assert set(problems) == {"name", "kind", "base_url", "headers", "timeouts"}
    assert any("wieght" in text for text in problems["timeouts"])


def test_a_provider_in_use_is_not_deleted(api):
    rows.provider("lab")
    rows.pool("small", "lab/s")
    answer = api("delete", "providers/lab")
    assert answer.status_code == 400
    assert "model pool small" in str(answer.json())
    CanonicalModel.objects.all().delete()
    assert api("delete", "providers/lab").status_code == 204
    assert api("get", "providers/lab").status_code == 404


def test_configuration_rows_are_read_only_by_name(api):
    rows.provider("lab", **CONFIG)
    for method, path, body in [
        ("patch", "providers/lab", {"enabled": False}),
        ("put", "providers/lab", {"name": "lab", "kind": "openai"}),
        ("delete", "providers/lab", None),
        ("post", "providers", {"name": "lab", "kind": "openai"}),
    ]:
        answer = api(method, path, body)
        assert answer.status_code == 400
        assert "managed by configuration" in str(answer.json())
    assert Provider.objects.get().enabled


def test_a_shadowed_row_can_still_be_reached(api):
    rows.provider("lab")
    rows.provider("lab", **CONFIG)
    assert api("get", "providers/lab").json()["managed_source"] == "config"
    assert api("get", "providers/lab?managed_source=dashboard").json()["is_shadowed"] is True
    assert api("delete", "providers/lab?managed_source=dashboard").status_code == 204
    assert [row.managed_source for row in Provider.objects.all()] == ["config"]


def test_lists_are_sorted_and_filtered(api):
    for name in ("b", "c", "a"):
        rows.provider(name, enabled=name != "c")
    assert [row["name"] for row in api("get", "providers").json()] == ["a", "b", "c"]
    assert [row["name"] for row in api("get", "providers?enabled=false").json()] == ["c"]


@pytest.mark.parametrize("kind", ["pools", "providers", "aliases", "keys"])
def test_a_list_comes_whole_or_in_pages_if_it_is_asked_to(api, kind):
    make = {
        "pools": rows.pool,
        "providers": rows.provider,
        "aliases": lambda name, **fields: rows.alias(name, "x", **fields),
        "keys": lambda name, **fields: rows.api_key(name, f"sy_{name}{fields}", **fields),
    }[kind]
    for name in ("b", "d", "a", "c"):
        make(name)
    make("b", **CONFIG)
    wanted = ["a", "b", "b", "c", "d", "operator"][: 6 if kind == "keys" else 5]
    assert [row["name"] for row in api("get", kind).json()] == wanted
    found, path = [], f"{kind}?limit=2"
    while path:
        answer = api("get", path).json()
        assert len(answer["results"]) <= 2
        found += [row["name"] for row in answer["results"]]
        path = answer["next"] and answer["next"].partition("/api/")[2]
    assert found == wanted
    for wrong in ("limit=0", "limit=x", "cursor=x", "cursor=cD1hJTAw"):
        assert api("get", f"{kind}?{wrong}").status_code == 400


# Pools and aliases


def test_a_pool_keeps_the_order_of_its_candidates(api):
    rows.provider("lab")
    body = {
        "name": "meta/small",
        "strategy": "weighted_round_robin",
        "candidates": [
            {"provider_name": "lab", "model": "x", "weight": 3},
            {"provider_name": "lab", "model": "y"},
        ],
    }
    assert api("post", "pools", body).status_code == 201
    turned = {"candidates": body["candidates"][::-1]}
    answer = api("patch", "pools/meta/small", turned)
    assert [c["model"] for c in answer.json()["candidates"]] == ["y", "x"]
    assert [c["weight"] for c in api("get", "pools/meta/small").json()["candidates"]] == [1, 3]


def test_wrong_candidates_are_400_in_their_place(api):
    rows.provider("lab")
    good = {"provider_name": "lab", "model": "x"}
    unknown = {"provider_name": "nobody", "model": "x"}
    answer = api("post", "pools", {"name": "p", "candidates": [good, unknown]})
    assert answer.json()["candidates"]["1"]["provider_name"] == ["there is no provider 'nobody'"]
    twice = api("post", "pools", {"name": "p", "candidates": [good, good]})
    assert "lab/x is listed twice" in str(twice.json())
    light = api("post", "pools", {"name": "p", "candidates": [good | {"weight": 0}]})
    assert "weight" in str(light.json()["candidates"])
    assert not CanonicalModel.objects.exists()


def test_saving_a_pool_again_writes_no_history_for_unmoved_candidates(api):
    rows.provider("lab")
    candidate = {"provider_name": "lab", "model": "x"}
    api("post", "pools", {"name": "p", "candidates": [candidate]})
    api("patch", "pools/p", {"enabled": False, "candidates": [candidate]})
    pool = CanonicalModel.objects.get()
    assert pool.candidates.get().history.count() == 1
    reasons = list(pool.history.values_list("history_change_reason", flat=True))
    assert reasons == ["API: operator", "API: operator"]


def test_an_alias_has_either_a_target_or_targets(api):
    rows.provider("lab")
    rows.pool("small", "lab/s")
    own = [{"provider_name": "lab", "model": "x"}]
    assert api("post", "aliases", {"name": "n"}).status_code == 400
    both = {"name": "n", "target": "small", "targets": own}
    assert api("post", "aliases", both).status_code == 400
    assert api("post", "aliases", {"name": "n", "target": "small"}).status_code == 201
    assert api("patch", "aliases/n", {"target": ""}).status_code == 400
    assert api("patch", "aliases/n", {"target": "", "targets": own}).status_code == 200


# Keys


def test_a_key_is_told_once_and_stored_as_its_digest(api):
    made = api("post", "keys", {"name": "team-a", "team": "a", "models": ["claude-*"]})
    assert made.status_code == 201, made.content
    key = made.json()["key"]
    assert key.startswith("sy_")
    assert len(key) == 46
    assert "key" not in api("get", "keys/team-a").json()
    row = ApiKey.objects.get(name="team-a")
    assert key not in str(vars(row))
    assert row.digest != ""
    assert Team.objects.get().name == "a"
    assert api("patch", "keys/team-a", {"enabled": False}).json()["team"] == "a"


def test_a_made_key_opens_at_once(api):
    key = api("post", "keys", {"name": "second", "scopes": ["admin"]}).json()["key"]
    assert Api(key)("get", "keys").status_code == 200


def test_wrong_scopes_and_limits_are_400(api):
    answer = api("post", "keys", {"name": "k", "scopes": ["root"], "rpm": 0})
    assert set(answer.json()) >= {"scopes"}
    assert set(api("post", "keys", {"name": "k", "rpm": 0}).json()) == {"rpm"}
    assert set(api("post", "keys", {"name": "k", "scopes": []}).json()) == {"scopes"}


def test_two_who_make_the_same_rule_at_once_get_one_rule_and_one_400(rf, db):
    request = rf.put("/api/failover")
    request.auth = None
    body = {"primary_model": "a", "fallback_models": ["b"]}
    slower = RuleSerializer(data=body, context={"request": request})
    slower.is_valid(raise_exception=True)
    rows.rule("a", "c")
    with pytest.raises(ValidationError, match="at the same time"):
        slower.save()
    assert FailoverRule.objects.get().fallback_models == ["c"]


# Edits and the API's own pages


def test_every_edit_moves_the_counter_and_a_refused_one_does_not(api):
    before = EditCounter.load().value
    api("put", "failover", {"primary_model": "a", "fallback_models": ["b"]})
    moved = EditCounter.load().value
    assert moved > before
    api("put", "failover", {"primary_model": "a", "fallback_models": ["a"]})
    assert EditCounter.load().value == moved


def test_schema_and_docs_are_served(client, db):
    assert client.get("/api/schema/").status_code == 200
    assert b"swagger-ui" in client.get("/api/docs/").content


def test_browsers_are_told_to_load_nothing_from_elsewhere(client, db):
    page = client.get("/admin/login/")
    assert "default-src 'self'" in page["content-security-policy"]
    assert page["x-frame-options"] == "DENY"
    assert page["x-content-type-options"] == "nosniff"
