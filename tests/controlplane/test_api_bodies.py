"""Bodies of the admin API: a field that does not exist changes nothing, so it is refused."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from drf_spectacular.generators import SchemaGenerator

from controlplane.edits.models import EditCounter
from providers.models import Provider
from routing.models import CanonicalModel
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db) -> Api:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    rows.provider("lab")
    rows.pool("small", "lab/a")
    rows.pool("large", "lab/b")
    return Api()


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "allowed"),
    [
        ("patch", "pools/small", {"session_affinity_ttl": "5m"}, "", "session_affinity_ttl_s"),
        ("put", "failover", {"primary_model": "small", "fallback_models": ["large"], "enable": 0},
         "", "enabled"),
        ("post", "keys", {"name": "team", "model": ["small"]}, "", "models"),
        ("patch", "providers/lab", {"credentials": [{"label": "one", "key": "s"}]}, "credentials",
         "secret"),
        ("patch", "pools/small", {"candidates": [{"provider_name": "lab", "model": "a", "w": 2}]},
         "candidates", "weight"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_exist_is_400_and_told_which_do(
    api, method, path, body, field, allowed
):
    before = EditCounter.load().value
    answer = api(method, path, body)
    assert answer.status_code == 400, answer.content
    said = str(answer.json()[field] if field else answer.json())
    assert "There is no such field" in said
    assert allowed in said
    assert EditCounter.load().value == before


@pytest.mark.parametrize("path", ["pools/small", "providers/lab", "keys/operator"])
def test_an_answer_can_be_sent_back_as_it_is(api, path):
    got = api("get", path).json()
    answer = api("put", path, got)
    assert answer.status_code == 200, answer.content
    assert api("put", path, answer.json()).status_code == 200


def test_what_only_answers_have_changes_nothing(api):
    sent = {"managed_source": "config", "warnings": ["none"], "enabled": False}
    assert api("patch", "pools/small", sent).status_code == 200
    pool = CanonicalModel.objects.get(name="small")
    assert (pool.managed_source, pool.enabled) == ("dashboard", False)


PLACES = {"{name}": "x", "{number}": "1", "{id}": "1", "{provider}": "x", "{kind}": "x"}


def orders() -> list[tuple[str, str]]:
    """Every route of the schema that takes a JSON body."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return [
        (method, path)
        for path, routes in schema["paths"].items()
        for method, route in routes.items()
        if "requestBody" in route
    ]


@pytest.mark.parametrize(("method", "path"), orders())
def test_no_write_takes_a_field_too_many(api, method, path):
    rows.provider("x")
    rows.pool("x", "x/m")
    rows.alias("x", "small")
    rows.api_key("x", "sy_of-x-0123456789")
    before = EditCounter.load().value
    for place, name in PLACES.items():
        path = path.replace(place, name)
    answer = api(method, path.removeprefix("/api/"), {"nosuch_field": 1})
    assert answer.status_code == 400, answer.content
    assert "There is no such field" in str(answer.json()["nosuch_field"])
    assert EditCounter.load().value == before


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("post", "benches", {"model": "lab/a", "for_s": True, "reason": "r"}, "for_s"),
        ("put", "routing-state", {"kind": "provider", "provider_name": "lab", "enabled": False,
                                  "untill": "2027-01-01T00:00:00Z"}, "untill"),
        ("get", "requests?failover=maybe", None, "failover"),
        ("get", "requests?limit=-1", None, "limit"),
        ("get", "requests?limit=many", None, "limit"),
        ("get", "requests?limit=0", None, "limit"),
        ("get", "revisions?limit=-1", None, "limit"),
        ("get", "pools?enabled=perhaps", None, "enabled"),
        ("post", "failover/generate", {"model": "small"}, "model"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_400_and_not_guessed(api, method, path, body, field):
    answer = api(method, path, body)
    assert answer.status_code == 400, answer.content
    assert field in answer.json()


@pytest.mark.parametrize("flag", ["true", "false"])
def test_filters_by_a_flag_take_both_words(api, flag):
    rows.pool("off", "lab/a", enabled=False)
    names = {row["name"] for row in api("get", f"pools?enabled={flag}").json()}
    assert ("off" in names) == (flag == "false")


@pytest.mark.parametrize("text", ["\\u0000", "a\\u0000", "\\ud800", "\\ude00\\ud83d"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("patch", "providers/lab", '{"failure_domain": {"zone": "%s"}}'),
        ("patch", "providers/lab", '{"failure_domain": {"%s": "a"}}'),
        ("patch", "providers/lab", '{"health": {"paid_probe_model": "%s"}}'),
        ("patch", "providers/lab", '{"timeouts": {"%s": 5}}'),
        ("patch", "providers/lab", '{"%s": 1}'),
        ("patch", "keys/operator", '{"team": "%s"}'),
        ("put", "failover", '{"primary_model": "%s", "fallback_models": ["large"]}'),
        ("delete", "failover", '{"primary_model": "%s"}'),
        ("put", "routing-state", '{"kind": "%s", "enabled": false}'),
    ],
)
def test_text_that_nothing_can_hold_is_400_wherever_it_stands(api, method, path, body, text):
    answer = api(method, path, body % text)

    assert answer.status_code == 400, answer.content
    assert "half of a surrogate pair" in answer.json()["detail"]


def test_a_whole_pair_is_a_character_like_any_other(api):
    answer = api("patch", "providers/lab", '{"failure_domain": {"zone": "\\ud83d\\ude00"}}')

    assert answer.status_code == 200, answer.content
    assert answer.json()["failure_domain"] == {"zone": "\N{GRINNING FACE}"}


@pytest.mark.parametrize(
    "path", ["providers/%00", "keys/a%00", "requests/%00", "pools?enabled=%00", "pools?name=a%00b"]
)
def test_an_address_with_nul_is_400(api, path):
    answer = api("get", path)

    assert answer.status_code == 400
    assert "NUL" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
def test_json_that_no_database_holds_is_named_by_its_field(text):
    row = Provider(name="lab", kind="openai", failure_domain={"zone": [text]})

    with pytest.raises(ValidationError) as refused:
        row.full_clean()

    assert "half of a surrogate pair" in refused.value.message_dict["failure_domain"][0]


def test_a_switch_ends_at_a_moment_that_can_be_counted_with(api):
    body = {"kind": "provider", "provider_name": "lab", "enabled": False}

    answer = api("put", "routing-state", {**body, "until": "9999-01-01T00:00:00Z"})

    assert answer.status_code == 400
    assert "9999 is not allowed" in str(answer.json()["until"])
