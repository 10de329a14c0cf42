"""Benches that are over: who, why, how long, and what ended them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from msgspec.structs import replace

from controlplane.benches.remembered import past
from controlplane.benches.store import PRUNE_EVERY_S, BenchStore
from failover.engine.bench_entries import BenchEntry, by_hand, released
from failover.models import BenchRecord
from tests.support.builders import WALL, bench_entry

pytestmark = pytest.mark.django_db


class Table:
    """What a host writes, by a clock that is told."""

    def __init__(self) -> None:
        self.now = WALL
        self.host = BenchStore("one", wall=lambda: self.now)

    def write(self, *entries: BenchEntry, after_s: float = 0.0) -> None:
        self.now += after_s
        self.host.exchange(entries, lambda: entries)

    def told(self, after_s: float = 0.0) -> list[tuple[str, str, str]]:
        self.now += after_s
        found = past(datetime.fromtimestamp(self.now, UTC))
        return [(one.row.subject, one.lasted, one.ending) for one in found]


def test_a_bench_of_traffic_is_one_however_often_its_trials_fail_and_ends_with_an_answer():
    table = Table()
    first = bench_entry(starts=(WALL,), status=503, request_id="r1", sample_error="\x00 busy")
    again = replace(first, since=WALL + 70, until=WALL + 190, count=2, request_id="r2")
    table.write(first)
    table.write(again, after_s=70)
    assert table.told() == []
    table.write(released(again, WALL + 200), after_s=130)
    assert table.told() == [("one/m", "3 min 20 s", "it answered again")]
    row = BenchRecord.objects.get()
    assert (row.count, row.request_id, row.status, row.by) == (2, "r2", 503, "")
    assert row.sample_error == " busy"  # a database may hold no NUL


def test_an_operators_word_is_told_with_who_and_why():
    table = Table()
    entry = by_hand(None, bench_entry(reason="invoice", by="ada", until=WALL + 3600), WALL)
    table.write(entry)
    table.write(released(entry, WALL + 60, by="bob", reason="paid"), after_s=60)
    assert table.told() == [("one/m", "1 min", "released by bob: paid")]
    row = BenchRecord.objects.get()
    assert (row.by, row.reason, row.manual) == ("ada", "invoice", True)


def test_a_release_without_a_reason_and_an_edit_of_the_provider_say_no_more_than_that():
    table = Table()
    one, two = bench_entry(starts=(WALL,)), bench_entry("two/m", starts=(WALL,))
    table.write(one, two)
    table.write(released(one, WALL, by="ada"), released(two, WALL, by=""), after_s=5)
    assert sorted(ending for _, _, ending in table.told()) == [
        "its provider was edited", "released by ada",
    ]  # fmt: skip


def test_what_time_ends_and_what_a_later_word_replaces():
    table = Table()
    short = by_hand(None, bench_entry(by="ada", until=WALL + 60), WALL)
    table.write(short)
    longer = by_hand(short, bench_entry(by="bob", reason="more", until=WALL + 99), WALL + 30)
    table.write(longer, after_s=30)
    assert table.told() == [("one/m", "30 s", "another bench by bob: more")]
    assert [ending for _, _, ending in table.told(after_s=70)] == [
        "its time was over", "another bench by bob: more",
    ]  # fmt: skip
    untried = bench_entry("two/m", since=WALL + 100, until=WALL + 110)
    table.write(untried)
    assert len(table.told(after_s=60)) == 2  # half-open: it is on the board still
    assert ("two/m", "10 s", "nobody tried it again") in table.told(after_s=3600)


def test_of_two_hosts_one_writes_it():
    table, other = Table(), BenchStore("two", wall=lambda: WALL + 5)
    entry = bench_entry(starts=(WALL,))
    table.write(entry)
    other.exchange([entry], lambda: [entry])
    ended = released(entry, WALL + 5)
    table.write(ended, after_s=5)
    other.exchange([ended], lambda: [ended])
    assert table.told() == [("one/m", "5 s", "it answered again")]


def test_they_are_kept_for_a_day():
    table = Table()
    entry = bench_entry(starts=(WALL,))
    table.write(entry)
    table.write(released(entry, WALL), after_s=10)
    assert len(table.told(after_s=86_000)) == 1
    assert table.told(after_s=1000) == []
    table.write(after_s=PRUNE_EVERY_S)
    assert not BenchRecord.objects.exists()


def test_the_board_shows_them(admin_client):
    now = timezone.now()
    BenchRecord.objects.create(
        place="p", epoch=1, subject="one/m", credential="main", manual=False, by="",
        reason="rate_limited", status=429, sample_error="<slow>", request_id="req_9", count=3,
        began_at=now - timedelta(minutes=5), until=now, ended_at=now - timedelta(minutes=1),
        ending="released", ended_by="bob", ended_reason="enough",
    )  # fmt: skip
    page = admin_client.get("/admin/failover/bench/").content.decode()
    for words in (
        "credential main, at this model", "rate limited, status 429; 3 times", "&lt;slow&gt;",
        "released by bob: enough", "4 min", "?q=req_9",
    ):  # fmt: skip
        assert words in page
    rows = admin_client.get("/admin/failover/bench/rows/").json()
    assert "past" not in rows
    assert "released by bob" in admin_client.get("/admin/failover/bench/rows/?past").json()["past"]


def test_what_is_wrong_stands_at_its_field(admin_client):
    form = {"act": "bench", "model": "no-slash", "for_s": "600", "reason": ""}
    answer = admin_client.post("/admin/failover/bench/", form)
    assert answer.status_code == 200
    errors = answer.context["form"].errors
    assert "is not allowed: write" in errors["model"][0]
    assert errors["reason"]
    assert 'value="no-slash"' in answer.content.decode()
    told = admin_client.post("/admin/failover/bench/", form, headers={"accept": "application/json"})
    assert set(told.json()["errors"]) == {"model", "reason"}
    assert not told.json()["is_good"]
