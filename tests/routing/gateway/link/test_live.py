"""What a worker does with the snapshot file and with the control child's news."""

from __future__ import annotations

import asyncio
import contextlib
import time
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from controlplane.control.hub import Hub, LastRound
from failover.engine.benches import BenchEntry, Benches
from failover.engine.plan import Affinity
from routing.gateway.app import Gateway as RealGateway
from routing.gateway.deciding.snapshot import (
    CandidateSpec,
    Content,
    PoolSpec,
    Snapshot,
    Steps,
    SwitchSpec,
    checksum,
    decode,
    encode,
)
from routing.gateway.deciding.state import LiveState
from routing.gateway.deciding.switches import OVERDUE_S
from routing.gateway.link import channel
from routing.gateway.link.live import LiveFeed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Gateway:
    """The smallest thing that LiveFeed can feed: it keeps what it is given."""

    clock = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}
        self.benches = Benches(rng=Random(1), wall=time.time)
        self.live = LiveState(benches=self.benches)
        self.loaded: list[int] = []
        self.off: tuple[str, ...] = ()
        self.refusal = ""
        self.mistake: Exception | None = None

    def loading(self, snapshot: Snapshot) -> Steps[None]:
        yield
        if self.refusal:
            raise ValueError(self.refusal)
        if self.mistake:
            raise self.mistake
        self.loaded.append(snapshot.generation)
        self.off = tuple(spec.provider for spec in snapshot.content.switches)

    def held(self, subject: str) -> BenchEntry | None:
        return self.benches.holding((subject, None), time.monotonic())


def write_snapshot(data_dir: Path, generation: int, *switches: SwitchSpec) -> None:
    content = Content(switches=switches)
    snapshot = Snapshot(
        generation=generation, created_at=1.0, checksum=checksum(content), content=content
    )
    draft = data_dir / "draft"
    draft.write_bytes(encode(snapshot))
    draft.replace(data_dir / channel.SNAPSHOT_FILE)


def bench_entry(subject: str, **more: Any) -> BenchEntry:
    now = time.time()
    fields = {"credential": None, "since": now, "until": now + 60, "reason": "status", **more}
    return BenchEntry(subject=subject, **fields)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with Host(tmp_path) as host:
        yield host


