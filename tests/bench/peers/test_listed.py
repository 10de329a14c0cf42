"""Who is compared, and as what they are started. None of them is installed here."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from bench import scene
from bench.peers.listed import PEERS

pytestmark = pytest.mark.pure
PORTS = (7001, 7002, 7003, 7004)


def started(number: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of the peer in that place of the list."""
    peer = PEERS[number]
    return peer.gateway(peer.package, folder).command(PORTS, 7000)


def test_the_first_peer_is_the_one_at_its_fastest(tmp_path):
    argv, env = started(0, tmp_path)

    config = json.loads(Path(env["GATEWAY_CONFIG"]).read_text())
    assert Path(argv[0]).name == "ferrogw"
    assert [target["virtual_key"] for target in config["targets"]] == ["openai"]
    assert "plugins" not in config
    assert env["LOG_LEVEL"] == "error"
    assert env["MASTER_KEY"]
    assert not [name for name in env if name.endswith("_BACKEND")]  # no keys, no records
    assert "failover" in PEERS[0].cannot


def test_it_stands_beside_itself_as_it_is_set_up(tmp_path):
    (place,) = [n for n, peer in enumerate(PEERS) if peer.name.endswith("as it is set up")]
    _argv, env = started(place, tmp_path)

    config = json.loads(Path(env["GATEWAY_CONFIG"]).read_text())
    assert len(config["targets"]) > 1
    assert env["API_KEY_STORE_BACKEND"] == "sqlite"
    assert "LOG_LEVEL" not in env
    assert PEERS[place].package == PEERS[0].package
    assert not PEERS[place].cannot


def test_the_second_peer_has_a_key_and_two_targets_for_each_model(tmp_path):
    argv, _env = started(1, tmp_path)

    config = tomllib.loads(Path(argv[-1]).read_text())
    assert (Path(argv[0]).name, *argv[1:3]) == ("rolter", "gateway", "-c")
    assert config["server"] == {"host": "127.0.0.1", "port": 7000}
    assert len(config["virtual_keys"]) == 1
    bases = {each["name"]: each["api_base"] for each in config["providers"]}
    routes = {route["model"]: route for route in config["routes"]}
    for model in (scene.CHAT, scene.PACED):
        targets = [bases[target["provider"]] for target in routes[model]["targets"]]
        assert targets == ["http://127.0.0.1:7001", "http://127.0.0.1:7002"]
    first, then = (
        bases[target["provider"]]
        for variant in routes[scene.FAILING]["variants"]
        for target in variant["targets"]
    )
    assert (first, then) == ("http://127.0.0.1:7001/refuse", "http://127.0.0.1:7002")
    assert not PEERS[1].cannot
