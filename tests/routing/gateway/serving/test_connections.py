"""What callers may send, byte by byte, on real sockets: framing, limits, patience, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from routing.gateway.limits import GatewayLimits
from routing.gateway.serving.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POST = b"POST /x HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
SHORT = GatewayLimits(head_s=0.2, body_s=0.2, upload_s=1.0, keep_alive_s=0.2, stall_s=0.5)

UNSAFE = {
    "length and chunked": POST
    + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /two HTTP/1.1\r\n\r\n",
    "chunked and length": POST
    + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\nGET /two HTTP/1.1\r\n\r\n",
    "length twice": POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "two lengths": POST + b"content-length: 5\r\ncontent-length: 0\r\n\r\nhello",
    "list of lengths": POST + b"content-length: 5, 5\r\n\r\nhello",
    "length with a sign": POST + b"content-length: +5\r\n\r\nhello",
    "length below 0": POST + b"content-length: -5\r\n\r\nhello",
    "length beyond 64 bits": POST + b"content-length: 99999999999999999999999\r\n\r\nhello",
    "bare LF": b"POST /x HTTP/1.1\nhost: a\ncontent-length: 5\n\nhello",
    "one bare LF": b"POST /x HTTP/1.1\r\nhost: a\ncontent-length: 5\r\n\r\nhello",
    "bare CR": b"POST /x HTTP/1.1\r\nhost: a\rcontent-length: 5\r\n\r\nhello",
    "space before colon": POST + b"content-length : 5\r\n\r\nhello",
    "space before name": POST + b" content-length: 5\r\n\r\nhello",
    "folded line": POST + b"x: a\r\n b\r\ncontent-length: 5\r\n\r\nhello",
    "NUL": POST + b"x: a\0b\r\ncontent-length: 5\r\n\r\nhello",
    "chunked, identity": POST
    + b"transfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "xchunked": POST + b"transfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked in 1.0": CHUNKED.replace(b"1.1", b"1.0") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunks with LF": CHUNKED + b"5\nhello\n0\n\n",
    "LF in an extension": CHUNKED + b"5;\nxx\r\nhello\r\n0\r\n\r\n",
    "chunk size overflow": CHUNKED + b"fffffffffffffffff\r\nhello",
    "chunk size in C": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "length as trailer": CHUNKED + b"5\r\nhello\r\n0\r\ncontent-length: 3\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "path beyond ASCII": "GET /é HTTP/1.1\r\nhost: a\r\n\r\n".encode(),
}
TWICE = {
    "authorization": b"authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "x-api-key": b"x-api-key: a\r\nx-api-key: b\r\n",
    "api-key": b"api-key: a\r\napi-key: b\r\n",
    "x-goog-api-key": b"x-goog-api-key: a\r\nx-goog-api-key: b\r\n",
    "content-type": b"content-type: application/json\r\ncontent-type: text/plain\r\n",
    "content-encoding": b"content-encoding: gzip\r\ncontent-encoding: identity\r\n",
    "host": b"host: a\r\n",
    "x-switchyard-timeout": b"x-switchyard-timeout: 1\r\nx-switchyard-timeout: 2\r\n",
}
TOO_LARGE = {
    "101 fields": b"GET /x HTTP/1.1\r\n" + b"".join(b"x%d: 1\r\n" % i for i in range(101)),
    "a line of 17 KB": b"GET /x HTTP/1.1\r\nx: " + b"a" * 17_000 + b"\r\n",
    "a target of 17 KB": b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n",
    "five lines of 15 KB": b"GET /x HTTP/1.1\r\n" + (b"x: " + b"a" * 15_000 + b"\r\n") * 5,
    "a line without an end": b"GET /x HTTP/1.1\r\nx: " + b"a" * 3_000_000,
    "fields behind the body": CHUNKED + b"5\r\nhello\r\n0\r\n" + b"x: 1\r\n" * 500_000,
    "a field without an end": CHUNKED + b"5\r\nhello\r\n0\r\nx: " + b"a" * 3_000_000,
}


class Site:
    """A server whose app notes what it was asked, and answers with that as JSON."""

    def __init__(self, limits: GatewayLimits) -> None:
        self.limits = limits
        self.seen: list[Any] = []
        self.fields: list[bytes] = []
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.server = Server(self.app, limits, cut=lambda _error: None)

    async def start(self) -> None:
        await self.server.start(self.listener)
        self.running = asyncio.create_task(self.server.run())

    async def stop(self) -> None:
        self.server.leave(grace_s=0, drain_s=0, quiet_s=0)
        await self.running

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/refused":
            await self.answer(send, 413, [])
            return
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.hung_up.set()
                return
            body += message["body"]
            is_whole = not message["more_body"]
        self.seen.append([scope["method"], scope["path"], len(body)])
        self.fields = [name for name, _value in scope["headers"]]
        self.asked.set()
        if scope["path"] == "/endless":
            await self.pour(receive, send)
        else:
            await self.answer(send, 200, self.seen[-1])

    async def answer(self, send: Any, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def pour(self, receive: Any, send: Any) -> None:
        """More than all buffers on the way hold, until the caller is gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        end = asyncio.create_task(receive())
        while not end.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0)  # to send to nobody is no wait
        self.hung_up.set()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listener.getsockname())

    async def ask(self, *parts: bytes) -> tuple[list[int], bytes]:
        """Everything that comes back until the server closes: the statuses, and all bytes."""
        reader, writer = await self.open()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            got = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)], got


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """With limits that end everything within a second."""
    made = Site(SHORT)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def patient() -> AsyncIterator[Site]:
    """With the default limits."""
    made = Site(GatewayLimits())
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("name", UNSAFE)
async def test_framing_that_two_servers_may_read_differently_is_a_400_and_a_close(
    patient: Site, name: str
) -> None:
    statuses, got = await patient.ask(UNSAFE[name])

    assert statuses == [400]
    assert b"\r\nconnection: close\r\n" in got
    assert json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]["type"] == "invalid_request_error"
    assert patient.seen == []


