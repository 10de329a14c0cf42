"""Explain, model-pools and the pages that show decisions: questions, answers, and who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from controlplane.decisions.deciding import ENDPOINTS, is_as_recorded
from controlplane.models import PublishedSnapshot, SnapshotContent
from controlplane.publishing.snapshots import keep
from controlplane.records.models import CallMinute, RequestRecord
from failover.engine.plan import Inputs
from providers.models import ListedModel
from routing.gateway.auth import digest_of
from routing.gateway.deciding.snapshot import CandidateSpec, KeySpec
from routing.gateway.explain.explaining import Explanation
from routing.gateway.records.record import (
    DecisionRecord,
    Detail,
    FeaturesRecord,
    RejectedRecord,
    detail_of,
)
from tests.support import rows
from tests.support.builders import content, pool, provider, snapshot
from tests.support.traffic import insert
from tests.support.workers import WorkerClient, local_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.decisions.local_worker import LocalWorker

pytestmark = pytest.mark.django_db

MASTER = "the-master-key-of-the-tests"
SECRET = "sy_key-of-team-a-that-nobody-repeats"
BEARER = {"authorization": f"Bearer {MASTER}"}
NAMES = ("a", "b")
CONTENT = content(
    pool("m", "a/x", "b/x"),
    pool(
        "turns",
        CandidateSpec(provider="a", model="x", weight=3),
        CandidateSpec(provider="b", model="x"),
        strategy="weighted_round_robin",
    ),
    providers=tuple(provider(name, kind="simulator", credentials=()) for name in NAMES),
    keys=(
        KeySpec(name="team-a", digest=digest_of(SECRET.encode()), models=("turns",)),
        KeySpec(name="late", digest=b"l", expires_at=1.0),
        KeySpec(name="no-callers", digest=b"n", scopes=("admin",)),
    ),
)


@pytest.fixture(autouse=True)
def master_key() -> Iterator[None]:
    with override_settings(MASTER_KEY=MASTER):
        yield


@pytest.fixture(scope="module")
def worker() -> Iterator[LocalWorker]:
    with local_worker(snapshot(CONTENT, generation=7)) as started:
        yield started


@pytest.fixture
def client(worker: LocalWorker) -> Client:
    return WorkerClient(worker)


def explained(client: Client, status: int = 200, **body: Any) -> Any:
    reply = client.post("/api/explain", body, content_type="application/json", headers=BEARER)
    assert reply.status_code == status, reply.content
    return reply.json()


def staff(*permissions: str) -> User:
    user = User.objects.create_user("grace", is_staff=True)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


# The API's answers


def test_the_answer_has_everything_that_the_contract_names(client: Client):
    answer = explained(client, model="m")
    assert answer["canonical_model"] == "m"
    assert answer["resolved_by"] == "pool"
    assert answer["strategy"] == "priority_failover"
    assert [(c["provider_name"], c["model"], c["stage"]) for c in answer["candidates"]] == [
        ("a", "x", "request"),
        ("b", "x", "request"),
    ]
    assert answer["candidates"][0]["reason"] == "first in the list"
    assert (answer["rejected"], answer["failover_rule"], answer["affinity"]) == ([], None, None)
    assert answer["generation"] == 7
    assert answer["worker"] == {"name": "of-the-test", "plane": "both"}
    assert answer["recorded"] is None


def test_a_key_is_named_and_its_rights_count(client: Client):
    answer = explained(client, model="m", key="team-a")
    assert answer["key"] == "team-a"
    assert answer["candidates"] == []
    assert [entry["reason"] for entry in answer["rejected"]] == ["key_not_allowed"] * 2
    assert answer["refusal"]["status"] == 403


def test_a_key_itself_is_taken_and_not_repeated(client: Client):
    reply = client.post(
        "/api/explain", {"model": "m", "key": SECRET}, content_type="application/json",
        headers=BEARER,
    )  # fmt: skip
    assert reply.json()["key"] == "team-a"
    assert SECRET.encode() not in reply.content


def test_a_body_bears_on_the_decision(client: Client):
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": [{"role": "user", "content": "Hello"}], "tools": tools, "stream": True}
    assert explained(client, model="m", body=body)["canonical_model"] == "m"


@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({}, "model", "Give a model, or a request."),
        ({"model": ""}, "model", "blank"),
        ({"model": "nobody"}, "model", "'nobody' does not exist"),
        ({"model": "m", "modle": "x"}, "modle", "allowed are model, endpoint, key"),
        ({"model": "m", "endpoint": "/v1/x"}, "endpoint", "'/v1/x' is none; allowed are /v1/chat"),
        ({"model": "m", "key": "nobody's"}, "key", "allowed are the names of enabled keys"),
        ({"model": "m", "key": "late"}, "key", "the key late has expired"),
        ({"model": "m", "key": "no-callers"}, "key", "no-callers may not be used for inference"),
        ({"model": "m", "body": []}, "body", "Expected a dictionary"),
        ({"model": "m", "body": {"messages": 1}}, "body", "'messages' must be a non-empty list"),
        ({"model": "m", "request": "req_1"}, "request", "It stands alone."),
    ],
)
def test_a_mistake_is_told_by_field_value_and_what_is_allowed(
    client: Client, asked: dict[str, Any], field: str, said: str
):
    assert said in explained(client, 400, **asked)[field][0]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_can_be_asked_about_without_a_body(client: Client, endpoint: str):
    assert explained(client, model="m", endpoint=f"{endpoint}/")["refusal"] is None


def test_a_name_that_is_nearly_right_is_proposed(client: Client):
    assert "Did you mean 'turns'" in explained(client, 400, model="turn")["model"][0]


def test_a_process_that_cannot_route_says_so():
    reply = Client().post(
        "/api/explain", {"model": "m"}, content_type="application/json", headers=BEARER
    )
    assert reply.status_code == 503


def test_reading_pools_and_explaining_moves_no_counter(client: Client, worker: LocalWorker):
    before = worker.read(lambda: dict(worker.gateway.live.rotations))
    for _ in range(3):
        assert explained(client, model="turns")["candidates"][0]["provider_name"] == "a"
        pools = client.get("/api/routing/model-pools", headers=BEARER).json()
        assert [p["effective_candidate"] for p in pools] == ["a/x", "a/x"]
    assert worker.read(lambda: dict(worker.gateway.live.rotations)) == before


def test_model_pools_are_sorted_and_may_be_asked_for_by_name(client: Client):
    names = [
        p["canonical_model"] for p in client.get("/api/routing/model-pools", headers=BEARER).json()
    ]
    assert names == ["m", "turns"]
    only = client.get("/api/routing/model-pools?canonical_model=turns", headers=BEARER).json()
    assert [p["canonical_model"] for p in only] == ["turns"]


# Recorded requests


def recorded(generation: int | None = 7, *, planned: tuple[str, ...] = ("b/x", "a/x")) -> str:
    """A record of a request to `turns` when it was b's turn. Its id."""
    told = Detail(
        protocol="openai_chat",
        features=FeaturesRecord(estimated_input_tokens=2),
        decision=DecisionRecord(
            resolved_by="pool",
            strategy="weighted_round_robin",
            planned=planned,
            inputs=Inputs(counters={"turns": {"a/x": -32, "b/x": 32}}),
        ),
    )
    row = RequestRecord.objects.create(
        id="01a1fe6f-f824-7990-a843-ae5801516ce8",
        outcome="answered",
        duration_ms=1,
        key="team-a",
        requested_model="turns",
        canonical_model="turns",
        generation=generation,
        detail=_json(told),
    )
    return str(row.pk)


