"""
A DATA_DIR that commit 926b609 wrote, opened by what there is now.

tests/data/926b609 was made by that commit: migrated, the demo of the first start, a configuration
file, a provider with a credential, a pool, a rule, a key with a limit, a switch and an operator's
bench; then three requests whose records were taken into the database, and four whose records
still lie in the spool, because the control child was stopped. The database is packed.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from failover.engine.bench_entries import BenchEntry
from providers.secrets.encryption import load_keyring
from routing.gateway.deciding.snapshot import decode
from routing.gateway.deciding.table import compile_table
from tests.support.gateways import ROOT, GatewayProcess, environment, manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITTEN = ROOT / "tests" / "data" / "926b609"
KEYS = json.loads((WRITTEN / "keys.json").read_text())


def unpacked(folder: Path) -> Path:
    """The data folder as it was written."""
    shutil.copytree(WRITTEN, folder)
    packed = folder / "switchyard.sqlite3.gz"
    (folder / "switchyard.sqlite3").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("older")
    data_dir = unpacked(folder / "data")
    for path in [data_dir, *data_dir.rglob("*")]:  # as some older umask would have it
        path.chmod(0o755 if path.is_dir() else 0o644)
    manage("migrate", "--verbosity", "0", env=environment(data_dir))
    gateway = GatewayProcess(
        folder,
        template=data_dir,
        config=(WRITTEN / "switchyard.yaml").read_text(),
        arguments=(),
        env={},
    )
    gateway.wait_until_ready()
    yield gateway
    gateway.stop()
    assert "Traceback" not in gateway.logs(), gateway.logs()


def test_the_snapshot_is_read_and_compiled_with_the_secrets_that_were_in_it(
    tmp_path: Path,
) -> None:
    data_dir = unpacked(tmp_path / "data")

    snapshot = decode((data_dir / "snapshot.msgpack").read_bytes())
    table = compile_table(snapshot, decrypt=load_keyring({}, data_dir).decrypt, environ={})

    assert {pool.name for pool in snapshot.content.pools} == {"demo", "from-file", "small"}
    assert set(table.upstreams) == {"demo-failing", "demo-healthy", "filed", "filed-sim", "lab"}
    assert table.upstreams["lab"].secrets == ("sk-of-the-lab-0123456789",)


def test_the_benches_on_disk_are_read() -> None:
    entries = msgspec.json.decode((WRITTEN / "benches.json").read_bytes(), type=list[BenchEntry])

    assert {(entry.subject, entry.manual) for entry in entries} == {
        ("demo-failing/demo-model", False),
        ("demo-healthy/later", True),
    }


def test_records_that_waited_are_taken_in_beside_those_that_were_there(
    served: GatewayProcess,
) -> None:
    def recorded() -> dict[str, str] | None:
        rows = served.request("/api/requests?limit=100").json()["results"]
        found = {row["request_id"]: row["outcome"] for row in rows}
        return found if "waiting-3" in found else None

    found = wait_for(recorded, what="the spool to be empty")

    older = {name: outcome for name, outcome in found.items() if name.startswith(("ing", "wait"))}
    answered = [*(f"ingested-{n}" for n in range(3)), *(f"waiting-{n}" for n in range(3))]
    assert older == {**dict.fromkeys(answered, "answered"), "waiting-3": "refused"}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_opens_and_the_demo_fails_over(served: GatewayProcess, name: str) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}

    reply = served.request(
        "/v1/chat/completions", body, headers={"authorization": f"Bearer {KEYS[name]}"}
    )

    assert reply.status == 200
    assert reply.headers["x-switchyard-provider"] == "demo-healthy"


def test_objects_and_revisions_are_what_they_were(served: GatewayProcess) -> None:
    pools = {pool["name"]: pool for pool in served.request("/api/pools").json()}
    (rule,) = served.request("/api/failover").json()
    revisions = served.request("/api/revisions?limit=100").json()

    assert pools["from-file"]["managed_source"] == "config"
    assert [c["weight"] for c in pools["from-file"]["candidates"]] == [3, 1]
    assert (rule["primary_model"], rule["fallback_models"]) == ("small", ["demo"])
    assert "kept as it was" in [revision["reason"] for revision in revisions]


def test_everything_below_the_data_folder_is_its_owners_alone(served: GatewayProcess) -> None:
    served.request("/api/pools")
    found = [served.data_dir, *served.data_dir.rglob("*")]

    open_to_others = [
        f"{path.relative_to(served.data_dir)} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in found
        if path.lstat().st_mode & 0o077
    ]
    assert open_to_others == []
    names = {path.name for path in found}
    assert {"switchyard.sqlite3", "switchyard.sqlite3-wal", "switchyard.sqlite3-shm"} <= names


def test_stored_keys_are_bound_to_where_they_went_and_headers_are_in_clear_no_more(
    served: GatewayProcess,
) -> None:
    (lab,) = [row for row in served.request("/api/providers").json() if row["name"] == "lab"]
    with closing(sqlite3.connect(served.data_dir / "switchyard.sqlite3")) as database:
        tokens = [row[0] for row in database.execute("SELECT secret FROM providers_credential")]

    assert [entry["confirmed"] for entry in lab["credentials"]] == [True]
    assert lab["unconfirmed"] == []
    assert tokens
    assert all(token.startswith("v2:") for token in tokens)
