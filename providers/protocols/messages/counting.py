"""What a Messages request would cost: asked of a provider, or estimated here."""

from __future__ import annotations

import msgspec

from providers.errors import Failure
from providers.protocols.messages.request import MessagesRequest
from providers.protocols.messages.stream import MessagesScanner
from providers.protocols.protocol import Judge, Reply, Request
from providers.protocols.usage import Usage, count
from providers.protocols.whole import decoded, no_answer


class CountRequest(MessagesRequest):
    """Asks for a number, which costs nothing."""

    __slots__ = ()

    @property
    def max_output_tokens(self) -> int | None:
        return None

    def read(self, content_type: bytes | None, body: bytes, judge: Judge) -> Reply | Failure:
        found = decoded(content_type, body, judge)
        if isinstance(found, Failure):
            return found
        if not isinstance(found, dict) or count(found.get("input_tokens")) is None:
            return no_answer("the reply has no input_tokens")
        return Reply(body, content_type or b"application/json", Usage())

    def scanner(self, judge: Judge) -> MessagesScanner:
        raise NotImplementedError("a count does not come in a stream")


def estimated(request: Request) -> bytes:
    """At least 1: a count of 0 reads as a failure to SDKs' users."""
    return msgspec.json.encode({"input_tokens": max(request.estimated_input_tokens, 1)})