def _json(told: Detail) -> str:
    text = msgspec.json.encode(told).decode()
    assert detail_of(text) == told
    return text


def publish_generation(number: int) -> None:
    row = PublishedSnapshot.objects.create(generation=number, checksum="c")
    keep(row, CONTENT)


def test_a_recorded_decision_is_made_again_beside_what_would_be_decided_now(client: Client):
    publish_generation(7)
    answer = explained(client, request=recorded())
    then = answer["recorded"]
    assert (then["is_same"], then["problem"]) == (True, "")
    assert [c["provider_name"] for c in then["again"]["candidates"]] == ["b", "a"]
    assert then["again"]["candidates"][0]["reason"] == "its turn by weight, 1 of 4"
    assert then["decision"]["planned"] == ["b/x", "a/x"]
    assert [c["provider_name"] for c in answer["candidates"]] == ["a", "b"]
    assert answer["key"] == "team-a"


def test_providers_that_need_a_key_are_decided_on_again_without_it(client: Client):
    providers = tuple(provider(name, kind="openai") for name in NAMES)
    row = PublishedSnapshot.objects.create(generation=7, checksum="c")
    keep(row, msgspec.structs.replace(CONTENT, providers=providers))
    then = explained(client, request=recorded())["recorded"]
    assert (then["is_same"], then["problem"]) == (True, "")