@pytest.mark.parametrize("name", TWICE)
async def test_a_field_that_says_two_things_is_a_400_that_names_it(
    patient: Site, name: str
) -> None:
    statuses, got = await patient.ask(POST + TWICE[name] + b"content-length: 0\r\n\r\n")

    assert statuses == [400]
    assert name in json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]["message"]
    assert patient.seen == []


async def test_a_field_that_says_one_thing_twice_or_is_a_list_is_let_pass(site: Site) -> None:
    same = b"authorization: Bearer a\r\n" * 2 + b"accept: a\r\naccept: b\r\n"

    assert (await site.ask(POST + same + b"content-length: 0\r\n\r\n"))[0] == [200]


@pytest.mark.parametrize(
    ("path", "member"), [(b"/v1/messages", "type"), (b"/v1beta/models/m:countTokens", "error")]
)
async def test_what_is_refused_at_the_door_has_the_shape_of_its_path(
    patient: Site, path: bytes, member: str
) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"
    told = json.loads((await patient.ask(head))[1].split(b"\r\n\r\n", 1)[1])

    assert member in told
    assert told.get("type") == "error" or told["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_a_head_beyond_the_limits_is_a_431_that_the_caller_gets_to_read(
    patient: Site, name: str
) -> None:
    statuses, _got = await patient.ask(TOO_LARGE[name] + b"\r\n")

    assert statuses == [431]
    assert patient.seen == []


async def test_a_head_within_the_limits_is_served(site: Site) -> None:
    fields = b"".join(b"x%d: %b\r\n" % (i, b"a" * 400) for i in range(99))
    statuses, _got = await site.ask(b"GET /" + b"a" * 15_000 + b" HTTP/1.1\r\n", fields + b"\r\n")

    assert statuses == [200]


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9"])
async def test_other_versions_of_http_are_refused(site: Site, version: str) -> None:
    assert (await site.ask(f"GET /x {version}\r\nhost: a\r\n\r\n".encode()))[0] == [505]


