"""`manage.py serve`: what it starts, what it serves, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateways import ROOT, GatewayProcess, environment, is_refused, manage
from tests.support.processes import is_alive, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.upstreams import Upstream

    StartGateway = Callable[..., GatewayProcess]

DEMO = {
    "providers": {"lab": {"kind": "simulator"}},
    "routing": {"model_pools": {"demo": {"candidates": [{"provider": "lab", "model": "m"}]}}},
}
NOT_IN_A_WORKER = {"django", "rest_framework", "celery", "unfold", "simple_history", "controlplane"}


def pool_over(server: Upstream) -> dict[str, Any]:
    return {
        "providers": {"up": server.provider()},
        "routing": {"model_pools": {"chat": {"candidates": [{"provider": "up", "model": "m"}]}}},
    }


@pytest.fixture(scope="module")
def inference(
    tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path
) -> Iterator[GatewayProcess]:
    """Two workers of plane inference over the demo, for tests that only look."""
    served = GatewayProcess(
        tmp_path_factory.mktemp("inference"),
        template=migrated_data_dir,
        config=DEMO,
        arguments=("--plane", "inference", "--workers", "2"),
        env={},
    )
    served.wait_until_ready()
    yield served
    served.stop()


def imported(profile: str) -> set[str]:
    """Top-level names in the output of PYTHONPROFILEIMPORTTIME=1."""
    lines = [line for line in profile.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


def test_the_worker_of_plane_inference_imports_no_django(
    gateway_process: StartGateway,
) -> None:
    served = gateway_process(DEMO, "--plane", "inference")
    [command] = served.workers().values()
    served.stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        replaced = [*command]
        replaced[command.index("--fd") + 1] = str(fd)
        end = command.index("--parent-fd")
        worker = subprocess.Popen(
            replaced[:end],
            cwd=ROOT,
            env={**served.env, "PYTHONPROFILEIMPORTTIME": "1"},
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(fd,),
        )
        served.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            reply = served.chat("demo")
        finally:
            worker.terminate()
            _out, profile = worker.communicate(timeout=30)

    assert reply.status == 200, profile
    assert {"routing", "uvicorn", "msgspec"} <= imported(profile)
    assert not imported(profile) & NOT_IN_A_WORKER


def test_a_worker_with_admin_starts_without_what_only_reads_configurations(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-X", "importtime", "-c",
            "from controlplane.asgi import mount; mount(None, 'both')",
        ],
        cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert "django" in imported(done.stderr)
    assert "pydantic" not in imported(done.stderr)


def test_plane_inference_starts_exactly_the_worker_command_without_an_app(
    inference: GatewayProcess,
) -> None:
    for command in inference.workers().values():
        assert command[:3] == [sys.executable, "-m", "routing.gateway.serving.worker"]
        names, values = command[3::2], command[4::2]
        options = dict(zip(names, values, strict=True))
        assert set(options) == {
            "--fd", "--data-dir", "--plane", "--worker", "--workers", "--grace", "--drain",
            "--parent-fd",
        }  # fmt: skip
        assert options["--plane"] == "inference"
        assert options["--workers"] == "2"
        assert options["--data-dir"] == str(inference.data_dir)
    assert len(inference.workers()) == 2


def test_plane_both_serves_callers_and_operators_at_one_address(
    gateway_process: StartGateway,
) -> None:
    served = gateway_process(DEMO)

    assert served.chat("demo").status == 200
    login = served.request("/admin/login/")
    assert login.status == 200
    assert b"csrfmiddlewaretoken" in login.body


def test_plane_admin_serves_no_callers(gateway_process: StartGateway) -> None:
    served = gateway_process(DEMO, "--plane", "admin")

    assert served.chat("demo").status == 404
    assert served.request("/admin/login/").status == 200
    assert served.request("/healthz").status == 200


def test_plane_inference_serves_no_operators(inference: GatewayProcess) -> None:
    assert inference.chat("demo").status == 200
    assert inference.request("/admin/login/").status == 404


def test_it_listens_on_loopback_alone_unless_told_otherwise(inference: GatewayProcess) -> None:
    port = int(inference.url.rsplit(":", 1)[1])
    assert inference.url.startswith("http://127.0.0.1:")
    with socket.socket() as other:  # would fail if it listened on every address
        other.bind(("127.0.0.2", port))


def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "manage.py", "serve", "--port", port],
            cwd=ROOT, env=environment(tmp_path), text=True, capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip

    assert done.returncode == 1
    expected = f"CommandError: cannot listen on 127.0.0.1 port {port}: address already in use"
    assert done.stderr.strip() == expected


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_everything_with_code_0(gateway_process: StartGateway, signum: int) -> None:
    served = gateway_process(DEMO, "--workers", "2")
    assert len(served.children()) == 3

    assert served.stop(signum) == 0  # and sees that no child is left


def test_children_do_not_outlive_a_parent_that_was_killed(gateway_process: StartGateway) -> None:
    served = gateway_process(DEMO, "--workers", "2")

    assert served.stop(signal.SIGKILL) == -signal.SIGKILL


@pytest.mark.parametrize("part", ["worker", "control"])
def test_a_child_that_dies_is_started_again(gateway_process: StartGateway, part: str) -> None:
    served = gateway_process(DEMO)

    def find() -> set[int]:
        return set(served.workers()) if part == "worker" else {served.control() or 0} - {0}

    [before] = find()
    os.kill(before, signal.SIGKILL)

    [after] = wait_for(lambda: find() - {before}, what=f"another {part}")
    assert is_alive(after)
    served.wait_until_ready()
    assert served.chat("demo").status == 200


def test_a_running_stream_is_finished_before_the_end_while_new_callers_are_refused(
    gateway_process: StartGateway, upstream: Callable[..., Upstream]
) -> None:
    server = upstream("up", "slow:gap_ms=150")
    served = gateway_process(pool_over(server), "--plane", "inference")
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(served.chat("chat", stream=True)))
    caller.start()
    wait_for(lambda: server.requests and server.requests[0]["chunks"], what="the first chunk")

    served.process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_refused(served), what="the refusal of new callers")
    was_running = server.requests[0]["answered_at"] is None
    caller.join(20)

    assert was_running
    assert answers[0].status == 200
    assert answers[0].body.rstrip().endswith(b"data: [DONE]")
    assert served.process.wait(20) == 0


def test_a_right_edit_of_the_file_is_live_and_a_wrong_one_changes_nothing_and_says_why(
    gateway_process: StartGateway,
) -> None:
    served = gateway_process(DEMO, "--plane", "inference")
    before = served.ready() or {}

    served.write_config("providers: {lab: {kind: simulator, wieght: 3}}\n")
    refused = wait_for(
        lambda: (served.ready() or {}).get("config_errors"), what="the refusal in /readyz"
    )

    assert "wieght" in refused[0]
    assert (served.ready() or {})["generation"] == before["generation"]
    assert served.chat("demo").status == 200

    second = {"candidates": [{"provider": "lab", "model": "m2"}]}
    served.write_config({**DEMO, "routing": {"model_pools": {"other": second}}})

    wait_for(lambda: served.chat("other").status == 200, what="the new pool")
    assert served.chat("demo").status == 404
    assert (served.ready() or {})["config_errors"] == []


def test_an_edit_by_the_api_is_live_in_every_worker_before_it_answers(
    gateway_process: StartGateway,
) -> None:
    served = gateway_process(DEMO, "--workers", "2")

    def have_all_met() -> bool:
        workers = served.hub(op="status").get("workers", [])
        return [worker["generation"] is not None for worker in workers] == [True, True]

    wait_for(have_all_met, what="both workers at the control child")

    for number in range(5):
        name = f"pool-{number}"
        candidates = [{"provider_name": "lab", "model": "m"}]
        made = served.request("/api/pools/", {"name": name, "candidates": candidates})

        assert made.status == 201, made.body
        assert [served.chat(name).status for _ in range(6)] == [200] * 6

    master, served.key = served.key, served.request("/api/keys", {"name": "gone"}).json()["key"]
    headers = {"authorization": f"Bearer {master}"}
    assert [served.chat("pool-0").status for _ in range(6)] == [200] * 6
    assert served.request("/api/keys/gone", method="DELETE", headers=headers).status == 204
    assert [served.chat("pool-0").status for _ in range(6)] == [401] * 6


def test_a_database_that_is_down_keeps_nobody_from_the_last_good_snapshot(
    gateway_process: StartGateway,
) -> None:
    served = gateway_process(DEMO, "--plane", "inference")
    served.stop()

    served.env["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/none"
    served.start()
    served.wait_until_ready()

    assert served.chat("demo").status == 200
    status = wait_for(
        lambda: (found := served.ready() or {}).get("control_error") and found,
        what="the reason in /readyz",
    )
    assert status["source"] == "disk"
    assert "connection" in status["control_error"]
    assert served.control() is not None


def test_it_runs_on_postgresql(
    gateway_process: StartGateway, postgres_url: str, tmp_path: Path
) -> None:
    env: Mapping[str, str] = {"DATABASE_URL": postgres_url}
    manage("migrate", "--verbosity", "0", env=environment(tmp_path / "migrating", **env))

    served = gateway_process(DEMO, env=env)

    assert served.chat("demo").status == 200
    assert (served.ready() or {})["source"] in {"disk", "control"}


def test_two_serves_on_one_folder_share_one_control_child_and_the_second_takes_over(
    gateway_process: StartGateway,
) -> None:
    first = gateway_process(DEMO, "--plane", "inference")
    second = gateway_process(DEMO, "--plane", "inference", env={"DATA_DIR": str(first.data_dir)})
    first.stop()

    second.config_file.write_text("providers: {lab: {kind: simulator, wieght: 3}}\n")

    wait_for(lambda: (second.ready() or {}).get("config_errors"), what="the second's own control")
