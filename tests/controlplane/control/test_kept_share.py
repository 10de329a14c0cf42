"""What providers keep for callers, from a hub onto its host's disk and back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from controlplane.control import sharing
from controlplane.control.hub import Hub, LastRound
from controlplane.control.sharing import KeptShare
from routing.gateway.deciding.affinity import STATE, PinEntry
from routing.gateway.deciding.binding import KEPT_S
from routing.gateway.link.kept import KEPT_FILE, read_kept

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def entry(session: int, pool: str = STATE, used_at: float | None = None) -> PinEntry:
    used_at = round(time.time(), 3) if used_at is None else used_at
    return PinEntry(pool=pool, session=session, candidate="a/main", used_at=used_at, ttl_s=KEPT_S)


def hub(folder: Path) -> Hub:
    async def publish() -> LastRound:
        return LastRound()

    return Hub(folder / "socket", publish)


async def test_the_next_hub_knows_it_and_nothing_of_sessions(tmp_path: Path) -> None:
    one = hub(tmp_path)
    share = KeptShare(one, tmp_path)
    kept = [entry(1), entry(2)]
    one.take_pins([*kept, entry(3, pool="m")])
    share.close()

    after = hub(tmp_path)
    KeptShare(after, tmp_path)

    assert read_kept(tmp_path) == kept
    assert after.pins.everything(time.time()) == kept


async def test_a_file_that_is_mostly_past_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "KEPT_LINES", 10)
    one = hub(tmp_path)
    share = KeptShare(one, tmp_path)
    for second in range(12):
        one.take_pins([entry(1, used_at=time.time() - 100 + second)])
        share.close()

    assert len(read_kept(tmp_path)) <= 2
    assert read_kept(tmp_path)[-1].session == 1


async def test_what_could_not_be_written_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = hub(tmp_path)
    share = KeptShare(one, tmp_path)
    (tmp_path / KEPT_FILE).mkdir()
    for session in (1, 2):
        one.take_pins([entry(session)])
        share.close()
    (tmp_path / KEPT_FILE).rmdir()
    one.take_pins([entry(3)])
    share.close()

    assert [found.session for found in read_kept(tmp_path)] == [1, 2, 3]
    assert len([r for r in caplog.records if "cannot be written" in r.message]) == 1
