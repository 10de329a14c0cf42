"""Three editors at once, in real processes: nothing is lost, and all of it can be taken back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.journeys.stage import candidate, starting_config
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import GatewayProcess, Reply
    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]
    StartUpstream = Callable[..., Upstream]

EDITS = 15  # of each editor by API
FIELDS = ("timeouts", "failover")
STRATEGIES = ("round_robin", "fill_first", "weighted_random", "least_busy")


class Operator:
    """Uses the admin API with the master key."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        return self.gateway.request(f"/api/{path}", body, method=method, headers=headers)


def pool(model: str) -> dict[str, Any]:
    return {
        "name": "mine",
        "candidates": [{"provider_name": "one", "model": model}],
    }


def test_edits_of_three_editors_are_all_in_revisions_and_a_broken_one_is_taken_back(
    gateway_process: StartGateway, upstream: StartUpstream
) -> None:
    config = starting_config()
    config["providers"] = {"one": upstream("one").provider()}
    config["routing"]["model_pools"] = {"stays": {"candidates": [candidate("one", "m")]}}
    gateway = gateway_process(config)
    operator = Operator(gateway)
    assert operator("POST", "pools", pool("m0")).status == 201
    replies: list[Reply] = []

    def edit_pool(field: str) -> None:
        for number in range(1, EDITS + 1):
            key = "first_token_s" if field == "timeouts" else "max_attempts"
            body = {field: {key: 10 + number}}
            reason = {"x-switchyard-reason": f"{field}{number}"}
            replies.append(operator("PATCH", "pools/mine", body, **reason))

    def edit_file() -> None:
        for number in range(1, 4):
            config["failover"] = {"disabled_models": [f"m{number}"]}
            gateway.write_config(config)
            wait_for(
                lambda n=number: f"m{n}" in operator("GET", "config/export").body.decode(),
                what="the file's edit",
            )

    stop = threading.Event()
    answers: list[int] = []

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(gateway.chat("mine").status)

    editors = [
        threading.Thread(target=edit_pool, args=("timeouts",)),
        threading.Thread(target=edit_pool, args=("failover",)),
        threading.Thread(target=edit_file),
    ]
    asking = threading.Thread(target=keep_asking)
    asking.start()
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    stop.set()
    asking.join()
    assert {reply.status for reply in replies} == {200}
    assert set(answers) == {200}

    def all_revisions() -> list[dict[str, Any]]:
        return operator("GET", "revisions?limit=500").json()

    def noted() -> set[str]:
        whole = [operator("GET", f"revisions/{row['revision']}").json() for row in all_revisions()]
        return {edit["reason"] for row in whole for edit in row["edits"]}

    wanted = {f"{field}{number}" for field in FIELDS for number in range(1, EDITS + 1)}
    wait_for(lambda: wanted <= noted(), what="every edit in a revision")
    revisions = all_revisions()
    assert any(author["kind"] == "file" for row in revisions for author in row["authors"])

    good = revisions[0]["revision"]
    assert gateway.chat("mine").status == 200
    assert operator("PATCH", "pools/mine", {"enabled": False}).status == 200
    assert gateway.chat("mine").status != 200
    done = operator("POST", f"revisions/{good}/rollback", {"reason": "it broke"})
    assert done.status == 200, done.body
    # An edit is live in the process that took it before it answers.
    assert gateway.chat("mine").status == 200


def test_of_many_who_write_at_once_with_one_version_one_wins(
    gateway_process: StartGateway,
) -> None:
    operator = Operator(gateway_process())
    operator("POST", "providers", {"name": "one", "kind": "simulator"})
    made = operator("POST", "pools", pool("m"))
    statuses: list[int] = []
    version = {"if-match": made.headers["etag"]}

    def write(number: int) -> None:
        statuses.append(
            operator("PATCH", "pools/mine", {"strategy": STRATEGIES[number]}, **version).status
        )

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(STRATEGIES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, *[412] * (len(STRATEGIES) - 1)]
