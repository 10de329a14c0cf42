"""What providers keep for callers, and who may go on with it: real workers, real restarts."""

from __future__ import annotations

import itertools
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.journeys.stage import candidate
from tests.support.gateways import GatewayProcess
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEAMS = {"red-1": "red", "red-2": "red", "blue": "blue", "lone": None, "other": None, "red": None}
CONFIG: dict[str, Any] = {
    "providers": {name: {"kind": "simulator"} for name in ("a", "b")},
    "routing": {
        "model_pools": {
            "one": {"candidates": [candidate("a", "x")]},
            "two": {
                "strategy": "round_robin",
                "candidates": [candidate("a", "x"), candidate("b", "x")],
            },
        }
    },
    "keys": [
        {"name": name, "key": f"sy_key-of-{name}", **({"team": team} if team else {})}
        for name, team in TEAMS.items()
    ],
}
NUMBERS = itertools.count()
NEVER = "resp_that-never-was"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path) -> Iterator[Any]:
    served = GatewayProcess(
        tmp_path_factory.mktemp("kept"),
        template=migrated_data_dir,
        config=CONFIG,
        arguments=("--workers", "2"),
        env={},
    )
    served.wait_until_ready()
    yield served
    served.stop()
    assert "Traceback" not in served.logs(), served.logs()


def ask(host: GatewayProcess, key: str, model: str, after: str = "", **more: Any) -> Any:
    body = {"model": model, "input": "hi", **more}
    if after:
        body["previous_response_id"] = after
    headers = {"authorization": f"Bearer {key if key.startswith('sy_') else f'sy_key-of-{key}'}"}
    return host.request("/v1/responses", body, headers=headers)


def begun(host: GatewayProcess, key: str, model: str, **more: Any) -> str:
    # The simulator answers the same with the same id.
    reply = ask(host, key, model, input=f"hi from {key} {next(NUMBERS)}", **more)
    assert reply.status == 200, reply.body
    if more.get("stream"):
        events = [line[6:] for line in reply.body.splitlines() if line.startswith(b"data: ")]
        return str(json.loads(events[0])["response"]["id"])
    return str(reply.json()["id"])


@pytest.mark.parametrize("model", ["one", "two"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_team_goes_on_with_what_it_began_and_for_others_it_never_was(
    host: GatewayProcess, model: str, stream: bool
) -> None:
    began = begun(host, "red-1", model, stream=stream)

    # Each on a connection of its own, so by both workers, and at once: sooner than word of it.
    for key in ("red-2", "red-1") * 5:
        assert ask(host, key, model, began).status == 200
    for key in ("blue", "lone", "red", host.key):
        told, unheard = ask(host, key, model, began), ask(host, key, model, NEVER)
        assert told.status == unheard.status == 404
        said, said_of_nothing = told.json()["error"], unheard.json()["error"]
        for error in (said, said_of_nothing):  # turns of a rotation are each worker's own
            error["rejected"].sort(key=lambda entry: entry["provider"])
        assert said == said_of_nothing
        assert said["code"] == "not_found"
        alike = {"content-type", "x-should-retry", "x-switchyard-attempts", "retry-after"}
        assert {n: told.headers[n] for n in alike} == {n: unheard.headers[n] for n in alike}


def test_keys_without_a_team_and_the_master_key_are_owners_of_their_own(
    host: GatewayProcess,
) -> None:
    owners = ("lone", "other", host.key)
    began = {key: begun(host, key, "one") for key in owners}

    for key in owners:
        answers = {maker: ask(host, key, "one", began[maker]).status for maker in owners}
        assert answers == {maker: 200 if maker == key else 404 for maker in owners}


def test_a_rotated_key_goes_on_by_both_its_texts(host: GatewayProcess) -> None:
    made = host.request("/api/keys", {"name": "turned", "scopes": ["inference"]})
    assert made.status == 201, made.body
    before = made.json()["key"]
    began = begun(host, before, "one")
    turned = host.request("/api/keys/turned/rotate", {"overlap_s": 3600})
    assert turned.status == 200, turned.body
    after = turned.json()["key"]

    assert ask(host, after, "one", began).status == 200
    assert ask(host, before, "one", begun(host, after, "one")).status == 200


def test_a_conversation_that_nobody_was_seen_with_is_nobodys(host: GatewayProcess) -> None:
    for conversation in ("conv_1", {"id": "conv_1"}):
        assert ask(host, "lone", "one", conversation=conversation).status == 404
    began = begun(host, "lone", "one")
    both = ask(host, "lone", "one", began, conversation="conv_1")
    assert (both.status, both.json()["error"]["param"]) == (400, "conversation")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_it_is_known_after_a_restart_of_everything_and_to_its_owner_alone(
    host: GatewayProcess, signum: signal.Signals
) -> None:
    began = {model: begun(host, "red-1", model) for model in ("one", "two")}
    # Anybody's next answer is noted behind those.
    kept = host.data_dir / "kept-ids"
    assert ask(host, "red-2", "one", began["one"]).status == 200
    _wait_until_still(kept)
    host.stop(signum)
    host.start()
    host.wait_until_ready()

    for model, earlier in began.items():
        assert ask(host, "red-2", model, earlier).status == 200
        assert ask(host, "blue", model, earlier).status == 404
    raw = kept.read_text()
    assert not any(word in raw for word in (*began.values(), "red"))
    assert kept.stat().st_mode & 0o777 == 0o600


def _wait_until_still(path: Path) -> None:
    """Until what was answered is on the disk, which a killed control child promises nobody."""
    seen = [-1]

    def is_still() -> bool:
        seen.append(path.stat().st_size if path.exists() else 0)
        return len(seen) > 8 and len(set(seen[-8:])) == 1

    wait_for(is_still, what="the file to be written")


def test_where_operators_say_so_callers_share_ids(
    gateway_process: Callable[..., GatewayProcess],
) -> None:
    shared = gateway_process(CONFIG, env={"SHARED_IDS": "true"})

    assert ask(shared, "blue", "two", begun(shared, "red-1", "two")).status == 200
    assert ask(shared, "blue", "one", NEVER).status == 200
    assert ask(shared, "blue", "one", conversation="conv_1").status == 200
    # Now somebody was seen with it.
    assert ask(shared, "red-1", "two", conversation="conv_1").status == 200
    assert ask(shared, "blue", "two", NEVER + "-at-all").status == 404