class Host(contextlib.AsyncExitStack):
    """A hub, and the workers that a test adds. `publish` hands out what the test has set."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__()
        self.data_dir = data_dir
        self.last_round = LastRound()
        (data_dir / channel.RUN_DIR).mkdir()

    async def publish(self) -> LastRound:
        return self.last_round

    async def start_hub(self) -> Hub:
        hub = Hub(channel.claim_socket_path(self.data_dir), self.publish)
        await hub.start()
        self.push_async_callback(hub.aclose)
        return hub

    async def start_worker(self, name: str = "1") -> Gateway:
        gateway = Gateway()
        live = LiveFeed(gateway, self.data_dir, worker=name)
        await live.load_from_disk()
        live.start()
        self.push_async_callback(live.aclose)
        return gateway

    async def ask(self, **message: Any) -> Any:
        reader, writer = await asyncio.open_unix_connection(channel.socket_path(self.data_dir))
        writer.write(channel.line(message))
        answer = msgspec.json.decode(await reader.readline())
        writer.close()
        return answer

    async def meet_workers(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len((await self.ask(op="status"))["workers"]) < count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)


async def test_a_worker_starts_with_the_last_good_snapshot_on_disk(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 7)
    gateway = Gateway()

    await LiveFeed(gateway, tmp_path).load_from_disk()

    assert gateway.loaded == [7]
    assert gateway.status["source"] == "disk"
    assert gateway.status["snapshot_error"] == ""


async def test_no_snapshot_on_disk_is_no_error(tmp_path: Path) -> None:
    gateway = Gateway()

    await LiveFeed(gateway, tmp_path).load_from_disk()

    assert gateway.loaded == []
    assert gateway.status["snapshot_error"] == ""


async def test_a_torn_snapshot_leaves_what_is_there_and_is_noted(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 7)
    gateway = Gateway()
    live = LiveFeed(gateway, tmp_path)
    await live.load_from_disk()
    file = tmp_path / channel.SNAPSHOT_FILE

    file.write_bytes(file.read_bytes()[:-9])
    await live.load_from_disk()

    assert gateway.loaded == [7]
    assert "not a snapshot" in gateway.status["snapshot_error"]


async def test_a_snapshot_that_the_gateway_refuses_is_noted_with_its_reason(tmp_path: Path) -> None:
    gateway = Gateway()
    gateway.refusal = "a secret cannot be decrypted"
    write_snapshot(tmp_path, 3)

    await LiveFeed(gateway, tmp_path).load_from_disk()

    assert gateway.status["snapshot_error"] == "a secret cannot be decrypted"


async def test_a_good_snapshot_after_a_refused_one_clears_the_error(tmp_path: Path) -> None:
    gateway = Gateway()
    live = LiveFeed(gateway, tmp_path)
    gateway.refusal = "no"
    write_snapshot(tmp_path, 3)
    await live.load_from_disk()

    gateway.refusal = ""
    write_snapshot(tmp_path, 4)
    await live.load_from_disk()

    assert gateway.loaded == [4]
    assert gateway.status["snapshot_error"] == ""


async def test_a_mistake_of_ours_in_one_snapshot_does_not_keep_the_next_away(
    tmp_path: Path,
) -> None:
    gateway = Gateway()
    live = LiveFeed(gateway, tmp_path)
    live.start()
    gateway.mistake = KeyError("a")
    write_snapshot(tmp_path, 3)
    await until(lambda: gateway.status["snapshot_error"].startswith("KeyError"))

    gateway.mistake = None
    write_snapshot(tmp_path, 4)
    await until(lambda: gateway.loaded == [4])
    await live.aclose()

    assert gateway.status["snapshot_error"] == ""


async def test_without_a_control_child_a_new_file_is_found_all_the_same(host: Host) -> None:
    write_snapshot(host.data_dir, 1)
    gateway = await host.start_worker()

    write_snapshot(host.data_dir, 2)

    await until(lambda: gateway.loaded == [1, 2])
    assert gateway.status["source"] == "disk"


async def test_publish_is_answered_once_every_worker_has_loaded_it(host: Host) -> None:
    await host.start_hub()
    gateways = [await host.start_worker(str(number)) for number in range(3)]
    await host.meet_workers(3)
    write_snapshot(host.data_dir, 5)
    host.last_round = LastRound(generation=5)

    answer = await host.ask(op="publish")

    assert answer == {"generation": 5, "refused": []}
    assert [gateway.loaded for gateway in gateways] == [[5], [5], [5]]
    assert {gateway.status["source"] for gateway in gateways} == {"control"}


async def test_publish_says_which_worker_refused_and_why(host: Host) -> None:
    await host.start_hub()
    gateway = await host.start_worker("w")
    gateway.refusal = "a secret cannot be decrypted"
    await host.meet_workers(1)
    write_snapshot(host.data_dir, 5)
    host.last_round = LastRound(generation=5)

    answer = await host.ask(op="publish")

    assert answer == {"generation": 5, "refused": ["worker w: a secret cannot be decrypted"]}


async def test_a_worker_shows_a_refused_edit_of_the_file_and_a_database_that_is_down(
    host: Host,
) -> None:
    hub = await host.start_hub()
    gateway = await host.start_worker()
    await host.meet_workers(1)

    hub.announce(LastRound(refused=("config.yaml:3: routing: unknown key",), error="no database"))

    await until(lambda: gateway.status["control_error"] == "no database")
    assert gateway.status["config_errors"] == ["config.yaml:3: routing: unknown key"]


async def test_a_worker_meets_a_control_child_that_comes_later_and_learns_the_generation(
    host: Host,
) -> None:
    write_snapshot(host.data_dir, 9)
    gateway = await host.start_worker()
    host.last_round = LastRound(generation=9)

    hub = await host.start_hub()
    hub.announce(host.last_round)

    await until(lambda: gateway.status["source"] == "control")
    assert gateway.loaded == [9]


async def test_a_bench_of_one_worker_reaches_the_others_and_the_board(host: Host) -> None:
    await host.start_hub()
    first, second = await host.start_worker("1"), await host.start_worker("2")
    await host.meet_workers(2)

    first.benches.bench(bench_entry("openai/gpt", manual=True), time.monotonic())

    await until(lambda: second.held("openai/gpt"))
    board = (await host.ask(op="benches"))["entries"]
    assert [entry["subject"] for entry in board] == ["openai/gpt"]


async def test_a_worker_that_comes_later_is_given_the_whole_board(host: Host) -> None:
    await host.start_hub()
    first = await host.start_worker("1")
    await host.meet_workers(1)
    first.benches.bench(bench_entry("openai/gpt", manual=True), time.monotonic())

    second = await host.start_worker("2")

    await until(lambda: second.held("openai/gpt"))


async def test_a_new_hub_learns_the_benches_from_the_workers(host: Host) -> None:
    hub = await host.start_hub()
    gateway = await host.start_worker()
    await host.meet_workers(1)
    await hub.aclose()
    gateway.benches.bench(bench_entry("openai/gpt", manual=True), time.monotonic())

    await host.start_hub()
    await host.meet_workers(1)
    second = await host.start_worker("2")

    await until(lambda: second.held("openai/gpt"))


async def test_a_bench_by_hand_is_answered_when_every_worker_knows_it(host: Host) -> None:
    await host.start_hub()
    gateways = [await host.start_worker(str(number)) for number in range(2)]
    await host.meet_workers(2)

    answer = await host.ask(op="bench", entry=bench_entry("openai/gpt", reason="maintenance"))

    assert answer["entry"]["manual"] is True
    assert [g.held("openai/gpt").reason for g in gateways] == ["maintenance", "maintenance"]


async def test_a_release_ends_every_bench_of_the_string_unless_one_credential_is_named(
    host: Host,
) -> None:
    await host.start_hub()
    gateway = await host.start_worker()
    await host.meet_workers(1)
    for credential in (None, "main", "spare"):
        await host.ask(op="bench", entry=bench_entry("openai/gpt", credential=credential))

    one = await host.ask(op="release", subject="openai/gpt", credential="spare")
    rest = await host.ask(op="release", subject="openai/gpt")
    none = await host.ask(op="release", subject="openai/gpt")

    assert [one, rest, none] == [{"released": 1}, {"released": 2}, {"released": 0}]
    assert gateway.benches.entries(time.monotonic()) == []


async def test_after_a_release_a_new_bench_by_hand_holds_again(host: Host) -> None:
    await host.start_hub()
    gateway = await host.start_worker()
    await host.meet_workers(1)
    await host.ask(op="bench", entry=bench_entry("openai/gpt"))
    await host.ask(op="release", subject="openai/gpt")

    await host.ask(op="bench", entry=bench_entry("openai/gpt"))

    assert gateway.held("openai/gpt") is not None


async def test_nonsense_to_the_hub_is_answered_with_what_is_wrong(host: Host) -> None:
    await host.start_hub()

    answer = await host.ask(op="dance")

    assert "dance" in answer["error"]


async def test_the_socket_is_for_its_owner_alone(host: Host) -> None:
    await host.start_hub()

    assert channel.socket_path(host.data_dir).stat().st_mode & 0o777 == 0o600


async def test_a_data_dir_too_deep_for_a_socket_gets_a_short_private_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    async with Host(deep) as host:
        await host.start_hub()
        answer = await host.ask(op="status")

        folder = channel.socket_path(deep).parent
        assert answer["workers"] == []
        assert folder.stat().st_mode & 0o777 == 0o700
        assert channel.claim_socket_path(deep).parent == folder

    channel.give_up_socket_path(deep)
    assert not folder.exists()


async def test_benches_that_the_control_child_wrote_down_hold_before_it_is_there(
    tmp_path: Path,
) -> None:
    channel.write_benches(tmp_path, [bench_entry("one/m", manual=True)])
    gateway = Gateway()

    await LiveFeed(gateway, tmp_path).load_from_disk()

    assert gateway.held("one/m") is not None
    assert (tmp_path / channel.BENCHES_FILE).stat().st_mode & 0o777 == 0o600


async def test_a_file_of_benches_that_cannot_be_read_is_nobodys_end(tmp_path: Path) -> None:
    (tmp_path / channel.BENCHES_FILE).write_bytes(b'[{"subject": 1')
    gateway = Gateway()

    await LiveFeed(gateway, tmp_path).load_from_disk()

    assert gateway.benches.is_empty


async def test_a_release_without_a_control_child_is_told_when_there_is_one(host: Host) -> None:
    one = await host.start_worker("1")
    one.benches.merge([bench_entry("one/m")], time.monotonic())
    one.benches.release(("one/m", None), time.monotonic())
    two = await host.start_worker("2")
    two.benches.merge([bench_entry("one/m")], time.monotonic())

    await host.start_hub()

    await until(lambda: two.held("one/m") is None)


async def test_the_board_says_how_many_workers_know_of_a_bench(host: Host) -> None:
    await host.start_hub()
    one = await host.start_worker("1")
    await host.start_worker("2")
    await host.meet_workers(2)

    one.benches.bench(bench_entry("one/m", manual=True), time.monotonic())
    async with asyncio.timeout(10):
        while not (rows := (await host.ask(op="board"))["rows"]) or rows[0]["seen"] < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)

    assert (await host.ask(op="board"))["workers"] == 2


async def test_sessions_that_moved_are_known_to_other_workers_and_to_those_that_come_later(
    host: Host,
) -> None:
    await host.start_hub()
    one, two = await host.start_worker("1"), await host.start_worker("2")
    await host.meet_workers(2)
    moved = Affinity(
        pool="m",
        session=2**63,
        natural="a/x",
        pinned="",
        members=frozenset({"a/x", "b/x"}),
        ttl_s=60,
    )

    one.live.pins.note(moved, "b/x", time.monotonic())

    def pinned(gateway: Gateway) -> bool:
        return gateway.live.pins.get("m", 2**63, time.monotonic()) == "b/x"

    await until(lambda: pinned(two))
    three = await host.start_worker("3")
    await until(lambda: pinned(three))


async def test_requests_get_their_turn_while_a_large_snapshot_is_taken(tmp_path: Path) -> None:
    """In turns of the event loop, not in seconds: 5,000 pools are taken in at least ten steps."""
    candidate = CandidateSpec(provider="p", model="m")
    pools = tuple(PoolSpec(name=f"m{n:04}", candidates=(candidate,)) for n in range(5000))
    content = Content(pools=pools)
    snapshot = Snapshot(generation=1, created_at=1.0, checksum=checksum(content), content=content)
    (tmp_path / channel.SNAPSHOT_FILE).write_bytes(encode(snapshot))
    gateway = RealGateway(decrypt=str, environ={}, clock=time.monotonic)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    await LiveFeed(gateway, tmp_path).load_from_disk()
    others.cancel()

    assert gateway.table is not None
    assert len(gateway.table.pools) == 5000
    assert turns >= 10
    await gateway.shutdown()


def test_a_snapshot_is_the_same_in_steps_and_at_once() -> None:
    pools = tuple(
        PoolSpec(name=f"m{n:04}", candidates=(CandidateSpec(provider="p", model=f"{n}"),))
        for n in range(2500)
    )
    content = Content(pools=pools, disabled_models=("x",), switches=(SwitchSpec(kind="provider"),))
    snapshot = Snapshot(generation=3, created_at=1.0, checksum=checksum(content), content=content)

    assert decode(encode(snapshot)) == snapshot


async def test_a_switch_ends_by_its_time_though_nobody_publishes(tmp_path: Path) -> None:
    now = time.time()
    write_snapshot(
        tmp_path,
        7,
        SwitchSpec(kind="provider", provider="brief", until=now - OVERDUE_S + 1),
        SwitchSpec(kind="provider", provider="later", until=now + 3600),
        SwitchSpec(kind="provider", provider="open-ended"),
        SwitchSpec(kind="provider", provider="over", until=now - 3600),
    )
    async with Host(tmp_path) as host:
        gateway = await host.start_worker()
        assert gateway.off == ("brief", "later", "open-ended")

        await until(lambda: gateway.off == ("later", "open-ended"))
        assert gateway.loaded == [7, 7]


# health


async def test_whoever_is_there_hears_how_providers_are_and_whoever_comes_later_at_once(
    host: Host,
) -> None:
    write_snapshot(host.data_dir, 1)
    hub = await host.start_hub()
    first = await host.start_worker()
    await host.meet_workers(1)

    hub.tell_health({"a": "unhealthy", "b": "degraded"})
    await until(lambda: first.live.unhealthy == {"a"})
    second = await host.start_worker("2")
    await until(lambda: second.live.health == {"a": "unhealthy", "b": "degraded"})

    hub.tell_health({"a": "healthy"})
    await until(lambda: first.live.health == second.live.health == {"a": "healthy"})
    assert first.live.unhealthy == second.live.unhealthy == frozenset()


@pytest.mark.parametrize("broken", [b"", b"nonsense", None])
async def test_a_worker_that_starts_while_the_snapshot_is_broken_serves_it_as_it_was_kept(
    tmp_path: Path, broken: bytes | None
) -> None:
    write_snapshot(tmp_path, 7)
    whole = (tmp_path / channel.SNAPSHOT_FILE).read_bytes()
    (tmp_path / channel.KEPT_SNAPSHOT_FILE).write_bytes(whole)
    if broken is None:
        (tmp_path / channel.SNAPSHOT_FILE).unlink()
    else:
        (tmp_path / channel.SNAPSHOT_FILE).write_bytes(broken)
    gateway = Gateway()
    feed = LiveFeed(gateway, tmp_path)
    await feed.load_from_disk()
    assert gateway.loaded == [7]
    assert bool(gateway.status["snapshot_error"]) is (broken is not None)

    write_snapshot(tmp_path, 8)
    feed.start()
    await until(lambda: gateway.loaded[-1] == 8)
    await feed.aclose()
    assert gateway.status["snapshot_error"] == ""
