"""An answer on the wire: head and first body together, framing, and what may not be sent."""

import asyncio

import pytest

from routing.gateway.serving.cycle import Cycle

pytestmark = pytest.mark.pure


class Wire:
    """What a transport is asked for."""

    def __init__(self):
        self.writes = []
        self.end = ""

    def write(self, data):
        self.writes.append(data)

    def close(self):
        self.end = "closed"

    def abort(self):
        self.end = "aborted"

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.end = "only writing ended"


class Flow:
    write_paused = False

    def resume_reading(self):
        """Nothing is paused here."""


def cycle(
    wire, *, method="GET", keep_alive=True, version="1.1", expects_continue=False, more_body=True
):
    made = Cycle(
        scope={"method": method, "http_version": version},
        fields={},
        transport=wire,
        flow=Flow(),
        date=b"date: now\r\n",
        expects_continue=expects_continue,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    made.more_body = more_body
    return made


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data=b"", *, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_head_and_whole_body_are_one_write():
    wire = Wire()
    c = cycle(wire)
    await c.send(start((b"content-length", b"2")))
    assert wire.writes == []
    await c.send(body(b"hi"))
    assert wire.writes == [
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\nhi",
    ]
    assert c.response_complete
    assert wire.end == ""


async def test_a_body_of_unknown_length_is_chunked_and_its_head_goes_with_the_first_chunk():
    wire = Wire()
    c = cycle(wire)
    await c.send(start())
    await c.send(body(b"one", more=True))
    await c.send(body(b"two", more=True))
    await c.send(body())
    assert wire.writes == [
        b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        b"3\r\ntwo\r\n",
        b"0\r\n\r\n",
    ]


async def test_who_speaks_http_1_0_gets_a_body_of_unknown_length_until_the_close():
    wire = Wire()
    c = cycle(wire, version="1.0", keep_alive=False, more_body=False)
    await c.send(start())
    await c.send(body(b"one", more=True))
    await c.send(body(b"two", more=True))
    await c.send(body())
    assert b"".join(wire.writes) == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nonetwo"
    )
    assert wire.end == "closed"


async def test_who_is_answered_instead_of_told_to_continue_is_on_his_last_request():
    wire = Wire()
    c = cycle(wire, expects_continue=True)
    await c.send(start((b"content-length", b"0"), status=401))
    await c.send(body())
    assert b"connection: close\r\n" in wire.writes[0]
    assert wire.end == "only writing ended"


async def test_who_still_sends_a_body_is_not_cut_off_by_the_answer_to_it():
    wire = Wire()
    c = cycle(wire, keep_alive=False)
    c.feed(b"hi")
    await c.send(start((b"content-length", b"0"), status=413))
    await c.send(body())
    assert b"connection: close\r\n" in wire.writes[0]
    assert wire.end == "only writing ended"


async def test_who_sent_the_body_without_waiting_to_be_told_may_go_on():
    wire = Wire()
    c = cycle(wire, expects_continue=True)
    c.feed(b"hi")
    c.more_body = False
    await c.send(start((b"content-length", b"0")))
    await c.send(body())
    assert wire.end == ""


async def test_the_last_answer_of_a_connection_says_so_and_closes_it():
    wire = Wire()
    c = cycle(wire, more_body=False)
    await c.send(start((b"content-length", b"0")))
    c.keep_alive = False
    await c.send(body())
    assert b"connection: close\r\n" in wire.writes[0]
    assert wire.end == "closed"


