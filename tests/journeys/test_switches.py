"""Operators' switches, with real processes: at once, by themselves, and from the last snapshot."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from tests.journeys.stage import candidate, starting_config
from tests.support.gateways import environment, manage
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.journeys.stage import Stage
    from tests.support.gateways import GatewayProcess

POOLS = {
    "sw-left": {"candidates": [candidate("sw_one", "x"), candidate("sw_two", "x")]},
    "sw-right": {"aliases": ["sw-alias"], "candidates": [candidate("sw_one", "x")]},
}
PROVIDERS = {name: {"kind": "simulator"} for name in ("sw_one", "sw_two")}
IN_LEFT = {
    "kind": "pool_candidate",
    "provider_name": "sw_one",
    "canonical_model": "sw-left",
    "model": "x",
}
ONE = {"kind": "provider", "provider_name": "sw_one"}


@pytest.fixture(scope="module", autouse=True)
def pools(whole_session_stage: Stage) -> None:
    whole_session_stage.add(providers=PROVIDERS, pools=POOLS)


@pytest.fixture
def gateway(stage: Stage) -> Iterator[GatewayProcess]:
    yield stage.gateway
    for entry in switches(stage.gateway):
        names = {n: entry[n] for n in ("kind", "provider_name", "canonical_model", "model")}
        stage.gateway.request("/api/routing-state", names, method="DELETE")


def switches(gateway: GatewayProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.request("/api/routing-state").json()
    return found


def switch_off(gateway: GatewayProcess, identity: dict[str, str], **fields: Any) -> None:
    body = {**identity, "enabled": False, **fields}
    reply = gateway.request("/api/routing-state", body, method="PUT")
    assert reply.status == 200, reply.body


def served(gateway: GatewayProcess, model: str) -> str | None:
    return gateway.chat(model).headers["x-switchyard-provider"]


def pool_of(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    (seen,) = gateway.request(f"/api/routing/model-pools?canonical_model={name}").json()
    assert isinstance(seen, dict)
    return seen


def names(gateway: GatewayProcess) -> set[str]:
    return {row["id"] for row in gateway.request("/v1/models").json()["data"]}


def test_a_candidate_switched_off_in_one_pool_serves_on_in_another_from_the_answer_on(
    gateway: GatewayProcess,
) -> None:
    assert served(gateway, "sw-left") == "sw_one"
    for _ in range(5):
        switch_off(gateway, IN_LEFT, reason="key rotation")
        assert served(gateway, "sw-left") == "sw_two"
        assert served(gateway, "sw-right") == "sw_one"
        gateway.request("/api/routing-state", IN_LEFT, method="DELETE")
        assert served(gateway, "sw-left") == "sw_one"


def test_model_pools_tell_configured_first_and_chosen_apart_and_why(
    gateway: GatewayProcess,
) -> None:
    switch_off(gateway, IN_LEFT, reason="key rotation")
    seen = pool_of(gateway, "sw-left")
    assert (seen["config_primary_candidate"], seen["effective_candidate"]) == (
        "sw_one/x",
        "sw_two/x",
    )
    assert (seen["status"], seen["enabled"], seen["switch"]) == ("degraded", True, None)
    assert "the candidate is disabled: key rotation" in seen["status_reason"]
    first = seen["candidates"][0]
    assert (first["enabled"], first["blocked_reason"]) == (False, "candidate_disabled")
    assert first["switch"] == {"kind": "pool_candidate", "reason": "key rotation", "until": None}
    assert pool_of(gateway, "sw-right")["status"] == "enabled"


def test_a_provider_switched_off_is_called_by_no_name_and_hides_those_it_leaves_empty(
    gateway: GatewayProcess,
) -> None:
    assert {"sw-left", "sw-right", "sw-alias"} <= names(gateway)
    switch_off(gateway, ONE)
    assert served(gateway, "sw-left") == "sw_two"
    for name in ("sw-right", "sw-alias", "sw_one/x"):
        reply = gateway.chat(name)
        assert reply.status == 503, name
        assert b"provider_disabled" in reply.body
    assert names(gateway) & {"sw-left", "sw-right", "sw-alias"} == {"sw-left"}
    assert pool_of(gateway, "sw-right")["status"] == "disabled"


def test_a_pool_switched_off_answers_nobody_and_says_why_in_explain(
    gateway: GatewayProcess,
) -> None:
    switch_off(gateway, {"kind": "canonical_model", "canonical_model": "sw-left"}, reason="dear")
    reply = gateway.chat("sw-left")
    assert reply.status == 503
    assert b"canonical_model_disabled" in reply.body
    told = gateway.request("/api/explain", {"model": "sw-left"}).json()
    assert {entry["reason"] for entry in told["rejected"]} == {"canonical_model_disabled"}
    assert pool_of(gateway, "sw-left")["status_reason"].endswith("disabled the pool: dear.")
    assert served(gateway, "sw_one/x") == "sw_one"


def test_a_switch_with_an_end_ends_by_itself(gateway: GatewayProcess) -> None:
    until = datetime.now(UTC) + timedelta(seconds=1.5)
    switch_off(gateway, ONE, until=until.isoformat())
    assert gateway.chat("sw-right").status == 503
    wait_for(lambda: gateway.chat("sw-right").status == 200, what="the end of the switch")
    assert datetime.now(UTC) >= until
    assert switches(gateway) == []


def test_an_edit_of_the_file_turns_no_switch(stage: Stage, gateway: GatewayProcess) -> None:
    switch_off(gateway, IN_LEFT)
    stage.add(providers={"sw_three": {"kind": "simulator"}})
    assert served(gateway, "sw-left") == "sw_two"


def test_starting_with_the_database_down_serves_with_every_switch_as_it_was(
    gateway_process: Callable[..., GatewayProcess],
) -> None:
    config = starting_config()
    config["providers"] |= PROVIDERS
    config["routing"]["model_pools"] |= POOLS
    gateway = gateway_process(config)
    switch_off(gateway, IN_LEFT, reason="key rotation")
    switch_off(gateway, {"kind": "canonical_model", "canonical_model": "sw-right"})
    gateway.stop()
    database = next(gateway.data_dir.glob("*.sqlite3"))
    with sqlite3.connect(database) as connection:  # what is in the log goes into the file
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    database.rename(database.with_suffix(".away"))
    database.write_bytes(b"this is no database" * 100)

    gateway.start()
    gateway.wait_until_ready()
    assert served(gateway, "sw-left") == "sw_two"
    assert gateway.chat("sw-right").status == 503

    database.unlink()
    database.with_suffix(".away").rename(database)
    gone = {"kind": "canonical_model", "canonical_model": "sw-right"}
    wait_for(
        lambda: gateway.request("/api/routing-state", gone, method="DELETE").status == 204,
        what="the database to be back",
    )
    wait_for(lambda: gateway.chat("sw-right").status == 200, what="the pool to be back")
    assert served(gateway, "sw-left") == "sw_two"


def test_a_switch_is_live_in_every_worker_before_its_answer_and_soon_on_every_host(
    gateway_process: Callable[..., GatewayProcess], postgres_url: str, tmp_path: Path
) -> None:
    env = {
        "DATABASE_URL": postgres_url,
        "SECRET_KEY": "the-secret-key-of-the-hosts-of-the-tests",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    manage("migrate", "--verbosity", "0", env=environment(tmp_path / "migrating", **env))
    config = starting_config()
    config["providers"] |= PROVIDERS
    config["routing"]["model_pools"] |= POOLS
    here = gateway_process(config, "--workers", "2", env=env)
    there = gateway_process(config, "--workers", "2", env=env)

    with ThreadPoolExecutor(8) as operators:  # all make the same switch; each is heard
        list(operators.map(lambda host: switch_off(host, IN_LEFT), [here, there] * 8))
    assert len(switches(here)) == 1
    assert {served(here, "sw-left") for _ in range(20)} == {"sw_two"}
    until_all_of(there, {"sw_two"})

    soon = datetime.now(UTC) + timedelta(seconds=1)
    switch_off(there, IN_LEFT, until=soon.isoformat())
    until_all_of(there, {"sw_one"})
    until_all_of(here, {"sw_one"})
    assert switches(here) == []
    assert not (there.ready() or {}).get("control_error")


def until_all_of(gateway: GatewayProcess, wanted: set[str]) -> None:
    """Wait until every worker goes to `wanted`: each request is a connection of its own."""
    wait_for(
        lambda: {served(gateway, "sw-left") for _ in range(20)} == wanted,
        what=f"every worker to call {wanted}",
    )
