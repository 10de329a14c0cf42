"""
One caller's connection: what uvicorn's HTTP/1.1 over httptools leaves open.

Bounded heads, callers who are too slow, errors in the API's shape, requests to change to a
protocol that is not spoken here, and an end without a lost request. Nothing here keeps a timer
or reads a clock per request: the server looks at every connection once a second.
"""

from __future__ import annotations

import enum
import math
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application, ASGIVersions, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from providers.protocols import Protocol
from routing.gateway.errors import GatewayError, bad_request, render
from routing.gateway.ingress import EXCHANGE
from routing.gateway.limits import GatewayLimits
from routing.gateway.routes import ROUTES, family_at
from routing.gateway.serving.cycle import Cycle, end_writing
from routing.gateway.serving.pacing import PacedConnection, Turns
from routing.gateway.serving.single import said_twice

HEAD_LIMIT, LINE_LIMIT, FIELDS_LIMIT = 64 << 10, 16 << 10, 100
LINGER_S = 5.0
VERSIONS = frozenset({"1.1", "1.0"})
ASGI_VERSION: ASGIVersions = {"version": "3.0", "spec_version": "2.3"}
OFFERS = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Phase(enum.Enum):
    """What a connection is at; `look` times it."""

    HEAD = "head"  # the first, or the next, request's head is not there yet
    BODY = "body"
    SERVING = "serving"
    LEFTOVER = "leftover"  # answered, and the rest of its body still comes
    IDLE = "idle"
    LINGERING = "lingering"  # refused; closed once the caller has read why


class ServingState(ServerState):
    """What the connections of a server share. `is_leaving`: each answer is its last."""

    is_leaving = False
    date = b""  # the header line that every answer begins with

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()


