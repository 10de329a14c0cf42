"""
The broker that REDIS_URL names: kombu's, with one sharp edge taken off.

What is left over of a connection that was lost (a message to be acknowledged or given back) asks
for a new one of a channel that is closed, which is an AttributeError there (kombu 5.7). Nobody
takes that for what it is, and it ends the worker.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis


class RemoteChannel(redis.Channel):  # type: ignore[misc] # kombu has no types
    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionResetError("the connection to the broker was lost")
        return super()._connparams(asynchronous=asynchronous)


class RemoteTransport(redis.Transport):  # type: ignore[misc] # kombu has no types
    Channel = RemoteChannel