async def test_an_application_may_end_the_connection_itself():
    wire = Wire()
    c = cycle(wire, more_body=False)
    await c.send(start((b"Connection", b"close"), (b"Content-Length", b"0")))
    await c.send(body())
    assert wire.writes[0].count(b"connection: close") == 1
    assert wire.end == "closed"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_a_body_has_no_framing_of_one(method, status):
    wire = Wire()
    c = cycle(wire, method=method)
    await c.send(start(status=status))
    await c.send(body())
    assert b"chunked" not in wire.writes[0]
    assert wire.writes[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
async def test_a_header_value_cannot_start_a_line_of_its_own(value):
    wire = Wire()
    c = cycle(wire)
    await c.send(start((b"x", value)))
    with pytest.raises(RuntimeError, match="line break"):
        await c.send(body())
    assert wire.writes == []
    assert wire.end == "aborted"


@pytest.mark.parametrize("data", [b"too long", b"x"])
async def test_a_body_that_is_not_as_long_as_said_is_an_error(data):
    c = cycle(Wire())
    await c.send(start((b"content-length", b"3")))
    with pytest.raises(RuntimeError, match="content-length"):
        await c.send(body(data))


async def test_a_sign_of_life_that_waits_behind_the_last_bytes_is_left_out():
    class Slow(Flow):
        write_paused = True

        def __init__(self):
            self.writable = asyncio.Event()

        async def drain(self):
            await self.writable.wait()

    wire = Wire()
    c = cycle(wire)
    await c.send(start())
    c.flow = Slow()
    sends = [asyncio.create_task(c.send(part)) for part in (body(b"end"), body(b"\n", more=True))]
    await asyncio.sleep(0)
    c.flow.writable.set()
    await asyncio.gather(*sends)
    assert wire.writes[0].endswith(b"3\r\nend\r\n0\r\n\r\n")
    assert len(wire.writes) == 1


async def test_nothing_is_written_for_a_caller_who_has_gone():
    wire = Wire()
    c = cycle(wire)
    await c.send(start())
    c.disconnected = True
    await c.send(body(b"hi"))
    assert wire.writes == []


async def test_messages_out_of_order_are_errors():
    c = cycle(Wire())
    with pytest.raises(RuntimeError):
        await c.send(body())
    await c.send(start((b"content-length", b"0")))
    with pytest.raises(RuntimeError):
        await c.send(start())
    await c.send(body())
    with pytest.raises(RuntimeError):
        await c.send(body())


async def test_a_whole_answer_is_one_write_and_ends_the_cycle():
    wire = Wire()
    c = cycle(wire)
    assert c.answer(b"x-a: 1\r\n", b"hi")
    assert wire.writes == [
        b"HTTP/1.1 200 OK\r\ndate: now\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nhi",
    ]
    assert c.response_complete
    assert wire.end == ""


async def test_a_whole_answer_that_is_the_last_says_so_and_closes():
    wire = Wire()
    assert cycle(wire, keep_alive=False, more_body=False).answer(b"", b"hi")
    assert b"\r\nconnection: close\r\n\r\nhi" in wire.writes[0]
    assert wire.end == "closed"


async def test_a_whole_answer_does_not_pass_by_a_caller_who_does_not_read():
    wire = Wire()
    c = cycle(wire)
    c.flow.write_paused = True
    assert not c.answer(b"", b"hi")
    c.flow.write_paused = False
    await c.send(start((b"content-length", b"0")))
    assert not c.answer(b"", b"hi")
    assert wire.writes == []


async def test_a_whole_answer_is_not_written_for_a_caller_who_has_gone():
    wire = Wire()
    c = cycle(wire)
    c.disconnected = True
    assert c.answer(b"", b"hi")
    assert wire.writes == []


async def test_a_stream_begins_with_one_write_and_takes_one_for_each_piece():
    wire = Wire()
    c = cycle(wire, method="POST", keep_alive=False)
    c.more_body = False
    assert c.open(b"a: 1\r\n", b"one")
    assert c.write(b"fourteen bytes")
    assert c.write(b"")  # which would be the end of the answer
    await c.send(body(b"", more=False))
    lines = b"date: now\r\na: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
    assert wire.writes == [
        b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n3\r\none\r\n",
        b"e\r\nfourteen bytes\r\n",
        b"",
        b"0\r\n\r\n",
    ]
    assert c.response_complete
    assert wire.end == "closed"


async def test_a_stream_that_cannot_be_chunked_begins_as_a_message():
    wire = Wire()
    c = cycle(wire, method="POST", version="1.0", keep_alive=False)
    assert not c.open(b"", b"one")
    await c.send(start())
    await c.send(body(b"one", more=True))
    assert c.write(b"two")
    assert wire.writes[-1] == b"two"


async def test_a_stream_waits_for_a_caller_who_does_not_read():
    wire = Wire()
    c = cycle(wire, method="POST")
    c.flow.write_paused = True
    assert not c.open(b"", b"one")
    c.flow.write_paused = False
    assert c.open(b"", b"one")
    c.flow.write_paused = True
    assert not c.write(b"two")  # it is out, and the next one has to wait
    assert wire.writes[-1] == b"3\r\ntwo\r\n"


async def test_a_stream_is_not_written_for_a_caller_who_has_gone():
    wire = Wire()
    c = cycle(wire, method="POST")
    c.disconnected = True
    assert c.open(b"", b"one")
    assert c.write(b"two")
    assert wire.writes == []


async def test_a_body_that_is_whole_is_taken_at_once_and_not_received_again():
    c = cycle(Wire(), method="POST")
    c.feed(b"one")
    assert c.whole_body() is None
    c.feed(b"two")
    c.more_body = False
    assert c.whole_body() == b"onetwo"
    waiting = asyncio.ensure_future(c.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    c.disconnected = True
    c.notify()
    assert await waiting == {"type": "http.disconnect"}


async def test_a_body_is_received_as_it_comes():
    c = cycle(Wire(), method="POST")
    waiting = asyncio.ensure_future(c.receive())
    await asyncio.sleep(0)
    c.feed(b"one")
    assert await waiting == {"type": "http.request", "body": b"one", "more_body": True}
    c.more_body = False
    c.notify()
    assert await c.receive() == {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize("fault", ["raises", "says nothing", "stops halfway"])
async def test_what_an_application_leaves_undone_ends_the_connection(fault):
    async def application(scope, receive, send):
        if fault == "raises":
            raise ValueError("no")
        if fault == "stops halfway":
            await send(start())
            await send(body(b"hi", more=True))

    wire = Wire()
    await cycle(wire, more_body=False).run(application)
    assert wire.end == "closed"
    assert wire.writes[0].startswith(
        b"HTTP/1.1 200 " if fault == "stops halfway" else b"HTTP/1.1 500 "
    )
