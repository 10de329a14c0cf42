"""This gateway and its peers in turn: the ratios, the table, who is missing."""

from __future__ import annotations

import pytest

from bench.peers import comparison
from bench.peers.packages import Package, Peer
from bench.peers.rolter import Rolter


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


@pytest.mark.pure
def test_a_part_that_a_peer_cannot_do_is_not_asked_and_named():
    package = Package(installer="pip", name="none", version="1")
    why = {"failover": "it has one target", "latency": "no clock"}
    peer = Peer(name="none", package=package, gateway=Rolter, cannot=why)

    assert comparison.asked_of(peer, ["plain", "failover"]) == (
        ["plain"],
        {"failover": "it has one target"},
    )
