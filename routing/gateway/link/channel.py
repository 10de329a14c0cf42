"""
What the control child and its workers say to each other, one JSON object a line.

The control child listens on a Unix socket below DATA_DIR/run. A connection that says `hello` is a
worker's; any other is a client's (controlplane.edits.poke), which asks one thing and is answered,
by NotAnswered if it may not ask that.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from failover.engine.bench_entries import BenchEntry
from providers.files import write_whole
from routing.gateway.deciding.affinity import PinEntry
from routing.gateway.link import children
from routing.gateway.link.fleet import Fleet, WorkerSeen
from routing.gateway.telemetry.promtext import Sample

RUN_DIR = children.RUN_DIR
SNAPSHOT_FILE = "snapshot.msgpack"
KEPT_SNAPSHOT_FILE = "snapshot.kept.msgpack"  # as it was before something happened to that one
BENCHES_FILE = "benches.json"  # what the control child knows, for a start without it
LINE_LIMIT = 32 * 1024 * 1024  # a board of 50,000 benches is about 15 MB
PATH_LIMIT = 100  # sun_path holds 104 bytes on macOS, 108 on Linux


class Hello(Struct, frozen=True, kw_only=True, tag_field="op", tag="hello"):
    """Worker to hub, first of all. `workers` is how many the host is to have."""

    worker: str
    pid: int
    plane: str
    version: str = ""
    workers: int = 1


class Announced(Struct, frozen=True, kw_only=True, tag_field="op", tag="snapshot"):
    """
    Hub to worker: the snapshot file holds this generation; answered by Loaded.

    Without a generation there is only news of what went wrong, and no answer is due. `refused`
    are the mistakes of an edit of the configuration file that was not taken over; `error` is
    what keeps the control child from publishing.
    """

    generation: int | None
    refused: tuple[str, ...] = ()
    error: str = ""


class Loaded(Struct, frozen=True, kw_only=True, tag_field="op", tag="loaded"):
    """Worker to hub: `generation` has been dealt with; `error` says why it was refused."""

    generation: int
    error: str | None = None


class BenchesChanged(Struct, frozen=True, kw_only=True, tag_field="op", tag="benches"):
    """Both ways. With `ack`, the receiver answers Acknowledged, in the order of their coming."""

    entries: tuple[BenchEntry, ...] = ()
    ack: int = 0


class PinsChanged(Struct, frozen=True, kw_only=True, tag_field="op", tag="pins"):
    """Both ways: sessions that have moved."""

    entries: tuple[PinEntry, ...] = ()


class FleetSeen(Struct, frozen=True, kw_only=True, tag_field="op", tag="fleet"):
    """Hub to worker: every process of every host, as far as this one knows."""

    fleet: Fleet


class HealthSeen(Struct, frozen=True, kw_only=True, tag_field="op", tag="health"):
    """Hub to worker: how all providers are, of whom that is known; it replaces what was told."""

    statuses: dict[str, str] = {}


class Acknowledged(Struct, frozen=True, kw_only=True, tag_field="op", tag="ack"):
    ack: int


class Metered(Struct, frozen=True, kw_only=True, tag_field="op", tag="metered"):
    """
    Worker to hub: its counters that have moved, as totals, and its gauges.

    On a connection without `hello` it is a question as well, answered by MetricsTold.
    """

    instance: str
    counters: tuple[Sample, ...] = ()
    gauges: tuple[Sample, ...] = ()


class MetricsTold(Struct, frozen=True, kw_only=True):
    """The metrics of all workers, as a scrape gets them."""

    text: str


class Publish(Struct, frozen=True, kw_only=True, tag_field="op", tag="publish"):
    """Client: publish what the database says now; Published comes when every worker has it."""


class Published(Struct, frozen=True, kw_only=True):
    """`refused` says who could not take it over, and what kept it from being published."""

    generation: int | None
    refused: tuple[str, ...]


class Status(Struct, frozen=True, kw_only=True, tag_field="op", tag="status"):
    """Client: which worker serves what, and what went wrong; answered by StatusTold."""


class StatusTold(Struct, frozen=True, kw_only=True):
    generation: int | None
    config_errors: tuple[str, ...]
    error: str
    workers: tuple[WorkerSeen, ...]


class Sitting(Struct, frozen=True, kw_only=True):
    """Who sits out: the answer to BenchesChanged of a client."""

    entries: tuple[BenchEntry, ...]


class BenchByHand(Struct, frozen=True, kw_only=True, tag_field="op", tag="bench"):
    """Client: bench by hand; answered by Benched when every worker knows."""

    entry: BenchEntry


class Benched(Struct, frozen=True, kw_only=True):
    entry: BenchEntry


class Release(Struct, frozen=True, kw_only=True, tag_field="op", tag="release"):
    """
    Client: end the benches of `subject`; without `credential`, of all its credentials too.
    Answered by Released.

    With `manual` only operators' benches (true) or traffic's (false); `exact`: without a
    credential only those that are of none.
    """

    subject: str
    credential: str | None = None
    manual: bool | None = None
    exact: bool = False
    by: str = ""
    reason: str = ""


class Released(Struct, frozen=True, kw_only=True):
    """How many benches were ended."""

    released: int


class Board(Struct, frozen=True, kw_only=True, tag_field="op", tag="board"):
    """Client: who sits out, and how many workers know; answered by BoardTold."""


class BoardRow(Struct, frozen=True, kw_only=True):
    entry: BenchEntry
    seen: int


class BoardTold(Struct, frozen=True, kw_only=True):
    host: str
    workers: int
    rows: tuple[BoardRow, ...]


class NotAnswered(Struct, frozen=True, kw_only=True):
    error: str


ToHub = (
    Hello
    | Loaded
    | BenchesChanged
    | PinsChanged
    | Acknowledged
    | Metered
    | Publish
    | Status
    | BenchByHand
    | Release
    | Board
)
ToWorker = Announced | BenchesChanged | PinsChanged | FleetSeen | HealthSeen
ToClient = Published | StatusTold | Sitting | Benched | Released | BoardTold | MetricsTold

_encoder = msgspec.json.Encoder()
_to_hub: msgspec.json.Decoder[ToHub] = msgspec.json.Decoder(ToHub)
_to_worker: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)


def line(message: ToHub | ToWorker | ToClient | NotAnswered) -> bytes:
    return _encoder.encode(message) + b"\n"


def read_by_hub(raw: bytes) -> ToHub:
    """Raises msgspec.DecodeError for anything that is not a message."""
    return _to_hub.decode(raw)


def read_by_worker(raw: bytes) -> ToWorker:
    """Raises msgspec.DecodeError for anything that is not a message."""
    return _to_worker.decode(raw)


_benches: msgspec.json.Decoder[tuple[BenchEntry, ...]] = msgspec.json.Decoder(
    tuple[BenchEntry, ...]
)


def read_benches(data_dir: Path) -> tuple[BenchEntry, ...]:
    """What the control child of `data_dir` knew last; nothing if there is no such file."""
    try:
        return _benches.decode((data_dir / BENCHES_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):  # none yet, or none of ours: the control child has them
        return ()


def write_benches(data_dir: Path, entries: list[BenchEntry]) -> None:
    """Raises OSError."""
    write_whole(data_dir / BENCHES_FILE, _encoder.encode(entries), is_durable=False)


_Told = TypeVar("_Told", bound=ToClient)


def read_by_client(raw: bytes, kind: type[_Told]) -> _Told:
    """The answer that is due. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(raw, type=kind)


