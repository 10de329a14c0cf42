"""
By which gateways a request has come, so that none asks itself.

A provider's address may lead back here, directly or by another gateway; one request would then
call until every connection is used up. Every call says `via: 1.1 switchyard-ID`, with the gateways
before this one in the order of their coming. What other proxies say there stays here.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from providers.adapters.headers import VIA
from providers.secrets.encryption import read_or_create
from routing.gateway.errors import Refused
from routing.gateway.link.channel import RUN_DIR

Header = tuple[bytes, bytes]
MAX_HOPS: Final = 4
LOOP_STATUS: Final = 508
_HOP: Final = re.compile(rb"1\.1 switchyard-[0-9a-f]{12}")


def hop_of(data_dir: Path) -> bytes:
    """
    What the host that has `data_dir` says of itself: the same for all its workers, at every start.
    """
    # A folder may be a copy of another host's, and hosts of one name may share none.
    token = read_or_create(data_dir / RUN_DIR / "host", lambda: secrets.token_hex(4))
    name = sha256(f"{socket.gethostname()} {token}".encode()).hexdigest()[:12]
    return b"1.1 switchyard-" + name.encode()


def hops_of(headers: Iterable[Header], own: bytes) -> list[Header]:
    """
    The line that tells the next gateway of those before this one.

    Raises Refused (508) for a request that has been here before, or by too many.
    """
    said = b",".join([value for name, value in headers if name == VIA])
    hops = [hop for entry in said.split(b",") if _HOP.fullmatch(hop := entry.strip())]
    if own in hops:
        raise _loop("the request has come back to this gateway: a provider's address leads here")
    if len(hops) >= MAX_HOPS:
        raise _loop(f"the request has come by {len(hops)} gateways; allowed are {MAX_HOPS}")
    return [(VIA, b", ".join(hops))] if hops else []


def _loop(words: str) -> Refused:
    return Refused(
        LOOP_STATUS,
        f"Loop: {words}.",
        type="invalid_request_error",
        code="loop_detected",
        should_retry=False,
    )
