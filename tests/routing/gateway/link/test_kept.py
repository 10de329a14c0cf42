"""What providers keep for callers, as it lies on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from routing.gateway.deciding.affinity import STATE, PinEntry
from routing.gateway.deciding.binding import KEPT_S
from routing.gateway.link.kept import KEPT_FILE, append_kept, read_kept, write_kept

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.pure


def entry(session: int, candidate: str = "a/main", used_at: float = 1e9) -> PinEntry:
    return PinEntry(pool=STATE, session=session, candidate=candidate, used_at=used_at, ttl_s=KEPT_S)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    old = [entry(1), entry(2**64 - 1, "b/a label/with more", 1e9 + 0.125)]
    write_kept(tmp_path, old)
    append_kept(tmp_path, [entry(3)])

    assert read_kept(tmp_path) == [*old, entry(3)]
    assert (tmp_path / KEPT_FILE).stat().st_mode & 0o777 == 0o600


def test_without_the_file_nothing_is_known_and_the_first_word_makes_it(tmp_path: Path) -> None:
    assert read_kept(tmp_path) == []
    append_kept(tmp_path, [entry(1)])
    assert read_kept(tmp_path) == [entry(1)]
    assert (tmp_path / KEPT_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "line", ["", "x", "0" * 16, f"{'0' * 16} 1 nobody", f"{'g' * 16} 1 a/b", "1 1 a/b", "\xff\xfe"]
)
def test_what_is_no_entry_spoils_no_other(tmp_path: Path, line: str) -> None:
    append_kept(tmp_path, [entry(1)])
    with (tmp_path / KEPT_FILE).open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    append_kept(tmp_path, [entry(2)])
    with (tmp_path / KEPT_FILE).open("ab") as file:
        file.write(b"0000000000000003 1000000000.0 a/ma")  # torn

    assert read_kept(tmp_path) == [entry(1), entry(2)]