def socket_path(data_dir: Path) -> Path:
    """Where the hub of `data_dir` listens, if one runs."""
    noted = data_dir / RUN_DIR / "control.path"
    try:
        return Path(noted.read_text())
    except OSError:
        return data_dir / RUN_DIR / "control.sock"


def claim_socket_path(data_dir: Path) -> Path:
    """
    The path that the hub binds. Call it only while holding the hub's lock.

    A DATA_DIR too deep for a socket address gets a private folder in the system's temporary one,
    noted in run/control.path.
    """
    run = data_dir / RUN_DIR
    noted = run / "control.path"
    path = run / "control.sock"
    if len(os.fsencode(path)) <= PATH_LIMIT:
        noted.unlink(missing_ok=True)
        return path
    earlier = socket_path(data_dir).parent
    if earlier != run and _is_private(earlier):
        return earlier / "control.sock"
    path = Path(tempfile.mkdtemp(prefix="switchyard-")) / "control.sock"
    write_whole(noted, str(path).encode(), is_durable=False)
    return path


def give_up_socket_path(data_dir: Path) -> None:
    """Remove what claim_socket_path made. Call it while still holding the hub's lock."""
    path = socket_path(data_dir)
    path.unlink(missing_ok=True)
    if path.parent != data_dir / RUN_DIR and _is_private(path.parent):
        path.parent.rmdir()
        (data_dir / RUN_DIR / "control.path").unlink(missing_ok=True)


def _is_private(folder: Path) -> bool:
    """Whether `folder` is ours alone; in a shared /tmp, its name could have been taken since."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return is_ours and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