async def test_nobody_gets_a_tunnel(site: Site) -> None:
    assert (await site.ask(b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n"))[0] == [405]
    assert site.seen == []


async def test_extensions_of_chunks_mean_nothing(site: Site) -> None:
    parts = (CHUNKED, b"5;a=b\r\nhello\r\n", b"0;" + b"c" * 1000 + b"\r\n\r\n")

    assert (await site.ask(*parts))[0] == [200]
    assert site.seen == [["POST", "/x", 5]]


async def test_an_absolute_target_is_its_path(site: Site) -> None:
    assert (await site.ask(b"GET http://other/x HTTP/1.1\r\nhost: a\r\n\r\n"))[0] == [200]
    assert site.seen == [["GET", "/x", 0]]


async def test_pipelined_requests_are_answered_in_their_order(site: Site) -> None:
    one, two = (b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number for number in (1, 2))

    assert (await site.ask(one + two))[0] == [200, 200]
    assert site.seen == [["GET", "/1", 0], ["GET", "/2", 0]]


async def test_garbage_behind_a_request_leaves_it_its_answer(site: Site) -> None:
    statuses, got = await site.ask(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGARBAGE\r\n\r\n")

    assert statuses == [200]
    assert got.endswith(b'["GET", "/1", 0]')


@pytest.mark.parametrize(
    "request_with_offer",
    [
        POST + OFFER + b"content-length: 5\r\n\r\nhello",
        POST + OFFER + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_an_offer_to_speak_http2_costs_no_body(site: Site, request_with_offer: bytes) -> None:
    after = b"GET /after HTTP/1.1\r\nhost: a\r\n\r\n"

    assert (await site.ask(request_with_offer + after))[0] == [200, 200]
    assert site.seen == [["POST", "/x", 5], ["GET", "/after", 0]]


async def test_fields_behind_a_body_are_not_among_those_of_the_head(site: Site) -> None:
    chunks = b"5\r\nhello\r\n5\r\nhello\r\n0\r\nopenai-late: 1\r\n\r\n"

    assert (await site.ask(CHUNKED + chunks))[0] == [200]
    assert site.seen == [["POST", "/x", 10]]
    assert site.fields == [b"host", b"transfer-encoding"]


async def test_http_1_0_is_answered_without_chunks_and_knows_no_continue(site: Site) -> None:
    head = b"POST /x HTTP/1.0\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    statuses, got = await site.ask(head, b"hello")

    assert statuses == [200]
    assert b"\r\nconnection: close\r\n" in got
    assert got.endswith(b'\r\n\r\n["POST", "/x", 5]')


async def test_an_offer_in_http_1_0_does_not_make_it_1_1(site: Site) -> None:
    head = b"GET /x HTTP/1.0\r\n" + OFFER + b"connection: keep-alive\r\n\r\n"
    statuses, got = await site.ask(head)

    assert statuses == [200]
    assert b"\r\nconnection: close\r\n" in got


async def test_who_waits_for_100_continue_gets_it(site: Site) -> None:
    head = POST + b"content-length: 5\r\nexpect: 100-continue\r\n\r\n"
    statuses, got = await site.ask(head, b"hello")

    assert statuses == [100, 200]
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_an_answer_before_the_body_reaches_a_caller_who_still_sends(site: Site) -> None:
    reader, writer = await site.open()
    writer.write(b"POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"x" * 3_000_000)
    await writer.drain()
    writer.write(b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.close()

    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 OK" in rest
    assert site.seen == [["GET", "/next", 0]]


async def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever(site: Site) -> None:
    reader, writer = await site.open()
    writer.write(b"POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n")
    got = asyncio.create_task(reader.read())
    while not got.done():
        writer.write(b"x")
        await asyncio.wait([got], timeout=0.02)
    writer.close()

    assert (await got).startswith(b"HTTP/1.1 413 ")


SLOW = {
    "half a head": (b"GET /x HTTP/1.1\r\nhost: a\r\n", 408),
    "half a body": (POST + b"content-length: 5\r\n\r\nhel", 408),
    "half a chunk": (CHUNKED + b"5\r\nhel", 408),
    "nothing": (b"", None),
    "a whole request": (b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n", 200),
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_connection_on_which_nothing_comes_is_closed(site: Site, name: str) -> None:
    sent, status = SLOW[name]

    statuses, _got = await site.ask(sent)

    assert statuses == ([status] if status else [])


async def test_a_head_that_trickles_in_is_a_408_however_steady(site: Site) -> None:
    reader, writer = await site.open()
    writer.write(b"GET /x HTTP/1.1\r\nhost: a\r\nx: ")
    got = asyncio.create_task(reader.read())
    while not got.done():
        writer.write(b"x")
        await asyncio.wait([got], timeout=0.02)
    writer.close()

    assert (await got).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_trickles_in_has_its_time_and_no_more(site: Site) -> None:
    reader, writer = await site.open()
    writer.write(POST + b"content-length: 3000000\r\n\r\n")
    got = asyncio.create_task(reader.read())
    count = 0
    while not got.done():
        writer.write(b"x")
        count += 1
        await asyncio.wait([got], timeout=0.02)
    writer.close()

    assert b"within 1s" in await got  # not the shorter time, for a body without progress
    assert site.hung_up.is_set()


async def test_a_caller_who_never_reads_is_given_up(site: Site) -> None:
    _reader, writer = await site.open()
    writer.transport.pause_reading()
    writer.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")

    await asyncio.wait_for(site.hung_up.wait(), 20)
    writer.close()

    assert site.seen == [["GET", "/endless", 0]]


async def test_a_caller_who_reads_slowly_is_not_given_up(site: Site) -> None:
    reader, writer = await site.open()
    writer.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
    for _ in range(20):  # 2 s: four times as long as one may stall
        await reader.readexactly(200_000)
        await asyncio.sleep(0.1)

    assert not site.hung_up.is_set()
    writer.close()
    await asyncio.wait_for(site.hung_up.wait(), 10)


async def test_who_closes_the_sending_side_has_left(site: Site) -> None:
    reader, writer = await site.open()
    writer.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
    reading = asyncio.create_task(discard(reader))  # so that it is no caller who never reads
    await asyncio.wait_for(site.asked.wait(), 10)
    assert not site.hung_up.is_set()
    writer.write_eof()

    await asyncio.wait_for(site.hung_up.wait(), 10)
    await reading
    writer.close()


async def discard(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


async def test_who_hangs_up_behind_pipelined_requests_stops_the_one_that_runs(site: Site) -> None:
    _reader, writer = await site.open()
    writer.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n")
    await asyncio.wait_for(site.asked.wait(), 10)
    writer.transport.abort()

    await asyncio.wait_for(site.hung_up.wait(), 10)

    assert site.seen == [["GET", "/endless", 0]]


# Leaving


async def test_a_connection_in_use_is_told_before_it_is_closed(patient: Site) -> None:
    reader, writer = await patient.open()
    one = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"
    writer.write(one)
    first = await reader.readuntil(b"0]")

    patient.server.leave(grace_s=0, drain_s=30, quiet_s=30)
    writer.write(one)
    last = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await patient.running

    assert b"connection: close" not in first
    assert last.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in last


async def test_a_connection_that_is_not_in_use_keeps_nobody(patient: Site) -> None:
    reader, writer = await patient.open()

    patient.server.leave(grace_s=0, drain_s=600, quiet_s=0.1)

    assert await asyncio.wait_for(reader.read(), 10) == b""
    await patient.running
    writer.close()


async def test_within_the_grace_callers_are_still_accepted(patient: Site) -> None:
    patient.server.leave(grace_s=600, drain_s=0, quiet_s=0)

    statuses, got = await patient.ask(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n")

    assert statuses == [200]
    assert b"connection: close" in got


async def test_half_a_request_is_told_when_the_time_is_up(patient: Site) -> None:
    reader, writer = await patient.open()
    writer.write(POST + b"content-length: 5\r\n\r\nhel")
    await asyncio.sleep(0.1)

    patient.server.leave(grace_s=0, drain_s=0.1, quiet_s=0)
    got = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await patient.running

    assert got.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\nx-should-retry: true\r\n" in got


class Busy:
    """`longest_s`: the most that one turn of the loop has taken, in CPU time of its thread."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest_s, before = max(self.longest_s, now - before), now

    def stop(self) -> None:
        self._task.cancel()


AT_ONCE_S = 0.05  # CPU time: what one connection may hold the others is the promise


async def flood(site: Site, sent: bytes) -> tuple[float, int]:
    """How long a turn has taken at most while `sent` was served; how many answers came."""
    reader, writer = await site.open()
    got = asyncio.create_task(count_answers(reader))
    busy = Busy()
    gc.disable()  # the collector looks at all that the tests have made, which no worker has
    await asyncio.sleep(0)
    busy.longest_s = 0.0
    for start in range(0, len(sent), 1 << 16):
        writer.write(sent[start : start + (1 << 16)])
        await writer.drain()
    answers = await asyncio.wait_for(got, 30)
    gc.enable()
    busy.stop()
    writer.close()
    return busy.longest_s, answers


async def count_answers(reader: asyncio.StreamReader) -> int:
    count = 0
    while piece := await reader.read(1 << 16):
        count += piece.count(b"HTTP/1.1 200 ")
    return count


LAST = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


async def test_pipelined_offers_of_another_protocol_neither_recurse_nor_hold_the_others(
    patient: Site, caplog: pytest.LogCaptureFixture
) -> None:
    offer = b"GET /o HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"

    longest_s, answers = await flood(patient, offer * 3500 + LAST)

    assert answers == 3501
    assert longest_s < AT_ONCE_S
    assert caplog.text == ""


async def test_what_is_pipelined_behind_an_unanswered_request_waits_in_the_socket(
    patient: Site,
) -> None:
    reader, writer = await patient.open()
    writer.write(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
    await asyncio.wait_for(patient.asked.wait(), 10)
    writer.write(b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n" * 300_000)  # 10 MB

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 0.5)

    writer.transport.abort()
    assert [path for _method, path, _size in patient.seen] == ["/endless"]
    del reader


async def test_many_pipelined_requests_are_all_answered_and_hold_nobody(patient: Site) -> None:
    longest_s, answers = await flood(patient, b"GET /p HTTP/1.1\r\nhost: a\r\n\r\n" * 5000 + LAST)

    assert answers == 5001
    assert longest_s < AT_ONCE_S


async def test_chunks_of_one_byte_hold_nobody(patient: Site) -> None:
    longest_s, answers = await flood(
        patient, CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n" + LAST
    )

    assert answers == 2
    assert patient.seen[0] == ["POST", "/x", 100_000]
    assert longest_s < AT_ONCE_S
