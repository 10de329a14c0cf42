"""A second host at one database that is not as the first: named everywhere, and no harm done."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from tests.journeys.stage import candidate
from tests.support.databases import Postgres, postgres_server
from tests.support.gateways import GatewayProcess, environment, manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Second = Callable[..., GatewayProcess]

CONFIG: dict[str, Any] = {
    "providers": {"main": {"kind": "simulator", "api_key": "a-secret-of-the-file"}},
    "routing": {"model_pools": {"shared": {"candidates": [candidate("main", "m")]}}},
}


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path, database: Postgres
) -> Iterator[GatewayProcess]:
    env = {"DATABASE_URL": database.url}
    manage("migrate", "--verbosity", "0", env=environment(migrated_data_dir, **env))
    host = GatewayProcess(
        tmp_path_factory.mktemp("first"),
        template=migrated_data_dir,
        config=CONFIG,
        arguments=(),
        env=env,
    )
    host.wait_until_ready()
    yield host
    host.stop()
    assert "Traceback" not in host.logs(), host.logs()


@pytest.fixture
def second(
    tmp_path: Path, migrated_data_dir: Path, database: Postgres, first: GatewayProcess
) -> Iterator[Second]:
    """Starts the second host; afterwards the first one is alone again."""
    started: list[GatewayProcess] = []

    def start(config: Mapping[str, Any] | None, **env: str) -> GatewayProcess:
        host = GatewayProcess(
            tmp_path,
            template=migrated_data_dir,
            config=config,
            arguments=(),
            env={"DATABASE_URL": database.url, **env},
        )
        started.append(host)
        return host

    yield start
    for host in started:
        host.stop()
        assert "Traceback" not in host.logs(), host.logs()
    wait_for(lambda: len(hosts_of(first)) == 1, what="the second host's leave")


def hosts_of(host: GatewayProcess) -> dict[str, dict[str, Any]]:
    """What /api/processes says, by DATA_DIR."""
    told = host.request("/api/processes").json()["hosts"]
    return {seen["data_dir"]: seen for seen in told}


def seen_by(asked: GatewayProcess, host: GatewayProcess) -> dict[str, Any]:
    """What /readyz of `asked` says of `host`, whether `asked` is ready or not."""
    told = asked.request("/readyz").json().get("processes") or {"hosts": []}
    found = [seen for seen in told["hosts"] if seen["data_dir"] == str(host.data_dir)]
    return found[0] if found else {"differs": [], "error": ""}


def all_say(one: GatewayProcess, two: GatewayProcess, words: list[str]) -> bool:
    """Whether the API and each host's /readyz say that both differ by `words`: none is the odd."""
    folders = [str(host.data_dir) for host in (one, two)]
    api = hosts_of(one)
    return all(api.get(folder, {}).get("differs") == words for folder in folders) and all(
        seen_by(asked, host)["differs"] == words for asked in (one, two) for host in (one, two)
    )


def edit(host: GatewayProcess, name: str) -> None:
    body = {"name": name, "candidates": [{"provider_name": "main", "model": "m"}]}
    made = host.request("/api/pools", body)
    assert made.status == 201, made.body


def test_a_host_with_other_encryption_keys_is_named_and_takes_nobodys_secrets(
    first: GatewayProcess, second: Second
) -> None:
    odd = second(CONFIG, ENCRYPTION_KEYS=Fernet.generate_key().decode())
    wait_for(
        lambda: "ENCRYPTION_KEYS" in hosts_of(first).get(str(odd.data_dir), {}).get("error", ""),
        what="the second host to say what is wrong",
    )
    wait_for(lambda: all_say(first, odd, ["encryption keys"]), what="all to say who differs")
    unready = odd.request("/readyz")
    assert unready.status == 503
    assert "ENCRYPTION_KEYS" in unready.json()["control_error"]
    assert hosts_of(first)[str(odd.data_dir)]["state"] == "troubled"
    edit(first, "after-other-keys")
    assert first.chat("after-other-keys").status == 200
    assert hosts_of(first)[str(first.data_dir)]["error"] == ""
    assert b"a-secret-of-the-file" not in unready.body
    assert odd.logs().count("nothing can be published") == 1


def test_a_host_with_another_file_is_named(first: GatewayProcess, second: Second) -> None:
    other = copy.deepcopy(CONFIG)
    other["routing"]["model_pools"]["more"] = other["routing"]["model_pools"]["shared"]
    odd = second(other)
    odd.wait_until_ready()
    wait_for(lambda: all_say(first, odd, ["configuration file"]), what="all to say who differs")
    odd.write_config(CONFIG)
    wait_for(lambda: all_say(first, odd, []), what="all to say that nobody differs")
    wait_for(lambda: first.chat("more").status == 404, what="the last file to count")


def test_a_host_without_a_file_is_named_and_leaves_what_the_others_have(
    first: GatewayProcess, second: Second
) -> None:
    odd = second(None)
    odd.wait_until_ready()
    wait_for(lambda: all_say(first, odd, ["configuration file"]), what="all to say who differs")
    edit(odd, "after-no-file")
    for host in (first, odd):
        wait_for(lambda host=host: host.chat("after-no-file").status == 200, what="the edit")  # type: ignore[misc]
        assert host.chat("shared").status == 200
    assert "its configuration stays" in odd.logs()