def test_a_record_that_says_otherwise_than_its_inputs_is_told_apart(client: Client):
    publish_generation(7)
    then = explained(client, request=recorded(planned=("a/x", "b/x")))["recorded"]
    assert then["is_same"] is False
    assert "differently" in then["problem"]


def test_a_snapshot_that_is_gone_is_said_and_now_is_still_told(client: Client):
    answer = explained(client, request=recorded(3))
    assert answer["recorded"]["again"] is None
    assert "generation 3 is not kept any more" in answer["recorded"]["problem"]
    assert answer["canonical_model"] == "turns"


def test_a_request_without_a_decision_says_so(client: Client):
    then = explained(client, request=recorded(None))["recorded"]
    assert "before anything was decided" in then["problem"]


def test_a_request_that_nobody_knows_is_404(client: Client):
    assert "no record" in explained(client, 404, request="req_unknown")["detail"]


def test_whoever_may_not_see_records_may_not_ask_about_them(client: Client):
    client.force_login(staff("routing.view_canonicalmodel"))
    body = {"request": recorded()}
    reply = client.post("/api/explain", body, content_type="application/json")
    assert reply.status_code == 403
    reply = client.post("/api/explain", {"model": "m"}, content_type="application/json")
    assert reply.status_code == 200


# The pages


def test_the_pages_are_for_staff_with_the_permission(client: Client):
    pages = [reverse(name) for name in ("explain", "try-it", "pools-now")]
    for page in pages:
        assert client.get(page).status_code == 302
    client.force_login(staff())
    assert [client.get(page).status_code for page in pages] == [403, 403, 403]
    User.objects.all().delete()
    client.force_login(staff("routing.view_canonicalmodel"))
    assert [client.get(page).status_code for page in pages] == [200, 403, 200]


def test_pools_now_flags_candidates_and_shows_what_became_of_their_calls(client: Client):
    now = timezone.now().replace(second=0, microsecond=0)
    seen = {"first_seen_at": now, "last_seen_at": now}
    ListedModel.objects.create(provider="a", model_id="other", **seen)
    insert(
        CallMinute,
        [{"minute": now, "pool": "m", "provider": "a", "model": "x", "calls": 9, "failed": 9}],
    )
    client.force_login(staff("routing.view_canonicalmodel"))
    page = client.get(reverse("pools-now")).content.decode()
    named = page.count("a/x</strong>")
    assert page.count("not in the provider&#x27;s list") == named > 0
    assert 'aria-label="the last 6 hours: unhealthy 2 %, not called 97 %"' in page


def test_explain_says_who_is_not_in_its_providers_list_tried_or_left_out(client: Client):
    now = timezone.now()
    seen = {"first_seen_at": now, "last_seen_at": now}
    ListedModel.objects.create(provider="a", model_id="other", **seen)
    ListedModel.objects.create(provider="b", model_id="x", **seen)
    answer = explained(client, model="m")
    flags = [(c["provider_name"], c["flag"]) for c in answer["candidates"]]
    assert flags == [("a", "not in the provider's list"), ("b", "")]

    off = CandidateSpec(provider="a", model="x", enabled=False)
    on = CandidateSpec(provider="b", model="x")
    with local_worker(snapshot(content(pool("m", off, on), providers=CONTENT.providers))) as other:
        left_out = explained(WorkerClient(other), model="m")["rejected"]
    assert [(c["provider_name"], c["flag"]) for c in left_out] == flags[:1]

    client.force_login(staff("routing.view_canonicalmodel"))
    page = client.get(reverse("explain"), {"model": "m"}).content.decode()
    assert page.count("not in the provider&#x27;s list</strong>") == 1


def test_a_page_without_a_gateway_is_404():
    client = Client()
    client.force_login(staff("routing.view_canonicalmodel"))
    assert client.get(reverse("explain")).status_code == 404