class _Unacceptable(Exception):
    """Something that llhttp lets pass and we do not. The text is for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class CallerConnection(PacedConnection):
    server_state: ServingState
    running: Cycle | None = None
    _is_upgrading = False
    _requests = 0
    _arrived = 0
    _chunk_size = 0
    _head_size = 0
    _phase = Phase.HEAD
    _mark = 0
    _since = math.inf
    _upload = (0, 0.0)  # which request's body is coming, and since when
    _framing_since = 0  # what had arrived at the last chunk's head, until some of the chunk has

    # Bytes in

    @property
    def turns(self) -> Turns:
        return self.server_state.turns

    def parse(self, data: bytes) -> None:
        rest: bytes | None = data
        while rest is not None:  # once, but for what has to be parsed by a parser of its own
            data, rest = rest, None
            size = self._chunk_size = len(data)
            self._arrived += size
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._without_upgrade(data[upgrade.args[0] :])
            except httptools.HttpParserError as error:
                self.refuse(_refusal_of(error))
            else:
                if self._is_reading_head or self._framing_since:
                    self._bound_head(size)

    def _bound_head(self, size: int) -> None:
        if self._is_reading_head:
            self._head_size += size
            if self._head_size > HEAD_LIMIT:
                self.refuse(bad_request(f"The head is over {HEAD_LIMIT} bytes.", status=431))
        elif self._arrived - self._framing_since > HEAD_LIMIT:
            words = f"The fields behind the body are over {HEAD_LIMIT} bytes."
            self.refuse(bad_request(words, status=431))

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._requests += 1
        self._head_size = self._framing_since = 0
        self._is_reading_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if len(self.headers) > FIELDS_LIMIT or self._head_size + self._chunk_size > LINE_LIMIT:
            self._measure_head()
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise _Unacceptable("Only HTTP/1.1 and HTTP/1.0 are spoken here.", 505)
        self._is_reading_head = False
        if self.parser.should_upgrade():
            self._is_upgrading = True
            return
        fields = dict(self.headers)
        expected = fields.get(b"expect")
        if len(fields) != len(self.headers):
            self._check_single()
        self.scope = scope = self._describe(version)
        before = self.cycle
        self.cycle = cycle = Cycle(
            scope=scope,
            fields=fields,
            transport=self.transport,
            flow=self.flow,
            date=self.server_state.date,
            expects_continue=expected is not None
            and version == "1.1"
            and expected.lower() == b"100-continue",
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {EXCHANGE: cycle}  # type: ignore[dict-item]  # no message for it
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:  # pipelined: its turn comes when the one before is answered
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _check_single(self) -> None:
        if twice := said_twice(self.headers):
            raise _Unacceptable(f"There is more than one {twice} header; allowed is one.")

    def _describe(self, version: str) -> HTTPScope:
        """The request as ASGI has it."""
        url = self.url
        if url[:1] == b"/" and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:  # absolute form
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("latin-1")
        return {
            "type": "http",
            "asgi": ASGI_VERSION,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "state": {},
            "method": self.parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
        }

    def on_body(self, body: bytes) -> None:
        self._framing_since = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.feed(body)
        if cycle.unread > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_chunk_header(self) -> None:
        """Called at each chunk, so that requests with a length pay nothing for the check."""
        self._framing_since = self._arrived
        if self.headers is not self.scope["headers"]:
            return  # it is not the first chunk
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings[0].lower() != b"chunked" or self.parser.get_http_version() != "1.1":
            raise _Unacceptable("transfer-encoding may be `chunked`, in HTTP/1.1, and no other.")
        self.headers = []  # for the fields behind the body, which nobody reads

    def on_message_complete(self) -> None:
        if self._is_upgrading:
            return
        cycle = self.cycle
        cycle.more_body = False  # also of a request that has been answered before its body was here
        if not cycle.response_complete:
            cycle.notify()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.running is not None and not self.running.keep_alive:
            self.is_deaf = True
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        if not self.pipeline:
            self.go_on_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        # Of several requests that have been read, an earlier one is running.
        for cycle in (self.cycle, self.running):
            if cycle is not None:
                cycle.disconnected = not cycle.response_complete
                cycle.notify()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]  # it holds bound methods of this object

    def _start_asgi_task(  # type: ignore[override]  # the cycle is not uvicorn's
        self, cycle: Cycle, app: ASGI3Application
    ) -> None:
        self.running = cycle
        if self.server_state.is_leaving:
            cycle.keep_alive = False
        cycle.task = task = self.loop.create_task(cycle.run(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _measure_head(self) -> None:
        """Hold the head against the limits. Raises _Unacceptable."""
        if len(self.headers) > FIELDS_LIMIT:
            raise _Unacceptable(f"There are more than {FIELDS_LIMIT} header fields.", 431)
        sizes = [len(name) + len(value) for name, value in self.headers]
        if max([len(self.url), *sizes]) > LINE_LIMIT:
            raise _Unacceptable(f"A line of the head is over {LINE_LIMIT} bytes.", 431)
        if len(self.url) + sum(sizes) > HEAD_LIMIT:
            raise _Unacceptable(f"The head is over {HEAD_LIMIT} bytes.", 431)

    def _without_upgrade(self, rest: bytes) -> bytes | None:
        """
        Read the request as if it had not offered another protocol, as RFC 9110 7.8 allows.

        llhttp ends a message at the head then, and its body would be lost: Java's HttpClient and
        `curl --http2` offer h2c with a POST.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.refuse(bad_request("This is no proxy.", status=405))
            return None
        closing = [v for n, v in self.headers if n == b"connection" and b"close" in v.lower()]
        kept = [(name, value) for name, value in self.headers if name not in OFFERS]
        kept += [(b"connection", b"close")] if closing else []
        head = [b"%s %s HTTP/%s\r\n" % (method, self.url, version)]
        head += [b"%s: %s\r\n" % field for field in kept]
        self._is_upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        return b"".join([*head, b"\r\n", rest])

    # Patience

    def look(self, now: float) -> tuple[Phase, float]:
        """What the connection is at, and since how many seconds without progress."""
        cycle = self.cycle
        mark = self._requests
        if self.is_deaf:
            phase = Phase.SERVING if self.is_serving else Phase.LINGERING
        elif self._is_reading_head:
            phase = Phase.HEAD
        elif cycle.more_body and cycle.response_complete:
            phase = Phase.LEFTOVER
        elif cycle.more_body and not self.flow.read_paused:
            phase, mark = Phase.BODY, self._arrived
        elif self.is_serving:
            phase = Phase.SERVING
        else:
            phase = Phase.IDLE
        if phase is not self._phase or mark != self._mark or self._since > now:
            self._phase, self._mark, self._since = phase, mark, now
        return phase, now - self._since

    @property
    def is_serving(self) -> bool:
        running = self.running
        return running is not None and not running.response_complete and not running.disconnected

    def enforce(self, limits: GatewayLimits, now: float) -> None:
        """Give up a caller who has been too slow."""
        if self.transport.is_closing():
            return
        phase, age_s = self.look(now)
        if phase is Phase.SERVING:
            return
        if phase is Phase.IDLE:
            if age_s >= limits.keep_alive_s:
                self.transport.close()
        elif phase is Phase.HEAD:
            if age_s >= limits.head_s:
                self._give_up_head(limits)
        elif phase is Phase.BODY:
            self._enforce_upload(limits, now, age_s)
        elif age_s >= (LINGER_S if phase is Phase.LINGERING else limits.body_s):
            self.transport.close()

    def _enforce_upload(self, limits: GatewayLimits, now: float, age_s: float) -> None:
        if self._upload[0] != self._requests:
            self._upload = (self._requests, now)
        if age_s >= limits.body_s:
            words = f"The body made no progress for {limits.body_s:g}s."
        elif now - self._upload[1] >= limits.upload_s:
            words = f"The body was not here within {limits.upload_s:g}s."
        else:
            return
        self.refuse(bad_request(words, status=408))

    def _give_up_head(self, limits: GatewayLimits) -> None:
        if not self._requests:
            self.transport.close()  # it has asked for nothing, so there is nothing to answer
            return
        words = f"The request's head was not here within {limits.head_s:g}s."
        self.refuse(bad_request(words, status=408))

    # Ends

    def refuse(self, error: GatewayError) -> None:
        """
        Answer what is being read with `error`, read no more, and close once that is read.

        An earlier request that is being served keeps its answer, which is then the last.
        """
        self.is_deaf = True
        self.pipeline.clear()
        running = self.running
        if running is not None and not running.response_complete:
            is_being_read = running is self.cycle and running.more_body
            if running.response_started or not is_being_read:
                running.keep_alive = False
                return
            running.disconnected = True
            running.notify()
        status, headers, body = render(error, _protocol_at(self.url))
        headers += [
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % field for field in headers]
        self.transport.write(
            b"".join([STATUS_LINE[status], self.server_state.date, *lines, b"\r\n", body])
        )
        end_writing(self.transport)
        self.flow.resume_reading()

    def make_last(self) -> None:
        """Say `connection: close` in the answer that is being made, if its head is not out yet."""
        if self.running is not None and not self.running.response_started:
            self.running.keep_alive = False

    def close_if_quiet(self, quiet_s: float, now: float) -> None:
        """Close if no request has been on it for `quiet_s`."""
        if self.transport.is_closing():
            return
        phase, age_s = self.look(now)
        is_unused = phase is Phase.IDLE or (phase is Phase.HEAD and not self._requests)
        if is_unused and age_s >= quiet_s:
            self.transport.close()


def _protocol_at(url: bytes) -> Protocol:
    """Whose errors a caller of `url` understands, as far as it has come."""
    path = unquote(url.partition(b"?")[0].decode("latin-1"))
    route = ROUTES.find(path)
    return route.protocol if route is not None else family_at(path, {}).errors


def _refusal_of(error: httptools.HttpParserError) -> GatewayError:
    reason = error.__context__
    if isinstance(reason, _Unacceptable):
        return bad_request(str(reason), status=reason.status)
    if isinstance(error, httptools.HttpParserCallbackError):
        return bad_request("The request's target is no path.")
    return bad_request(f"This is no valid HTTP request: {error}")
