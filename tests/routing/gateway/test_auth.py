"""Who a key belongs to, and until when."""

from __future__ import annotations

import pytest

from routing.gateway.auth import authenticate, digest_of, new_key
from routing.gateway.deciding.keys import Key
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.errors import Refused
from tests.support.asking import Asked

pytestmark = pytest.mark.pure

SECRET = new_key().encode()
ENDS_AT = 1_000.0


def enter(secret: bytes, now: float = 0, *, expires_at: float | None = None) -> Key:
    spec = KeySpec(name="k", digest=digest_of(SECRET), expires_at=expires_at)
    keys = {spec.digest: Key.compile(spec)}
    return authenticate({b"authorization": b"Bearer " + secret}, keys, master=None, now=now)


def test_a_key_ends_at_its_time_without_an_edit() -> None:
    assert enter(SECRET, ENDS_AT - 0.1, expires_at=ENDS_AT).spec.name == "k"
    with pytest.raises(Refused, match="has expired") as refused:
        enter(SECRET, ENDS_AT, expires_at=ENDS_AT)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "other",
    [SECRET[:-1], SECRET + b"0", SECRET.swapcase(), SECRET[:20], b"x"],
    ids=["shorter", "longer", "other case", "its beginning", "another"],
)
def test_a_key_is_known_by_all_of_its_characters(other: bytes) -> None:
    assert enter(SECRET).spec.name == "k"
    with pytest.raises(Refused, match=r"not known|mistyped") as refused:
        enter(other)
    assert refused.value.status == 401


async def test_without_a_snapshot_nobody_is_let_in() -> None:
    async with Asked(None) as gateway:
        told = [await gateway.chat(), await gateway.chat(key=SECRET.decode())]

    assert [(one.status, one.json()["error"]["code"]) for one in told] == [(503, "not_ready")] * 2
