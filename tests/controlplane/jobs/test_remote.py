"""The broker that REDIS_URL names, as it goes away."""

from __future__ import annotations

import pytest
from kombu import Connection
from kombu.simple import SimpleQueue

from controlplane.celery import broker_of


def test_what_is_left_over_of_a_lost_connection_counts_as_its_loss(valkey_url, tmp_path):
    """Anything else than an error of the connection would end the worker."""
    options = broker_of(valkey_url, tmp_path)
    connection = Connection(
        options["broker_url"], transport_options=options["broker_transport_options"]
    )
    queue = SimpleQueue(connection.default_channel, "q")
    queue.put({})
    message = queue.get(timeout=5)
    connection.transport.client = None  # as kombu does it when it gives up a connection

    connection.release()

    with pytest.raises(connection.connection_errors):
        message.ack()
