"""
What the parent of a host says of its processes: how often each ended lately, and how.

It tells by a file, because whoever else could be asked may be the one that is away: workers read
it for /readyz, the control child for the other hosts, the page of processes for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from providers.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

RUN_DIR: Final = "run"  # below DATA_DIR: what is of a running host alone
FILE: Final = "children.json"
LATELY_S: Final = 600.0
LOOP_ENDS, LOOP_S = 3, 60.0


class End(Struct, frozen=True, kw_only=True):
    """One end of a process that was not asked for: when (Unix time), and how."""

    at: float
    how: str


class ChildSeen(Struct, frozen=True, kw_only=True):
    """A child of the parent; `ends` are those of the last ten minutes, the latest last."""

    name: str
    pid: int | None = None
    ends: tuple[End, ...] = ()

    def error(self, now: float) -> str:
        """What is wrong with it, if it ends again and again."""
        ends = [end for end in self.ends if now - end.at < LOOP_S]
        if len(ends) < LOOP_ENDS:
            return ""
        return f"{self.name} ends again and again: {len(ends)} times in a minute, it {ends[-1].how}"


_decoder: msgspec.json.Decoder[tuple[ChildSeen, ...]] = msgspec.json.Decoder(tuple[ChildSeen, ...])


def read_children(data_dir: Path) -> tuple[ChildSeen, ...]:
    """Nothing where no parent has told anything."""
    try:
        return _decoder.decode((data_dir / RUN_DIR / FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return ()


def write_children(data_dir: Path, children: tuple[ChildSeen, ...]) -> None:
    """Raises OSError."""
    (data_dir / RUN_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(data_dir / RUN_DIR / FILE, msgspec.json.encode(children), is_durable=False)


def errors_of(children: tuple[ChildSeen, ...], now: float) -> list[str]:
    return [error for child in children if (error := child.error(now))]
