"""Requests in admin: chips that choose, errors grouped, a table for other programs, the page."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.records.grouped import errors_of
from controlplane.records.ingest import store
from controlplane.records.models import SLOW_MS, RequestRecord
from controlplane.records.table import as_csv, plain
from routing.gateway.records.record import row_of
from tests.support import rows
from tests.support.builders import attempt_record, request_record

if TYPE_CHECKING:
    from django.test import Client

    from routing.gateway.records import record as records

pytestmark = pytest.mark.django_db

LIST = "/admin/controlplane/requestrecord/"
ERRORS, CSV = f"{LIST}errors/", f"{LIST}csv/"


def keep(*made: records.RequestRecord) -> None:
    store([row_of(record) for record in made])


@pytest.fixture
def page(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def shown(page: Client, **query: Any) -> str:
    answer = page.get(LIST, query)
    assert answer.status_code == 200
    return answer.content.decode()


def found(page: Client, **query: Any) -> list[str]:
    """The ids that the list shows."""
    return re.findall(r'data-copy="([^"]+)"', shown(page, **query))


def failed(provider: str, status: int = 503, **changes: Any) -> Any:
    fields = {"status": status, "fault": "status", "content_ms": None, "message": "overloaded"}
    return attempt_record(provider=provider, **{**fields, **changes})


def world() -> None:
    keep(
        request_record(request_id="plain"),
        request_record(request_id="gone", outcome="unavailable", status=503, provider="", model=""),
        request_record(request_id="broken", outcome="interrupted", team="search", key="k2"),
        request_record(request_id="moved", failover=True, provider="two", canonical_model="big"),
        request_record(request_id="late", first_content_ms=float(SLOW_MS)),
        request_record(request_id="refused", outcome="refused", status=429, provider="", model=""),
    )


# The list


def test_a_row_tells_status_first_token_tokens_cost_and_team(page: Client) -> None:
    keep(
        request_record(
            request_id="req_01a220e345327d3fa000000000030d3f",
            status=201,
            team="search",
            first_content_ms=31.0,
            input_tokens=1204,
            output_tokens=88,
            cost_usd=0.00829,
            calls=2,
            failover=True,
        )
    )
    text = shown(page)
    for words in ("…00030d3f", ">201<", "31 ms", "1,204, 88", "$0.00829", "search", "2, failover"):
        assert words in text
    assert found(page) == ["req_01a220e345327d3fa000000000030d3f"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"outcome": "errors"}, ["broken", "gone"]),
        ({"outcome": "refused"}, ["refused"]),
        ({"failover": "True"}, ["moved"]),
        ({"slow": "True"}, ["late"]),
        ({"team": "search"}, ["broken"]),
        ({"key": "k2"}, ["broken"]),
        ({"canonical_model": "big"}, ["moved"]),
        ({"provider": "two"}, ["moved"]),
        ({"key": "team-a", "outcome": "errors"}, ["gone"]),
        ({"outcome": "", "key": ""}, ["refused", "late", "moved", "broken", "gone", "plain"]),
    ],
)
def test_what_stands_in_the_address_chooses(
    page: Client, query: dict[str, str], ids: list[str]
) -> None:
    world()
    assert found(page, **query) == ids


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"slow": "True"}, "request_slow"),
        ({"team": "search"}, "request_by_team"),
        ({"outcome": "errors"}, "request_not_answered"),
    ],
)
def test_each_choice_has_its_index(page: Client, query: dict[str, str], index: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL scans a table as small as this one")
    with CaptureQueriesContext(connection) as queries:
        shown(page, **query)
    asked = [q["sql"] for q in queries if "detail" in q["sql"] and "requestrecord" in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked[0]}")
        assert any(f"INDEX {index}" in row[3] for row in cursor.fetchall())


def test_chips_turn_on_and_off_and_keep_the_others(page: Client) -> None:
    text = shown(page, key="k2", last="1440", outcome="errors")
    assert 'href="?key=k2&amp;last=1440" aria-current="true"' in text  # failed, off again
    assert 'href="?key=k2&amp;last=1440&amp;outcome=errors&amp;slow=True"' in text
    assert 'href="?last=1440&amp;outcome=errors" aria-label="Without key: k2"' in text
    assert 'href="?key=k2&amp;outcome=errors" aria-label="Without last day"' in text
    for target in ("errors", "csv"):
        assert f"{LIST}{target}/?key=k2&amp;last=1440&amp;outcome=errors" in text
    assert 'aria-label="Without' not in shown(page)


def test_the_list_takes_the_same_queries_however_long_it_is(page: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(page)
        return len(queries)

    world()
    few = asked()
    keep(*[request_record() for _ in range(60)])
    assert asked() == few <= 12


# The page of one


def test_the_page_says_what_there_is_and_links_key_pool_and_provider(page: Client) -> None:
    key, pool = rows.api_key("team-a", "sy_key"), rows.pool("gpt", "one/m")
    provider = rows.provider("one")
    keep(request_record(failover=False))
    text = page.get(f"{LIST}{RequestRecord.objects.get().pk}/change/").content.decode()
    for kind, row in (
        ("controlplane/apikey", key), ("routing/canonicalmodel", pool),
        ("providers/provider", provider),
    ):  # fmt: skip
        assert f'href="/admin/{kind}/{row.pk}/change/"' in text
    values = re.findall(r'<div class="readonly[^>]*>(.*?)</div>', text, re.DOTALL)
    assert "no" in [value.strip() for value in values]
    assert not [value for value in values if value.strip() in ("-", "")]
    assert "close_small" not in text
    assert "Cached tokens" not in text


# Errors grouped


def test_errors_are_grouped_by_what_and_whose_with_whom_they_hit() -> None:
    twice = (failed("alpha"), failed("alpha"), attempt_record())
    keep(
        request_record(request_id="first", key="k1", canonical_model="small", attempts=twice),
        request_record(
            request_id="last", key="k2", canonical_model="big", outcome="failed",
            attempts=(failed("alpha"), failed("beta", 429, fault="rate_limited", message="slow")),
        ),
        request_record(
            request_id="ours", outcome="refused", status=429, code="rate_limit_exceeded",
            attempts=(),
        ),
        request_record(attempts=(attempt_record(fault="hedged"), attempt_record())),
        request_record(outcome="abandoned", attempts=()),
        request_record(),
    )  # fmt: skip
    found = errors_of(RequestRecord.objects.all())
    told = {f"{g.what} from {g.who}": (g.times, g.requests) for g in found.groups}
    assert told == {
        "503 from alpha": (3, 2),
        "429 rate limited from beta": (1, 1),
        "429 rate limit exceeded from this gateway": (1, 1),
    }
    alpha = found.groups[0]
    by_id = {row.request_id: row for row in RequestRecord.objects.all()}
    assert (alpha.first, alpha.last) == (by_id["first"].started_at, by_id["last"].started_at)
    assert alpha.newest == by_id["last"].pk
    assert (alpha.keys, alpha.pools) == ({"k1": 1, "k2": 1}, {"small": 1, "big": 1})
    assert alpha.message == "overloaded"
    assert found.is_all


def test_of_many_only_the_newest_are_looked_at_and_that_is_said() -> None:
    keep(*[request_record(outcome="failed", attempts=(failed("alpha"),)) for _ in range(5)])
    found = errors_of(RequestRecord.objects.all(), most=3)
    assert (found.requests, found.is_all, found.groups[0].times) == (3, False, 3)


def test_the_errors_page_is_of_what_the_list_shows(page: Client) -> None:
    keep(
        request_record(key="k1", outcome="failed", attempts=(failed("alpha"),)),
        request_record(key="k2", outcome="failed", attempts=(failed("be<ta"),)),
    )
    assert f'href="{ERRORS}?key=k2"' in shown(page, key="k2")
    text = page.get(ERRORS, {"key": "k2"}).content.decode()
    assert "503 from be&lt;ta" in text
    assert "alpha" not in text
    assert f'href="{LIST}?key=k2"' in text
    assert "1 request met an error, in 1 kind." in text
    assert "No request met an error." in page.get(ERRORS, {"key": "k3"}).content.decode()


def test_an_address_that_asks_for_nonsense_is_refused(page: Client) -> None:
    for path in (ERRORS, CSV):
        assert page.get(path, {"nonsense": "1"}).status_code == 400


# CSV


def table(page: Client, **query: Any) -> list[dict[str, str]]:
    answer = page.get(CSV, query)
    assert answer["content-type"].startswith("text/csv")
    assert "attachment" in answer["content-disposition"]

    async def whole() -> str:
        return b"".join([part async for part in answer]).decode()  # type: ignore[attr-defined]

    return list(csv.DictReader(async_to_sync(whole)().splitlines()))


def test_the_table_has_what_is_chosen_newest_first(page: Client) -> None:
    world()
    made = table(page, outcome="errors")
    assert [row["request_id"] for row in made] == ["broken", "gone"]
    assert made[0]["team"] == "search"
    assert datetime.fromisoformat(made[0]["started_at"]).tzinfo == UTC
    assert len(table(page)) == 6


def test_no_cell_is_a_formula(page: Client) -> None:
    keep(request_record(request_id='=HYPERLINK("x")', key="@key", team="+1", canonical_model="-m"))
    [row] = table(page)
    assert row["request_id"] == '\'=HYPERLINK("x")'
    assert (row["key"], row["team"], row["canonical_model"]) == ("'@key", "'+1", "'-m")
    assert [plain(value) for value in ("a=b", -1.5, None)] == ["a=b", -1.5, None]


def test_it_comes_in_pieces_and_ends_at_its_bound() -> None:
    keep(*[request_record(request_id=f"r{n}") for n in range(7)])

    async def pieces(most: int) -> list[str]:
        rows = RequestRecord.objects.all()
        return [piece async for piece in as_csv(rows, most=most, at_once=2)]

    head, *parts = async_to_sync(pieces)(5)
    assert head.startswith("started_at,request_id,outcome")
    ids = [[line.split(",")[1] for line in part.splitlines()] for part in parts]
    assert ids == [["r6", "r5"], ["r4", "r3"], ["r2"]]
    assert len(async_to_sync(pieces)(100)) == 1 + 4


def test_rights_are_those_of_the_list(client: Client) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    client.force_login(user)
    assert [client.get(path).status_code for path in (LIST, ERRORS, CSV)] == [403, 403, 403]
    user.user_permissions.add(Permission.objects.get(codename="view_requestrecord"))
    assert [client.get(path).status_code for path in (LIST, ERRORS)] == [200, 200]
    assert table(client) == []
