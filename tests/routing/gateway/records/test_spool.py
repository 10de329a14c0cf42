"""Spool files: whole frames or none, one owner at a time, and no more than the disk may hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from routing.gateway.records.record import COLUMNS, row_of
from routing.gateway.records.spool import SpoolRefused, SpoolWriter, read_frames, spool_files, take
from tests.support.builders import attempt_record, request_record
from tests.support.gateways import ROOT

WRITER = dedent(
    """\
    import resource, sys
    from pathlib import Path
    from routing.gateway.records.spool import SpoolRefused, SpoolWriter
    from tests.support.builders import request_record

    folder, limit = Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = SpoolWriter(folder, worker="1")
    written = 0
    try:
        for _ in range(200):
            writer.write([request_record()])
            written += 1
    except SpoolRefused as error:
        print(error)
    print(written, flush=True)
    if not limit:
        sys.stdin.read()
    """
)


def start_writer(folder: Path, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(limit)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def writer(tmp_path: Path) -> SpoolWriter:
    return SpoolWriter(tmp_path / "spool", worker="1")


def only_file(writer_or_folder: SpoolWriter | Path) -> Path:
    folder = writer_or_folder if isinstance(writer_or_folder, Path) else writer_or_folder._folder
    [path] = spool_files(folder)
    return path


def test_what_is_written_is_what_is_read_in_order(writer: SpoolWriter) -> None:
    failed = attempt_record(fault="status", message="busy: \x00 …", content_ms=None)
    records = [request_record(attempts=(failed, attempt_record())) for _ in range(5)]

    writer.write(records[:2])
    writer.write(records[2:])
    writer.close()
    taken = take(only_file(writer))

    assert taken is not None
    assert taken.read() == (list(map(row_of, records)), 0)
    taken.release()


def test_a_name_that_utf_8_cannot_hold_costs_no_record(writer: SpoolWriter) -> None:
    odd = request_record(
        requested_model="m\ud800",
        attempts=(attempt_record(message="\udfff", content_ms=None),),
        planned=("a/m\ud800",),
    )
    records = [request_record(), odd, request_record()]

    writer.write(records)
    writer.close()
    taken = take(only_file(writer))

    assert taken is not None
    rows, _ = taken.read()
    assert [row[0] for row in rows] == [record.id for record in records]
    assert rows[1][COLUMNS.index("requested_model")] == "m\\ud800"
    assert "a/m\\\\ud800" in rows[1][-1]
    taken.release()


def test_a_file_and_its_folder_are_for_the_owner_alone(writer: SpoolWriter) -> None:
    writer.write([request_record()])

    path = only_file(writer)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_being_written_cannot_be_taken(writer: SpoolWriter) -> None:
    writer.write([request_record()])
    while_open = take(only_file(writer))
    writer.close()
    closed = take(only_file(writer))

    assert while_open is None
    assert closed is not None
    assert take(only_file(writer)) is None  # one taker at a time
    closed.release()


def test_the_file_of_a_worker_that_was_killed_can_be_taken(tmp_path: Path) -> None:
    process = start_writer(tmp_path)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "200\n"
        assert take(only_file(tmp_path)) is None
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    taken = take(only_file(tmp_path))
    assert taken is not None
    records, lost = taken.read()
    taken.release()
    assert (len(records), lost) == (200, 0)


def test_a_torn_end_costs_only_the_frame_that_it_tore(writer: SpoolWriter) -> None:
    records = [request_record() for _ in range(3)]
    for record in records:
        writer.write([record])
    raw = only_file(writer).read_bytes()
    ends = [index for index in range(len(raw) + 1) if not read_frames(raw[:index])[1]]

    assert len(ends) == 4  # nothing, and after each of the three
    for size in range(len(raw)):
        whole = sum(end <= size for end in ends) - 1
        found, lost = read_frames(raw[:size])
        assert found == list(map(row_of, records[:whole]))
        assert lost == size - ends[whole]


def test_a_frame_that_was_altered_is_left_out_and_the_next_is_read(writer: SpoolWriter) -> None:
    first, second = request_record(), request_record()
    size = writer.write([first])
    writer.write([second])
    raw = bytearray(only_file(writer).read_bytes())
    raw[size - 3] ^= 0xFF

    assert read_frames(bytes(raw)) == ([row_of(second)], size)


def test_foreign_bytes_are_no_records() -> None:
    for raw in (b"\0", b"\0" * 100, b"not a spool file at all, but a text", os.urandom(500)):
        assert read_frames(raw) == ([], len(raw))


def test_the_budget_keeps_what_is_there_and_refuses_what_comes(tmp_path: Path) -> None:
    budget = 4_000
    writer = SpoolWriter(tmp_path, worker="1", budget_bytes=budget)
    other = SpoolWriter(tmp_path, worker="2", budget_bytes=budget)
    sizes = [writer.write([request_record()]) for _ in range(10)]
    with pytest.raises(SpoolRefused, match="4000 bytes"):
        writer.write([request_record() for _ in range(40)])
    writer.close()

    with pytest.raises(SpoolRefused, match="4000 bytes"):
        other.write([request_record() for _ in range(40)])
    assert sum(path.stat().st_size for path in spool_files(tmp_path)) == sum(sizes) <= budget

    for path in spool_files(tmp_path):
        path.unlink()
    assert writer.write([request_record()])


def test_a_disk_that_is_full_takes_whole_frames_only(tmp_path: Path) -> None:
    """The kernel's limit for a file stands in for the disk's: it takes a part as well."""
    process = start_writer(tmp_path, limit=3000)
    out, _ = process.communicate(timeout=20)
    why, written = out.splitlines()

    assert "File too large" in why
    records, lost = read_frames(only_file(tmp_path).read_bytes())
    assert (len(records), lost) == (int(written), 0)
    assert int(written) > 1


def test_a_folder_that_cannot_be_made_refuses_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")

    with pytest.raises(SpoolRefused, match="File exists"):
        SpoolWriter(tmp_path / "spool", worker="1").write([request_record()])


def test_an_old_file_is_given_away_though_nothing_comes_after_it(writer: SpoolWriter) -> None:
    writer.write([request_record()])
    writer._opened_at -= 1

    writer.write([])

    assert not writer.is_open
    taken = take(only_file(writer))
    assert taken is not None
    taken.release()
