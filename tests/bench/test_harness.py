"""The performance harness's parts do what its figures rest on. How fast anything is, is no test."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from bench import __main__ as command
from bench import (
    comparison,
    driver,
    gateways,
    inprocess,
    load,
    measures,
    peers,
    processes,
    report,
    scene,
)
from bench.load import Target


@pytest.fixture(scope="module")
def ports():
    with gateways.upstream() as found:
        yield found


class Bare:
    """The upstream itself as the gateway under test: a peer that adds nothing."""

    def __init__(self, ports):
        self.name = "bare"
        self.url = chat_url(ports)
        self.headers = self.failing_headers = {}
        self.root_pid = self.worker_pid = os.getpid()

    def start(self, ports):
        pass

    def settle(self):
        pass

    def stop(self):
        pass


def chat_url(ports, prefix=""):
    return f"http://127.0.0.1:{ports[0]}{prefix}{scene.PATH}"


def ask(url, body):
    request = urllib.request.Request(url, data=body, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


async def server(answer):
    """A server that gives every connection `answer` and closes it."""

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    started = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = started.sockets[0].getsockname()[1]
    return started, Target(host="127.0.0.1", port=port, path="/")


# What is asked


@pytest.mark.pure
@pytest.mark.parametrize("model", [scene.CHAT, scene.FAILING, scene.PACED, "m"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_body_is_a_chat_request_of_the_same_size(model, stream):
    body = scene.body(model, stream=stream)

    assert len(body) == scene.BODY_BYTES
    assert json.loads(body)["model"] == model
    assert json.loads(body).get("stream", False) is stream


# The upstream


def test_the_upstream_answers_a_chat_with_one_whole_reply(ports):
    status, body = ask(chat_url(ports), scene.body(scene.CHAT))

    assert status == 200
    assert json.loads(body)["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("model", ["fixed", "paced"])
def test_the_upstream_streams_sixty_chunks_and_the_terminator(ports, model):
    status, body = ask(chat_url(ports), scene.body(model, stream=True))

    *events, done, rest = body.split(b"\n\n")
    assert (status, len(events), done, rest) == (200, scene.CHUNKS, b"data: [DONE]", b"")
    assert json.loads(events[-1].removeprefix(b"data: "))["choices"][0]["finish_reason"] == "stop"


def test_the_upstream_refuses_below_refuse(ports):
    assert ask(chat_url(ports, "/refuse"), scene.body(scene.CHAT))[0] == 503


# The callers


async def test_callers_count_whole_answers(ports):
    target = Target.of(chat_url(ports), [])

    result = await load.closed(target, scene.body(scene.CHAT), connections=2, seconds=60, limit=10)

    assert (result.requests, result.errors) in {(10, 0), (11, 0)}
    assert 0 < result.p50_ms <= result.p99_ms


async def test_callers_count_a_refusal_as_an_error(ports):
    target = Target.of(chat_url(ports, "/refuse"), [])

    result = await load.closed(target, scene.body(scene.CHAT), connections=1, seconds=60, limit=3)

    assert (result.requests, result.errors) == (0, 3)


async def test_callers_count_streams_only_if_they_end_with_done(ports):
    body = scene.body("fixed", stream=True)
    whole = await load.closed(
        Target.of(chat_url(ports), []), body, connections=1, seconds=60, limit=3
    )
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    started, target = await server(head + b"a\r\ndata: {}\n\n\r\n0\r\n\r\n")
    async with started:
        cut = await load.closed(target, body, connections=1, seconds=60, limit=3)

    assert (whole.requests, whole.errors) == (3, 0)
    assert (cut.requests, cut.errors) == (0, 3)


async def test_a_connection_that_ends_early_is_an_error_and_dialled_again():
    started, target = await server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort")
    async with started:
        result = await load.closed(target, b"{}", connections=1, seconds=60, limit=3)

    assert (result.requests, result.errors) == (0, 3)


async def test_a_rate_sends_all_its_requests_at_each_address(ports):
    targets = [Target.of(chat_url(ports), []), Target.of(chat_url(ports, "/refuse"), [])]

    well, refused = await load.rate(targets, scene.body(scene.CHAT), per_second=100, seconds=0.2)

    assert (well.requests, well.errors) == (20, 0)
    assert (refused.requests, refused.errors) == (0, 20)


@pytest.mark.skipif(not driver.has_wrk(), reason="wrk is not installed")
async def test_wrk_reports_the_same_numbers_as_our_own_callers(ports):
    well, refused = await asyncio.gather(
        asyncio.to_thread(driver.plain, chat_url(ports), {}, seconds=1),
        asyncio.to_thread(driver.plain, chat_url(ports, "/refuse"), {}, seconds=1),
    )

    assert well.requests > 0
    assert well.errors == 0
    assert refused.requests == 0
    assert refused.errors > 0


# Processes


@pytest.mark.pure
@pytest.mark.parametrize(
    ("shown", "seconds"),
    [("0:00.12", 0.12), ("01:02", 62), ("1:00:01", 3601), ("2-00:00:05", 172_805)],
)
def test_the_times_of_ps_are_read(shown, seconds):
    assert processes.seconds_of(shown) == pytest.approx(seconds)


def test_cpu_time_of_a_tree_holds_that_of_a_child_that_has_ended():
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\ninput()"
    with processes.started([sys.executable, "-c", f"{parent}"], stdin=subprocess.PIPE) as process:
        processes.wait_until_quiet(process.pid)

        assert [found.pid for found in processes.tree(process.pid)] == [process.pid]
        assert processes.cpu_s(process.pid) >= 0.1


# The table


@pytest.mark.pure
def test_the_table_shows_median_range_goal_and_verdict():
    table = report.markdown({"plain_cpu_us": [90, 110, 100], "idle_mb": [91], "unknown": [1]})

    assert table.splitlines()[2:] == [
        "| plain chat, CPU per request | 100 µs | 90 … 110 | ≤ 115 µs | reached |",
        "| idle inference worker, resident | 91 MiB | 91 … 91 | ≤ 90 MiB | **missed** |",
    ]


@pytest.mark.pure
def test_more_is_better_where_the_goal_says_at_least():
    table = report.markdown({"open_streams": [999]})

    assert "≥ 1,000 | **missed**" in table


def test_results_are_kept_as_json(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")

    path = report.write({"idle_mb": [43.0]}, driver="wrk")

    kept = json.loads(path.read_text())
    assert kept["figures"] == {"idle_mb": [43.0]}
    assert kept["machine"]["cores"] == os.cpu_count()


# Peers


@pytest.mark.pure
def test_a_paced_request_says_so_whatever_a_gateway_makes_of_its_model():
    assert b'"paced"' in scene.body(scene.PACED)
    assert b'"paced"' not in scene.body(scene.CHAT)


def test_a_package_that_is_not_to_be_had_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "HOME", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    package = peers.Package(installer="npm", name="@none/none", version="1")
    peer = peers.Peer(name="none", package=package, gateway=peers.Portkey)

    with pytest.raises(peers.CannotInstall, match="node is not installed"):
        peer.install()


@pytest.mark.pure
def test_our_cpu_time_over_a_peers_is_the_mean_of_before_and_after_it():
    before, theirs, after = ({"plain_cpu_us": us, "plain_rate": 1.0} for us in (90.0, 200.0, 110.0))

    assert comparison.ratios(before, theirs, after) == {"plain_cpu_us": 0.5}


@pytest.mark.pure
def test_the_comparison_names_who_is_missing_and_why():
    found = comparison.Comparison()
    found.values = {"Switchyard": {"plain_cpu_us": [90, 110, 100]}, "Peer": {"plain_errors": [2]}}
    found.ratios = {"Peer": {"plain_cpu_us": [0.5]}}
    found.missing = {"Other": "cannot be installed: no node"}

    lines = comparison.markdown(found).splitlines()

    assert lines[2:] == [
        "| **Switchyard** | 100 (90 … 110) |  |  |  |  | 0 |",
        "| Peer |  |  |  |  |  | 2 |",
        "| Switchyard ÷ Peer | 0.50 |  |  |  |  | |",
        "",
        "- Other: cannot be installed: no node",
    ]


# Whole runs


def test_any_gateway_with_the_same_names_can_be_measured(ports):
    bare = Bare(ports)

    figures = measures.failover(bare, requests=3) | measures.idle_memory(bare)

    assert figures["failover_errors"] == 0
    assert figures["idle_mb"] > 0


def test_plan_is_measured_in_a_small_world():
    table = inprocess.table(inprocess.content(2, 3))

    assert inprocess.plan_us(table, 2, calls=2) > 0


def test_a_short_run_measures_switchyard_and_gives_a_table(migrated_data_dir):
    def switchyard(folder):
        shutil.copytree(migrated_data_dir, folder / "data")
        return gateways.Switchyard(folder)

    values = command.collect(["failover"], runs=1, seconds=0.05, gateway=switchyard)

    assert values["failover_errors"] == [0]
    assert "failover after a 503, added at p50" in report.markdown(values)
