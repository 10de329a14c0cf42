"""What is amiss between hosts, from what they told."""

from __future__ import annotations

from typing import Any

import pytest

from routing.gateway.link.fleet import SILENT_AFTER_S, Fleet, HostSeen, WorkerSeen, judge

pytestmark = pytest.mark.pure

PUBLISHED = [(412, 100.0), (411, 90.0), (410, 80.0)]


def worker(name: str = "1", generation: int | None = 412, **more: Any) -> WorkerSeen:
    return WorkerSeen(worker=name, pid=7, plane="both", generation=generation, **more)


def host(name: str, *workers: WorkerSeen, **more: Any) -> HostSeen:
    told = {"id": name, "data_dir": "/data", "pid": 1, "expected_workers": len(workers), **more}
    return HostSeen(host=name, workers=workers, **told)


def seen(*hosts: HostSeen) -> Fleet:
    return judge(hosts, PUBLISHED, 103.0)


def differs(*hosts: HostSeen) -> list[tuple[str, ...]]:
    return [found.differs for found in seen(*hosts).hosts]


def test_workers_on_the_newest_generation_are_counted_over_all_hosts():
    found = seen(host("b", worker("1"), worker("2", 411)), host("a", worker("1")))

    assert found.serving == "2 of 3 on 412"
    assert [(h.host, h.state) for h in found.hosts] == [("a", "current"), ("b", "behind")]


def test_lag_counts_generations_and_the_time_since_the_first_one_that_is_missing():
    (found,) = seen(host("a", worker("1", 410), worker("2", None))).hosts

    assert [(w.behind, w.lag_s) for w in found.workers] == [(2, 13.0), (3, 23.0)]


def test_a_worker_that_is_gone_is_missed():
    found = seen(host("a", worker("1"), expected_workers=2))

    assert found.serving == "1 of 2 on 412"
    assert found.hosts[0].state == "behind"


def test_a_host_without_a_word_for_ten_seconds_is_silent_and_its_workers_serve_nothing():
    found = seen(host("a", worker()), host("b", worker(), silent_s=SILENT_AFTER_S))

    assert found.serving == "1 of 2 on 412"
    assert [h.state for h in found.hosts] == ["current", "silent"]


@pytest.mark.parametrize(
    "trouble",
    [
        {"error": "the disk is full"},
        {"refused": ("switchyard.yaml:3: no",)},
        {"workers": (worker(error="it cannot be decrypted"),)},
    ],
)
def test_what_was_refused_makes_a_host_troubled(trouble: dict[str, Any]):
    told = HostSeen(**{"id": "a", "host": "a", "data_dir": "/", "pid": 1, **trouble})

    assert seen(told).hosts[0].state == "troubled"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("config_checksum", "configuration file"),
        ("keys_fingerprint", "encryption keys"),
        ("version", "version"),
    ],
)
def test_the_host_that_has_something_else_than_most_differs(field: str, words: str):
    same = [host(name, **{field: "one"}) for name in "ab"]

    assert differs(*same, host("c", **{field: "other"})) == [(), (), (words,)]


def test_of_two_hosts_that_differ_both_are_shown():
    one, two = host("a", config_checksum="one"), host("b", config_checksum="two")

    assert differs(one, two) == [("configuration file",), ("configuration file",)]


def test_a_silent_host_differs_from_nobody():
    gone = host("b", config_checksum="two", silent_s=60)

    assert differs(host("a", config_checksum="one"), gone) == [(), ()]


def test_without_a_generation_nobody_is_behind():
    found = judge([host("a", worker(generation=None))], [], 1.0)

    assert found.serving == "1 of 1 on no generation"
    assert found.hosts[0].state == "current"
