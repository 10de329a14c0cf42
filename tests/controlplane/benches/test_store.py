"""Benches in the database: two hosts at one table."""

from __future__ import annotations

import random
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from msgspec.structs import replace

from controlplane.benches.store import BenchStore, readers, versions_of
from failover.engine.bench_entries import BenchEntry, newer, released
from failover.models import Bench, BenchVersion
from tests.support.builders import WALL, bench_entry

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


class Wall:
    def __init__(self) -> None:
        self.now = WALL

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def host(wall: Wall) -> Callable[[str], Host]:
    return lambda name: Host(name, wall)


class Host:
    """A store, and the board that it serves."""

    def __init__(self, name: str, wall: Wall) -> None:
        self.store = BenchStore(name, wall=wall)
        self.board: dict[Any, BenchEntry] = {}
        self.round()

    def round(self, *ours: BenchEntry) -> None:
        self._merge(ours)
        self._merge(self.store.exchange(ours, lambda: list(self.board.values())))

    def _merge(self, entries: Any) -> None:
        for entry in entries:
            self.board[entry.place] = newer(self.board.get(entry.place), entry)


def test_what_one_host_puts_in_the_other_reads_once(host):
    first, second = host("first"), host("second")
    entry = bench_entry(credential="main", sample_error="\x00 401", starts=(WALL,), status=401)
    first.round(entry)
    second.round()
    assert list(second.board.values()) == [entry]
    first.round()
    assert second.store.exchange([], list) == []


def test_a_late_writer_neither_ends_a_bench_nor_revives_one(host):
    first, second = host("first"), host("second")
    old = bench_entry(until=WALL + 100)
    longer, ended = replace(old, until=WALL + 300), released(old, WALL, by="me")
    first.round(longer)
    second.round(old)
    assert list(host("third").board.values()) == [longer]
    first.round(ended)
    second.round(longer)
    assert list(host("fourth").board.values()) == [ended]


def test_operators_and_traffic_have_a_row_each(host):
    first = host("first")
    first.round(bench_entry(), bench_entry(manual=True, until=WALL + 10))
    assert Bench.objects.count() == 2
    assert len(host("second").board) == 2


def test_what_failed_to_be_written_goes_in_with_the_next_exchange(host):
    first = host("first")
    with connection.execute_wrapper(no_bench_is_written), pytest.raises(OperationalError):
        first.round(bench_entry())
    first.round()
    assert len(host("second").board) == 1


def no_bench_is_written(execute, sql, params, many, context):
    if sql.startswith(("INSERT", "UPDATE")) and f'"{Bench._meta.db_table}"' in sql:
        raise OperationalError("away")
    return execute(sql, params, many, context)


def test_another_database_gets_all_that_a_host_knows(host):
    first = host("first")
    first.round(bench_entry())
    first.round(bench_entry("two/m"))
    first.round()
    Bench.objects.all().delete()
    BenchVersion.objects.update(value=0)
    first.round()
    assert len(host("second").board) == 2


def test_rows_go_an_hour_after_the_end_of_what_they_tell(host, wall):
    first = host("first")
    first.round(bench_entry(until=WALL + 60), bench_entry("two/m", until=WALL + 7200))
    wall.now = WALL + 3661
    first.round()
    assert [e.subject for e in host("second").board.values()] == ["two/m"]
    first.round(bench_entry(until=WALL + 60, epoch=7))
    assert Bench.objects.count() == 1


def test_a_row_that_cannot_be_read_hides_no_other(host, caplog):
    first = host("first")
    first.round(bench_entry(), bench_entry("two/m"))
    row = Bench.objects.first()
    row.entry = '{"subject": 1}'
    row.save()
    assert len(host("second").board) == 1
    assert "cannot be read" in caplog.text


def test_hosts_say_how_far_they_have_come_until_they_leave_or_fall_silent(host, wall):
    first, second = host("first"), host("second")
    first.round(bench_entry())
    first.round()
    for one in (first, second):
        one.store.tell(one.store.version, 2)
    (version,) = versions_of(first.board).values()
    seen = {h.host: h.version >= version for h in readers(wall.now)}
    assert seen == {"first": True, "second": False}
    second.round()
    second.store.tell(second.store.version, 2)
    assert [h.version >= version for h in readers(wall.now)] == [True, True]
    second.store.leave()
    assert [h.host for h in readers(wall.now)] == ["first"]
    assert readers(wall.now + 60) == []


@pytest.mark.parametrize("seed", range(5))
def test_hosts_that_write_in_any_order_end_up_with_the_same(seed, host):
    dice = random.Random(seed)
    entries = [
        bench_entry(
            dice.choice(["one/m", "two/m"]),
            until=WALL + dice.choice([10, 20]),
            epoch=dice.randrange(3),
            released=dice.random() < 0.5,
            manual=dice.random() < 0.5,
            reason=dice.choice("ab"),
        )
        for _ in range(24)
    ]
    hosts = [host("first"), host("second"), host("third")]
    for entry in entries:
        dice.choice(hosts).round(entry)
    for one in hosts * 2:
        one.round()
    places = {entry.place for entry in entries}
    expected = {p: reduce(newer, [e for e in entries if e.place == p]) for p in places}
    assert [one.board for one in hosts] == [expected] * 3
