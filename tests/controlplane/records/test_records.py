"""Request records as operators see them: in admin and by the API, read-only and newest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from controlplane.records.choosing import BoundedPaginator
from controlplane.records.ingest import store
from controlplane.records.models import RequestRecord
from controlplane.records.trails import trail_of
from failover.engine.plan import Inputs
from routing.gateway.ingress import new_id
from routing.gateway.records.record import OWN_PREFIX, RejectedRecord, row_of
from tests.support import rows
from tests.support.builders import attempt_record, request_record

if TYPE_CHECKING:
    from routing.gateway.records import record as records

pytestmark = pytest.mark.django_db

ADMIN_KEY = "sy_admin-key-of-the-records-0123456789"
LIST = "/admin/controlplane/requestrecord/"


def keep(*made: records.RequestRecord) -> None:
    store([row_of(record) for record in made])


@pytest.fixture
def api() -> Client:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])
    return Client(headers={"authorization": f"Bearer {ADMIN_KEY}"})


@pytest.fixture
def page(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def ids(client: Client, **query: Any) -> list[str]:
    answer = client.get("/api/requests", query)
    assert answer.status_code == 200, answer.content
    return [row["request_id"] for row in answer.json()["results"]]


# API


def test_the_list_is_newest_first_whatever_order_they_came_in(api: Client) -> None:
    made = [request_record(request_id=f"r{n}") for n in range(5)]
    keep(*made[3:], *made[:3])

    assert ids(api) == ["r4", "r3", "r2", "r1", "r0"]


def test_pages_lead_from_one_to_the_next_and_stay_put_while_records_come(api: Client) -> None:
    keep(*[request_record(request_id=f"r{n}") for n in range(5)])
    first = api.get("/api/requests?limit=2").json()
    keep(request_record(request_id="newer"))
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    shown = [[row["request_id"] for row in page["results"]] for page in (first, second, third)]
    assert shown == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert third["next"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"id": "r1"}, ["r1"]),
        ({"key": "team-b"}, ["r1"]),
        ({"model": "claude"}, ["r2"]),
        ({"model": "two/m2"}, ["r3"]),
        ({"provider": "two"}, ["r3"]),
        ({"outcome": "failed"}, ["r4"]),
        ({"outcome": "answered"}, ["r3", "r2", "r1", "r0"]),
        ({"failover": "true"}, ["r3"]),
        ({"key": "team-b", "outcome": "failed"}, []),
        ({"id": "team-b"}, []),
    ],
)
def test_a_filter_leaves_what_it_names(
    api: Client, query: dict[str, str], found: list[str]
) -> None:
    keep(
        request_record(request_id="r0"),
        request_record(request_id="r1", key="team-b"),
        request_record(request_id="r2", canonical_model="claude"),
        request_record(request_id="r3", provider="two", model="m2", failover=True),
        request_record(request_id="r4", outcome="failed", provider="", model=""),
    )
    assert ids(api, **query) == found


def test_since_is_included_and_until_is_not(api: Client) -> None:
    made = [request_record(request_id=f"r{n}") for n in range(4)]
    keep(*made)
    at = [row.started_at.isoformat() for row in RequestRecord.objects.order_by("id")]

    assert ids(api, since=at[1], until=at[3]) == ["r2", "r1"]


def test_what_is_no_filter_value_is_said(api: Client) -> None:
    assert api.get("/api/requests?outcome=gone").status_code == 400
    assert api.get("/api/requests?since=yesterday").status_code == 400


def test_one_record_comes_with_its_attempts_by_either_id(api: Client) -> None:
    record = request_record(
        request_id="mine",
        attempts=(attempt_record(fault="status", content_ms=None), attempt_record()),
        rejected=(RejectedRecord(candidate="off/m", reason="provider_disabled"),),
    )
    keep(record)

    by_own, by_request = (api.get(f"/api/requests/{i}").json() for i in (record.id, "mine"))

    assert by_own == by_request
    assert by_own["decision"]["rejected"] == [{"candidate": "off/m", "reason": "provider_disabled"}]
    assert [a["fault"] for a in by_own["attempts"]] == ["status", ""]
    assert by_own["attempts"][0] == {
        "provider": "one",
        "model": "m",
        "credential": "main",
        "started_ms": 0.25,
        "headers_ms": 9.5,
        "content_ms": None,
        "ended_ms": 12.0,
        "status": 200,
        "fault": "status",
        "message": "",
        "simulated": "",
        "is_hedge": False,
        "dropped": [],
    }


def test_a_record_tells_what_was_asked_and_what_was_decided(api: Client) -> None:
    keep(
        request_record(
            request_id="mine",
            endpoint="/v1/messages",
            user_path="/search",
            needs=("tools",),
            max_output_tokens=50,
            strategy="lowest_cost",
            planned=("one/m", "two/m"),
            inputs=Inputs(draws=(0.25,), pin="two/m"),
        )
    )
    record = api.get("/api/requests/mine").json()

    assert (record["endpoint"], record["user_path"]) == ("/v1/messages", "/search")
    assert record["features"] == {
        "needs": ["tools"],
        "estimated_input_tokens": None,
        "max_output_tokens": 50,
        "preferred_provider": "",
        "no_failover": False,
        "strict_params": False,
        "session": "",
    }
    assert record["decision"] == {
        "resolved_by": "",
        "strategy": "lowest_cost",
        "config_primary": "",
        "effective": "one/m",
        "planned": ["one/m", "two/m"],
        "rejected": [],
        "last_standing": False,
        "inputs": {"draws": [0.25], "pin": "two/m"},
        "pin": "two/m",
    }


def test_an_id_of_ours_finds_its_record_and_those_of_callers_who_sent_it_back(
    api: Client, page: Client
) -> None:
    made = new_id().decode()
    own = made.removeprefix(OWN_PREFIX)
    named = request_record(request_id="named")
    keep(request_record(id=own, request_id=made), request_record(request_id=made), named)

    assert ids(api, id=own) == [made]
    assert ids(api, id=made) == [made, made]
    assert api.get(f"/api/requests/{own}").json()["request_id"] == made
    assert api.get(f"/api/requests/{OWN_PREFIX}{named.id}").status_code == 404
    assert made in page.get(LIST, {"q": made}).content.decode()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"id": "mine"}, "request_by_name"),
        ({"id": f"{OWN_PREFIX}{1:032x}"}, "request_by_name"),
        ({"key": "team-a"}, "request_by_key"),
        ({"model": "gpt"}, "request_by_model"),
        ({"provider": "one"}, "request_by_provider"),
        ({"outcome": "failed"}, "request_not_answered"),
        ({"failover": "true"}, "request_failover"),
    ],
)
def test_every_filter_has_its_index(api: Client, query: dict[str, str], index: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL scans a table as small as this one")
    with CaptureQueriesContext(connection) as queries:
        assert api.get("/api/requests", query).status_code == 200
    [asked] = [q["sql"] for q in queries if "requestrecord" in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked}")
        steps = [row[3] for row in cursor.fetchall()]

    assert any(f"INDEX {index}" in step for step in steps), steps


def test_of_requests_with_one_id_the_newest_is_shown(api: Client) -> None:
    keep(*[request_record(request_id="same", duration_ms=float(n)) for n in range(3)])

    assert api.get("/api/requests/same").json()["duration_ms"] == 2.0
    assert ids(api, id="same") == ["same"] * 3


def test_an_unknown_id_is_404(api: Client) -> None:
    assert api.get("/api/requests/nobody").status_code == 404


def test_records_cannot_be_written_by_the_api(api: Client) -> None:
    keep(request_record(request_id="mine"))
    for method in ("post", "put", "patch", "delete"):
        for path in ("/api/requests", "/api/requests/mine"):
            assert getattr(api, method)(path).status_code == 405
    assert RequestRecord.objects.count() == 1


def test_staff_need_the_right_to_see_records(client: Client) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    client.force_login(user)
    assert client.get("/api/requests").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_requestrecord"))
    assert client.get("/api/requests").status_code == 200


def test_a_page_of_the_api_is_one_query_and_counts_nothing(api: Client) -> None:
    keep(*[request_record() for _ in range(20)])
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert api.get("/api/requests?limit=5").status_code == 200

    asked = [q["sql"] for q in queries if "requestrecord" in q["sql"]]
    assert len(asked) == 1
    assert "COUNT" not in asked[0].upper()


# Admin


def test_the_list_shows_outcomes_in_words_and_counts_no_further_than_it_must(page: Client) -> None:
    keep(request_record(request_id="mine", outcome="caller_error", failover=True))
    with CaptureQueriesContext(connection) as queries:
        shown = page.get(LIST).content.decode()

    for words in ("mine", "team-a", "gpt", "one/m", "caller error", "12 ms", "failover"):
        assert words in shown
    asked = [q["sql"] for q in queries if "requestrecord" in q["sql"]]
    assert all("LIMIT 10001" in sql for sql in asked if "COUNT(" in sql.upper())


@pytest.mark.parametrize("term", ["mine", "team-b", "claude", "two", "two/m2"])
def test_the_search_finds_whole_ids_keys_models_and_providers(page: Client, term: str) -> None:
    keep(
        request_record(request_id="other"),
        request_record(
            request_id="mine", key="team-b", canonical_model="claude", provider="two", model="m2"
        ),
    )
    shown = page.get(LIST, {"q": term}).content.decode()

    assert "mine</" in shown
    assert "other</" not in shown


@pytest.mark.parametrize(
    "choice", [{"outcome": "failed"}, {"provider": "two"}, {"canonical_model": "claude"}]
)
def test_filters_leave_what_they_name(page: Client, choice: dict[str, str]) -> None:
    keep(request_record(request_id="other"), request_record(request_id="mine", **choice))
    rows.provider("two")
    rows.pool("claude")
    shown = page.get(LIST, choice).content.decode()

    assert "mine</" in shown
    assert "other</" not in shown


def test_the_time_filter_leaves_what_is_recent(page: Client) -> None:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    for name, minutes in (("recent", 5), ("older", 30)):
        made = request_record(request_id=name)
        number = f"{now_ms - minutes * 60_000:012x}{made.id[12:]}"
        keep(request_record(request_id=name, id=number))

    quarter, hour = (page.get(LIST, {"last": last}).content.decode() for last in ("15", "60"))

    assert "recent</" in quarter
    assert "older</" not in quarter
    assert "older</" in hour


def test_nothing_can_be_added_changed_or_deleted(page: Client) -> None:
    keep(request_record(request_id="mine"))
    row = RequestRecord.objects.get()

    assert page.get(f"{LIST}add/").status_code == 403
    assert page.get(f"{LIST}{row.pk}/delete/").status_code == 403
    assert page.post(f"{LIST}{row.pk}/change/", {"outcome": "failed"}).status_code == 403
    assert "delete_selected" not in page.get(LIST).content.decode()


def test_the_page_of_a_record_tells_its_attempts_in_words(page: Client) -> None:
    keep(
        request_record(
            attempts=(
                attempt_record(
                    provider="broken", status=503, fault="status", message="<b>busy</b>",
                    content_ms=None,
                ),
                attempt_record(started_ms=12.0, headers_ms=14.0, content_ms=15.0, ended_ms=20.0),
            ),
            rejected=(RejectedRecord(candidate="off/m", reason="provider_disabled"),),
            duration_ms=20.0,
        )
    )  # fmt: skip
    shown = page.get(f"{LIST}{RequestRecord.objects.get().pk}/change/").content.decode()

    assert "2 calls, served by one/m" in shown
    assert "<strong" in shown
    assert "broken/m</strong>: status 503" in shown
    assert "&lt;b&gt;busy&lt;/b&gt;" in shown
    assert "off/m (the provider is disabled)" in shown
    assert "off/m: the provider is disabled" in shown


def test_bars_lie_on_the_time_axis_of_the_request() -> None:
    keep(
        request_record(
            duration_ms=100.0,
            attempts=(
                attempt_record(
                    started_ms=0.0, headers_ms=None, content_ms=None, ended_ms=50.0,
                    fault="timeout", status=None,
                ),
                attempt_record(started_ms=50.0, headers_ms=60.0, content_ms=75.0, ended_ms=None),
            ),
        )
    )  # fmt: skip
    trail = trail_of(RequestRecord.objects.get())

    assert [words for _, words in trail.ticks] == ["0.0 ms", "25 ms", "50 ms", "75 ms", "100 ms"]
    failed, running = trail.calls
    assert [(bar.left, bar.width) for bar in failed.bars] == [("0.00%", "50.00%")]
    assert [(bar.left, bar.width) for bar in running.bars] == [
        ("50.00%", "10.00%"), ("60.00%", "15.00%"), ("75.00%", "25.00%"),
    ]  # fmt: skip
    assert failed.verdict == "timeout"
    assert running.verdict == "given up: the request ended first"


def test_a_call_says_whether_it_was_called_off_and_what_was_pretended() -> None:
    keep(
        request_record(
            attempts=(
                attempt_record(fault="hedged", content_ms=None),
                attempt_record(is_hedge=True),
                attempt_record(fault="status", status=503, simulated="status:503"),
            ),
        )
    )
    lost, won, pretended = trail_of(RequestRecord.objects.get()).calls

    assert (lost.verdict, lost.is_good) == ("called off: the one beside it was first", True)
    assert (won.verdict, won.is_good) == ("answered (hedge)", True)
    assert pretended.verdict == "status 503 (simulated: status:503)"
    assert not pretended.is_good


def test_the_paginator_counts_up_to_its_bound() -> None:
    class Sooner(BoundedPaginator):
        most = 5

    keep(*[request_record() for _ in range(8)])

    bounded = Sooner(RequestRecord.objects.all(), 2)
    assert (bounded.count, bounded.said) == (5, "more than 5")
    RequestRecord.objects.filter(pk__in=RequestRecord.objects.values("pk")[:3]).delete()
    bounded = Sooner(RequestRecord.objects.all(), 2)
    assert (bounded.count, bounded.said) == (5, "5")
