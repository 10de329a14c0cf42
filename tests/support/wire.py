"""Wire protocols by their names, as tests call them."""

from __future__ import annotations

import json
from typing import Any

from providers.adapters.judging import Judging
from providers.errors import Failure
from providers.protocols import PROTOCOLS, Request, Scanner, Usage

JUDGE = Judging()


def parse(protocol: str, body: bytes, target: str = "") -> Request:
    return PROTOCOLS[protocol].parse(body, target)


def asked(protocol: str, target: str = "", **members: Any) -> Request:
    """A short request of `protocol` with these members, too."""
    body = {"model": "m", **PROTOCOLS[protocol].example, **members}
    return parse(protocol, json.dumps(body).encode(), target)


def scanner_of(
    protocol: str, judge: Judging = JUDGE, *, target: str = "", **members: Any
) -> Scanner:
    """What reads the stream of such a request."""
    return asked(protocol, target, stream=True, **members).scanner(judge)


def check_reply(
    protocol: str, content_type: bytes | None, body: bytes, judge: Judging = JUDGE
) -> Usage | Failure:
    """What a whole 200 cost, or why it is no answer."""
    reply = asked(protocol).read(content_type, body, judge)
    return reply if isinstance(reply, Failure) else reply.usage
