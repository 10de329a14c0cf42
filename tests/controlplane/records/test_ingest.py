"""Spools into the database: every record, once, whatever dies in between."""

from __future__ import annotations

import os
import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from django.db import connection

from controlplane.records.ingest import BATCH, Ingester
from controlplane.records.models import RequestRecord
from failover.engine.plan import Inputs, Standing
from routing.gateway.ingress import new_id
from routing.gateway.records.aside import KEPT_FILES, count_aside
from routing.gateway.records.record import COLUMNS, OWN_PREFIX, Detail, RejectedRecord, row_of
from routing.gateway.records.spool import SPOOL_DIR, SpoolWriter, spool_files
from tests.support.builders import attempt_record, request_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db


@pytest.fixture
def spool(tmp_path: Path) -> SpoolWriter:
    return SpoolWriter(tmp_path / SPOOL_DIR, worker="1")


@pytest.fixture
def ingester(tmp_path: Path) -> Ingester:
    return Ingester(tmp_path)


def left(tmp_path: Path) -> list[Path]:
    return list(spool_files(tmp_path / SPOOL_DIR))


def test_a_row_says_what_the_record_said(spool: SpoolWriter, ingester: Ingester) -> None:
    record = request_record(
        request_id="tab\tline\nback\\slash\\N ü",
        requested_model='quote"\\d',
        failover=True,
        fallback_target="gpt-4o",
        stream=True,
        first_content_ms=10.125,
        input_tokens=2**52,
        user_path="tab\tline\nback\\slash\\N ü",
        needs=("streaming", "tools"),
        session="a1b2",
        planned=("one/m", "two/m"),
        rejected=(RejectedRecord(candidate="three/m", reason="benched"),),
        inputs=Inputs(
            standings={"one/m": Standing(half_open=True, returns_in_s=0.1), "two/m": Standing()},
            counters={"gpt": {"one/m": -2, "two/m": 2}},
            draws=(0.1, 1 / 3),
            pin="two/m",
        ),
        attempts=(attempt_record(fault="status", message='a "word"\n\tü', content_ms=None),),
    )
    spool.write([record])
    spool.close()

    assert ingester.round() == 1
    row = RequestRecord.objects.get()

    assert row.id.hex == record.id
    for name in set(COLUMNS) - {"id", "detail"}:
        assert getattr(row, name) == getattr(record, name), name
    assert row.told == record.detail


def test_a_request_id_of_ours_is_the_records_own_and_takes_no_room(
    spool: SpoolWriter, ingester: Ingester
) -> None:
    made = new_id().decode()
    ours = request_record(id=made.removeprefix(OWN_PREFIX), request_id=made)
    repeated = request_record(request_id=made)  # a caller sent it back to us
    spool.write([ours, repeated])
    spool.close()
    ingester.round()

    first, second = (RequestRecord.objects.get(pk=record.id) for record in (ours, repeated))
    assert (first.request_id, first.public_id) == ("", made)
    assert (second.request_id, second.public_id) == (made, made)


def test_the_time_of_a_record_is_in_its_id(spool: SpoolWriter, ingester: Ingester) -> None:
    at_ms = 1_800_000_000_123
    spool.write([request_record(id=f"{at_ms:012x}7abca123456789abcdef")])
    spool.close()
    ingester.round()

    row = RequestRecord.objects.get()
    assert row.started_at == datetime.fromtimestamp(1_800_000_000, UTC) + timedelta(
        milliseconds=123
    )
    assert RequestRecord.first_id_at(row.started_at).int >> 80 == at_ms


def test_a_row_of_an_earlier_version_lacks_only_what_it_could_not_know(
    ingester: Ingester, tmp_path: Path
) -> None:
    record = request_record()
    body = msgspec.msgpack.encode([row_of(record)[:-3]])
    (tmp_path / SPOOL_DIR).mkdir()
    (tmp_path / SPOOL_DIR / "0-old.msgpack").write_bytes(
        struct.pack(">II", len(body), zlib.crc32(body)) + body
    )
    ingester.round()

    row = RequestRecord.objects.get()
    assert (row.id.hex, row.provider) == (record.id, "one")
    assert (row.cost_usd, row.generation, row.told) == (None, None, Detail())


def test_model_and_row_have_the_same_fields_in_the_same_order() -> None:
    assert [field.name for field in RequestRecord._meta.fields] == list(COLUMNS)


def test_a_file_goes_when_its_records_are_committed(
    spool: SpoolWriter, ingester: Ingester, tmp_path: Path
) -> None:
    count = 2 * BATCH + 3
    spool.write([request_record() for _ in range(count)])
    being_written = left(tmp_path)
    at_first = ingester.round()
    spool.close()

    assert len(being_written) == 1
    assert (at_first, ingester.round()) == (0, count)
    assert RequestRecord.objects.count() == count
    assert left(tmp_path) == []


