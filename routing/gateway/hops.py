"""
By which gateways a request has come, so that none asks itself.

A provider's address may lead back here, directly or by another gateway; one request would then
call until every connection is used up. Every call says `x-switchyard-hops: ID`, with the ids of
the gateways before this one in the order of their coming.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from providers.adapters.headers import HOPS
from providers.secrets.encryption import read_or_create
from routing.gateway.errors import Refused, bad_request
from routing.gateway.link.channel import RUN_DIR

Header = tuple[bytes, bytes]
MAX_HOPS: Final = 4
LOOP_STATUS: Final = 508
_SANE: Final = re.compile(rb"[0-9a-z]{4,32}")


def hop_of(data_dir: Path) -> bytes:
    """The id of the host that has `data_dir`: the same for all its workers, and at every start."""
    # A folder may be a copy of another host's, and hosts of one name may share none.
    token = read_or_create(data_dir / RUN_DIR / "host", lambda: secrets.token_hex(4))
    return sha256(f"{socket.gethostname()} {token}".encode()).hexdigest()[:12].encode()


def hops_of(headers: Iterable[Header], own: bytes) -> list[Header]:
    """
    The line that tells the next gateway of those before this one.

    Raises Refused: 508 for a request that has been here before or by too many, 400 for ids that
    are none.
    """
    said = b",".join(value for name, value in headers if name == HOPS)
    hops = [hop.strip() for hop in said.split(b",") if hop.strip()]
    if odd := next((hop for hop in hops if not _SANE.fullmatch(hop)), None):
        raise bad_request(
            f"x-switchyard-hops holds {odd[:40].decode('latin-1')!r}; allowed are ids of gateways: "
            "4 to 32 digits and small letters, between commas"
        )
    if own in hops:
        raise _loop("the request has come back to this gateway: a provider's address leads here")
    if len(hops) >= MAX_HOPS:
        raise _loop(f"the request has come by {len(hops)} gateways; allowed are {MAX_HOPS}")
    return [(HOPS, b",".join(hops))] if hops else []


def _loop(words: str) -> Refused:
    return Refused(
        LOOP_STATUS,
        f"Loop: {words}.",
        type="invalid_request_error",
        code="loop_detected",
        should_retry=False,
    )
