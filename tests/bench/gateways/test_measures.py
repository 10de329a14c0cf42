"""What is measured of one running gateway."""

from __future__ import annotations

import os

from bench.gateways import measures
from tests.bench.asking import chat_url


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


def test_any_gateway_with_the_same_names_can_be_measured(ports):
    bare = Bare(ports)

    figures = measures.failover(bare, requests=3) | measures.idle_memory(bare)

    assert figures["failover_errors"] == 0
    assert figures["idle_mb"] > 0
