"""
What can go wrong, by whose fault it is.

    ProviderError       the provider, or the way to it; the engine turns it into a Failure
        ConnectFailed       refused, DNS, TLS, connect timeout: nothing was sent
        PoolFull            our own bound of connections to it is reached: nothing was sent
        ConnectionReset     the connection died; `reused` says if it had served before
        UpstreamTimedOut    nothing came in time
        BadFraming          the peer does not speak HTTP, or breaks our bounds

    ProtocolError       the caller: a request that does not have the shape its protocol asks for

GatewayError (routing.gateway.errors) is ours.
A Failure is a value, not an exception: one row of the verdict table with its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProviderError(Exception):
    """The provider, or the way to it, failed. The text never holds a key or a URL's userinfo."""


class ConnectFailed(ProviderError):
    """No connection: refused, unknown host, TLS, proxy, or no answer in `connect_s`."""


class PoolFull(ProviderError):
    """All connections that we allow ourselves to this endpoint are in use."""


class ConnectionReset(ProviderError):
    """The connection ended where more was due."""


class UpstreamTimedOut(ProviderError):
    """Nothing came before the deadline that the engine gave."""


class BadFraming(ProviderError):
    """What came is not HTTP/1.1, or is larger than our bounds allow."""


class ProtocolError(Exception):
    """
    The caller's request is not what its protocol asks for; another candidate would not help.

    `message` names the field, the value and what is allowed. `param` is the field, where there is
    one.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


class Fault(StrEnum):
    """The rows of the verdict table (docs/failover.md): what happened, never what to do."""

    CONNECT = "connect"  # refused, DNS, TLS, connect timeout
    RESET = "reset"  # reset before headers on a fresh connection
    TIMEOUT = "timeout"  # first-token, idle or total, before content
    STATUS = "status"  # 408, 424, 5xx, and any status listed as retryable
    OVERLOADED = "overloaded"  # 529, a 503 that says overloaded, Gemini UNAVAILABLE
    RATE_LIMITED = "rate_limited"  # 429
    QUOTA = "quota"  # 429 insufficient_quota, 402, balance spent
    AUTH = "auth"  # 401, or a body that says the key is bad
    FORBIDDEN_MODEL = "forbidden_model"  # 403 that names a model
    FORBIDDEN = "forbidden"  # any other 403
    MODEL_NOT_FOUND = "model_not_found"  # 404, 400 or 403: not found, retired, unsupported
    CONFIG = "config"  # redirects, 204, 304, 405, 415, 426, 501, nonsense
    CONTEXT_LENGTH = "context_length"  # 400: the context window is too small
    CONTENT_FILTER = "content_filter"  # 400 or 403: moderation, refusal
    CALLER = "caller"  # 400, 409, 413, 422 and other caller errors
    BAD_REPLY = "bad_reply"  # 200 with an error, HTML, nothing, broken JSON
    BAD_STREAM = "bad_stream"  # first event an error, or the end without content
    INTERRUPTED = "interrupted"  # the stream broke after content was sent
    BUSY = "busy"  # our own bound of connections to the provider is reached
    LOOP = "loop"  # the way to the provider leads back to a gateway that the request has come by
    HEDGED = "hedged"  # called off: another candidate, called beside it, was first
    OWN = "own"  # our limits, guard refusals, the caller went away


MESSAGE_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """
    One failed attempt, classified.

    `message` is at most 500 characters, and safe to show to operators and callers.
    `stated_by` is the field that states `retry_after_s`. `body` and `content_type` are the
    upstream's own words, kept only where a caller may get them unchanged (CALLER, CONTEXT_LENGTH,
    CONTENT_FILTER).
    """

    fault: Fault
    message: str
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    stated_by: str = ""
    body: bytes | None = None
    content_type: str = "application/json"
