"""Bodies of the admin API: a field that does not exist changes nothing, so it is refused."""

from __future__ import annotations

import pytest

from controlplane.models import EditCounter
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
