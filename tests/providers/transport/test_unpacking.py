"""Bodies that come packed though nobody asked: unpacked within bounds, or refused."""

import gzip
import zlib

import pytest

from providers.errors import BadFraming
from providers.transport import unpacked
from tests.support.builders import FakeResponse

pytestmark = pytest.mark.pure

TEXT = b'{"word": "%s"}' % b"gr\xc3\xbc\xc3\x9fe " * 1000


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def reply(coding: bytes, body: bytes, *, step: int = 1 << 16) -> FakeResponse:
    pieces = [body[start : start + step] for start in range(0, len(body), step)]
    return FakeResponse(pieces=pieces, headers=[(b"content-encoding", coding)])


PACKED = {
    "gzip": (b"gzip", gzip.compress(TEXT)),
    "x-gzip in capitals": (b"X-GZIP", gzip.compress(TEXT)),
    "gzip in two members": (b"gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
    "deflate as the standard says": (b"deflate", zlib.compress(TEXT)),
    "deflate without its wrapping": (b"deflate", bare(TEXT)),
}


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("name", PACKED)
async def test_a_packed_body_is_the_plain_one_however_it_is_cut(name: str, step: int) -> None:
    coding, body = PACKED[name]
    response = unpacked(reply(coding, body, step=step))
    assert await response.read_all(0) == TEXT
    assert await response.read(0) == b""


@pytest.mark.parametrize("coding", [b"identity", b""])
def test_a_plain_body_is_not_wrapped(coding: bytes) -> None:
    plain = reply(coding, TEXT)
    assert unpacked(plain) is plain


BROKEN = {
    "plain text that claims gzip": (b"gzip", TEXT),
    "a checksum that is wrong": (b"gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8),
    "an early end": (b"gzip", gzip.compress(TEXT)[:-9]),
    "an early end of deflate": (b"deflate", bare(TEXT)[:-3]),
    "nothing at all": (b"gzip", b""),
    "something after the end": (b"gzip", gzip.compress(TEXT) + b"more"),
    "brotli": (b"br", TEXT),
    "zstandard": (b"zstd", TEXT),
    "two codings": (b"gzip, gzip", gzip.compress(gzip.compress(TEXT))),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_body_that_does_not_unpack_is_refused(name: str) -> None:
    coding, body = BROKEN[name]
    with pytest.raises(BadFraming):
        await unpacked(reply(coding, body)).read_all(0)


async def test_what_came_before_the_break_is_given_out_first() -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b"one") + packer.flush(zlib.Z_SYNC_FLUSH)
    response = unpacked(FakeResponse(pieces=[body], headers=[(b"content-encoding", b"gzip")]))
    assert await response.read(0) == b"one"
    with pytest.raises(BadFraming):
        await response.read(0)


async def test_a_bomb_is_given_up_long_before_it_has_gone_off() -> None:
    packed = reply(b"gzip", gzip.compress(bytes(64 << 20)), step=1 << 10)
    with pytest.raises(BadFraming, match="hundred times"):
        await unpacked(packed).read_all(0)
    assert packed.closed
    assert len(await packed.read(0)) == 1 << 10  # most of it was never taken from the socket


async def test_a_body_above_the_bound_is_refused() -> None:
    with pytest.raises(BadFraming, match="too large"):
        await unpacked(reply(b"gzip", gzip.compress(TEXT)), bound=len(TEXT) - 1).read_all(0)
    whole = unpacked(reply(b"gzip", gzip.compress(TEXT)), bound=len(TEXT))
    assert await whole.read_all(0) == TEXT
