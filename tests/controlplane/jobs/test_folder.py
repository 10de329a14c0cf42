"""The embedded broker: no message is met half, none twice, and a bad one ends nobody."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from kombu import Connection, Exchange, Queue

from controlplane.jobs import folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.pure


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Connection]:
    with Connection(
        transport="controlplane.jobs.folder:FolderTransport",
        hostname="localhost",
        transport_options={"folder": str(tmp_path / "broker")},
    ) as connection:
        yield connection


def get(broker: Connection, name: str = "jobs") -> object:
    message = broker.SimpleQueue(name, no_ack=True).get(block=False)
    return message.payload


def put(broker: Connection, *payloads: object) -> None:
    for payload in payloads:
        broker.SimpleQueue("jobs").put(payload)


def test_messages_come_in_the_order_in_which_they_were_put(broker):
    put(broker, {"n": 1}, {"n": 2}, {"n": "ü"})
    assert [get(broker) for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": "ü"}]
    with pytest.raises(broker.SimpleQueue("jobs").Empty):
        get(broker)


def test_queues_whose_names_end_alike_are_two(broker):
    broker.SimpleQueue("other.jobs").put("theirs")
    with pytest.raises(broker.SimpleQueue("jobs").Empty):
        get(broker)


def test_of_two_readers_each_message_has_one(broker, tmp_path):
    put(broker, *range(20))
    with broker.clone() as other:
        seen = [get((broker, other)[n % 2]) for n in range(20)]
    assert sorted(seen) == list(range(20))


def test_what_cannot_be_read_is_dropped_and_the_rest_goes_on(broker, tmp_path, caplog):
    put(broker, "before")
    (tmp_path / "broker" / "0_half.jobs.msg").write_text('{"body": "ha')
    (tmp_path / "broker" / "1_bytes.jobs.msg").write_bytes(b"\xff\xfe")
    assert get(broker) == "before"
    with pytest.raises(broker.SimpleQueue("jobs").Empty):
        get(broker)
    assert "0_half.jobs.msg cannot be read" in caplog.text
    assert list((tmp_path / "broker").glob("*.msg")) == []


def test_messages_are_nobodys_elses(broker, tmp_path):
    put(broker, "mine")
    (message,) = (tmp_path / "broker").glob("*.msg")
    assert message.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "broker").stat().st_mode & 0o777 == 0o700


def test_what_nobody_fetches_is_swept(broker, tmp_path):
    put(broker, "old", "new")
    old, new = sorted((tmp_path / "broker").glob("*.msg"))
    before = time.time() - folder.KEPT_S - 1
    os.utime(old, (before, before))
    folder.sweep(tmp_path / "broker")
    assert not old.exists()
    assert new.exists()


def test_a_message_for_all_reaches_every_queue_that_listens(broker):
    exchange = Exchange("news", type="fanout")
    queues = [Queue(f"listener{n}", exchange, routing_key="") for n in (1, 2)]
    with broker.Producer() as producer:
        for queue in queues:
            queue(producer.channel).declare()
        producer.publish("heard", exchange=exchange, routing_key="")
    assert [get(broker, queue.name) for queue in queues] == ["heard", "heard"]