def test_records_that_are_there_already_are_not_there_twice(
    spool: SpoolWriter, ingester: Ingester
) -> None:
    records = [request_record() for _ in range(10)]
    for part in (records[:6], records):  # as when it died after the commit
        spool.write(part)
        spool.close()
        ingester.round()

    assert ingester.error == ""
    assert sorted(row.id.hex for row in RequestRecord.objects.all()) == [r.id for r in records]


def test_one_request_id_may_have_many_records(spool: SpoolWriter, ingester: Ingester) -> None:
    spool.write([request_record(request_id="mine") for _ in range(3)])
    spool.close()
    ingester.round()

    assert RequestRecord.objects.filter(request_id="mine").count() == 3


def test_a_torn_end_loses_only_itself(
    spool: SpoolWriter, ingester: Ingester, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool.write([request_record()])
    spool.write([request_record()])
    spool.close()
    [path] = left(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])

    ingester.round()

    assert RequestRecord.objects.count() == 1
    assert left(tmp_path) == []
    assert "bytes were torn" in caplog.text


def test_a_character_that_the_database_cannot_hold_costs_itself_and_no_record(
    spool: SpoolWriter, ingester: Ingester
) -> None:
    odd = request_record(
        request_id="odd", requested_model="a\0b", attempts=(attempt_record(model="m\0n"),)
    )
    spool.write([request_record(), odd, request_record()])
    spool.close()
    ingester.round()

    assert ingester.error == ""
    row = RequestRecord.objects.get(request_id="odd")
    gone = "" if connection.vendor == "postgresql" else "\0"
    assert row.requested_model == f"a{gone}b"
    assert row.told.attempts[0].model == "m\0n"  # escaped, as JSON has it
    assert RequestRecord.objects.count() == 3


def test_purging_takes_what_is_older_and_nothing_else(
    spool: SpoolWriter, ingester: Ingester
) -> None:
    spool.write([request_record() for _ in range(6)])
    spool.close()
    ingester.round()
    rows = list(RequestRecord.objects.order_by("id"))

    assert RequestRecord.purge(rows[2].started_at) == 2
    assert list(RequestRecord.objects.order_by("id")) == rows[2:]


# One bad file stops nothing.


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _link(path: Path) -> None:
    secret = path.parent.parent / "elsewhere"
    secret.write_bytes(b"not ours")
    path.symlink_to(secret)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _nonsense(path: Path) -> None:
    path.write_bytes(b"\xff" * 100)


def _not_rows(path: Path) -> None:
    body = msgspec.msgpack.encode([{"id": 1}, "x"])
    path.write_bytes(struct.pack(">II", len(body), zlib.crc32(body)) + body)


BAD = [_folder, _loop, _link, _pipe, _nonsense, _not_rows]


@pytest.mark.parametrize("suffix", [".msgpack", ".captured"])
@pytest.mark.parametrize("make", BAD)
def test_what_is_no_file_of_records_is_put_aside_and_the_rest_goes_on(
    tmp_path: Path,
    spool: SpoolWriter,
    ingester: Ingester,
    make: Callable[[Path], None],
    suffix: str,
) -> None:
    (tmp_path / SPOOL_DIR).mkdir()
    bad = tmp_path / SPOOL_DIR / f"0000000000001-1-1-1{suffix}"
    make(bad)
    spool.write([request_record()])
    spool.close()

    assert ingester.round() == 1
    assert ingester.error == ""
    assert left(tmp_path) == []
    assert spool.set_aside == 1
    assert not bad.is_symlink()
    assert not bad.exists()
    if make is _link:
        assert (tmp_path / "elsewhere").read_bytes() == b"not ours"


@pytest.mark.parametrize("make", BAD)
def test_recording_goes_on_beside_it(
    tmp_path: Path, spool: SpoolWriter, make: Callable[[Path], None]
) -> None:
    (tmp_path / SPOOL_DIR).mkdir()
    make(tmp_path / SPOOL_DIR / "0000000000001-1-1-1.msgpack")
    assert spool.write([request_record()]) > 0


def test_a_row_that_no_database_takes_costs_itself_alone(
    spool: SpoolWriter, ingester: Ingester
) -> None:
    spool.write([request_record(id="no uuid"), request_record()])
    spool.close()

    ingester.round()
    assert ingester.error == ""
    assert RequestRecord.objects.count() == 1


def test_only_the_latest_are_kept_aside(tmp_path: Path, ingester: Ingester) -> None:
    (tmp_path / SPOOL_DIR).mkdir()
    for number in range(KEPT_FILES + 5):
        _nonsense(tmp_path / SPOOL_DIR / f"{number:013d}-1-1-1.msgpack")
    ingester.round()
    assert count_aside(tmp_path / SPOOL_DIR) == KEPT_FILES
