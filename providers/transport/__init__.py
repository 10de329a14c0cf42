"""
HTTP/1.1 to upstreams: pooled, bounded, one deadline per wait.

    client.Transport      send(): pool, exchange, one fresh try after a stale connection
    pool.ConnectionPool   idle and open connections of one endpoint
    dialing.Dialer        resolve, connect to the first address that answers, TLS
    guard                 which addresses are called for operators only
    outside.exchange      one exchange with an address that is no provider's
    proxy                 CONNECT tunnels and absolute-form requests
    connection.Connection one socket, its parser, its one timer: the fast path
    response.Response     what the caller reads and closes
    unpacking.unpacked    the same for a reply with a content coding

Content codings are left as they came: the caller decides what it asks for, and sees the field.
"""

from providers.transport.client import Transport
from providers.transport.endpoint import Endpoint, TransportLimits
from providers.transport.response import Response
from providers.transport.unpacking import unpacked

__all__ = ["Endpoint", "Response", "Transport", "TransportLimits", "unpacked"]