def test_the_explain_page_tells_the_order_and_mistakes_at_their_fields(client: Client):
    client.force_login(staff("routing.view_canonicalmodel"))
    page = client.get(reverse("explain"), {"model": "m"})
    assert "a/x" in page.content.decode()
    page = client.post(reverse("explain"), {"model": "m", "body": "[1]"})
    assert "This has to be a JSON object." in page.content.decode()
    page = client.post(reverse("explain"), {"model": "m", "key": SECRET[:-1]})
    assert "no key has this name" in page.content.decode()


def test_key_names_are_suggested_only_to_those_who_may_see_keys(client: Client):
    rows.api_key("team-b", "sy_another-key-of-the-tests")
    client.force_login(staff("routing.view_canonicalmodel"))
    assert "team-b" not in client.get(reverse("explain")).content.decode()
    User.objects.all().delete()
    client.force_login(staff("routing.view_canonicalmodel", "controlplane.view_apikey"))
    assert "team-b" in client.get(reverse("explain")).content.decode()


def test_a_pools_page_leads_to_both_with_its_name_filled_in(client: Client):
    pk = rows.pool("small").pk
    client.force_login(staff("routing.view_canonicalmodel"))
    page = client.get(reverse("admin:routing_canonicalmodel_change", args=[pk]))
    for path, target in (("explain", "explain"), ("try", "try-it")):
        link = f"/admin/routing/canonicalmodel/{pk}/{path}"
        assert link in page.content.decode()
        assert client.get(f"{link}/", follow=False).url == f"{reverse(target)}?model=small"


def test_a_records_page_says_in_words_what_the_decision_read(client: Client):
    client.force_login(staff("controlplane.view_requestrecord"))
    page = client.get(reverse("admin:controlplane_requestrecord_change", args=[recorded()]))
    text = page.content.decode()
    assert "turns of turns: a/x -2, b/x +2" in text
    assert f"{reverse('explain')}?request=" in text


def test_a_forged_form_sends_nothing(worker: LocalWorker):
    client = WorkerClient(worker, enforce_csrf_checks=True)
    client.force_login(staff("routing.view_canonicalmodel", "controlplane.add_requestrecord"))
    assert client.post(reverse("try-it"), {"model": "m", "prompt": "x"}).status_code == 403


@pytest.mark.parametrize("stream", [True, False])
def test_try_it_sends_a_real_request_and_shows_who_answered(
    client: Client, worker: LocalWorker, stream: bool
):
    client.force_login(staff("routing.view_canonicalmodel", "controlplane.add_requestrecord"))
    form = {"model": "m", "prompt": "Hello there", "timeout_s": 20}
    page = client.post(reverse("try-it"), form | ({"stream": "on"} if stream else {}))
    text = page.content.decode()
    assert "provider a answered as model x" in text
    assert "Hello there" in text
    assert "x-switchyard-provider" in text
    assert worker.gateway.guests == {}


def test_try_it_shows_what_a_caller_would_be_refused_with(client: Client):
    client.force_login(staff("routing.view_canonicalmodel", "controlplane.add_requestrecord"))
    form = {"model": "nobody", "prompt": "x", "timeout_s": 5}
    text = client.post(reverse("try-it"), form).content.decode()
    assert "404" in text
    assert "does not exist" in text


def test_a_header_cannot_be_smuggled_through_the_form(client: Client):
    client.force_login(staff("routing.view_canonicalmodel", "controlplane.add_requestrecord"))
    form = {"model": "m", "prompt": "x", "timeout_s": 5, "session": "s\r\nx-evil: 1"}
    assert "printable ASCII" in client.post(reverse("try-it"), form).content.decode()


def test_the_content_of_a_pruned_snapshot_goes_with_it():
    publish_generation(7)
    PublishedSnapshot.objects.all().delete()
    assert SnapshotContent.objects.count() == 0


def test_a_rejected_candidate_of_the_record_counts_for_being_the_same():
    explanation = Explanation(
        requested_model="m", canonical_model="m", resolved_by="pool", strategy="s", generation=1,
        candidates=(), rejected=(), preferred=None, last_standing=False, failover_rule=None,
        affinity=None, warnings=(), refusal=None, max_calls=1,
    )  # fmt: skip
    left_out = (RejectedRecord(candidate="a/x", reason="benched"),)
    assert is_as_recorded(explanation, DecisionRecord())
    assert not is_as_recorded(explanation, DecisionRecord(rejected=left_out))
