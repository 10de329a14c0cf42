"""What a log line looks like, and what never stands in one."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from providers.secrets.redaction import REDACTED, known
from routing.gateway.telemetry.logs import (
    REQUEST_ID,
    ConsoleLines,
    JsonLines,
    LineHandler,
    about,
    clean_record,
    configure,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary-of-the-log-tests-0123"
NASTY = "one\ntwo\r\x1b[31mred\u2028three\x00\x9b\u202e\ud800"


@pytest.fixture(autouse=True)
def _canary() -> None:
    known.remember(CANARY)


class Log:
    """A logger whose lines are read back once it is closed."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        self.handler = LineHandler(self._stream)
        self.handler.setFormatter(formatter)

    def __call__(self, message: str, *args: object, **options: object) -> None:
        extra = options.pop("extra", {})
        error = sys.exc_info() if options.pop("exc_info", False) else None
        record = clean_record(
            "switchyard.test", logging.INFO, __file__, 1, message, args, error, **options
        )
        record.__dict__ |= extra  # type: ignore[operator]
        self.handler.handle(record)

    def text(self) -> str:
        self.handler.close()
        return self._stream.getvalue()


@pytest.fixture(params=["console", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    lines = ConsoleLines("worker 1") if request.param == "console" else JsonLines("worker 1")
    made = Log(lines)
    yield made
    made.handler.close()


@pytest.fixture
def json_log() -> Iterator[Log]:
    made = Log(JsonLines("worker 1"))
    yield made
    made.handler.close()


def fail_with(text: str) -> None:
    raise RuntimeError(text)


def test_a_json_line_says_when_who_what_and_about_which_request(json_log: Log) -> None:
    json_log("it %s", "happened", extra=about("req_1", status=502, model="m", code="", key=None))

    line = json.loads(json_log.text())

    assert time.strptime(line.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ")
    assert isinstance(line.pop("pid"), int)
    assert line == {
        "level": "info",
        "logger": "switchyard.test",
        "process": "worker 1",
        "message": "it happened",
        "request_id": "req_1",
        "status": 502,
        "model": "m",
    }


def test_a_console_line_says_the_same() -> None:
    log = Log(ConsoleLines("control"))
    log("it happened", extra=about("req_1", status=502, attempts="a/x 503; b/y connect"))

    _time, rest = log.text().split(" ", 1)

    assert rest == (
        "INFO switchyard.test [control] it happened request_id=req_1 status=502"
        ' attempts="a/x 503; b/y connect"\n'
    )


def test_a_line_of_a_task_names_the_request_that_the_task_works_for(json_log: Log) -> None:
    token = REQUEST_ID.set("req_7")
    json_log("inside")
    REQUEST_ID.reset(token)
    json_log("outside")

    inside, outside = map(json.loads, json_log.text().splitlines())

    assert inside["request_id"] == "req_7"
    assert "request_id" not in outside


def test_one_event_is_one_line_whatever_stands_in_it(log: Log) -> None:
    log("said: %s", NASTY, extra=about(NASTY, model=NASTY))

    text = log.text()

    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert len(text.splitlines()) == 1


def test_the_lines_of_a_traceback_cannot_pass_for_events(log: Log) -> None:
    try:
        fail_with("bad\n2026-01-01T00:00:00.000Z CRITICAL forged\x1b[2J")
    except RuntimeError:
        log("failed", exc_info=True)

    first, *more = log.text().splitlines()

    assert "failed" in first
    assert all(line.startswith("  | ") and line.isprintable() for line in more)
    assert "forged" in "".join([first, *more])
    assert "RuntimeError" in "".join([first, *more])


@pytest.mark.parametrize(("level", "is_shown"), [(logging.WARNING, False), (logging.ERROR, True)])
def test_where_django_refused_a_request_is_shown_if_it_is_our_fault(
    level: int, is_shown: bool
) -> None:
    try:
        fail_with("no")
    except RuntimeError:
        error = sys.exc_info()
    record = clean_record("django.request", level, __file__, 1, "Forbidden", (), error)

    assert ("Traceback" in ConsoleLines("worker 1").format(record)) is is_shown


def test_secrets_are_taken_out_of_messages_arguments_fields_and_tracebacks(log: Log) -> None:
    try:
        fail_with(f"with {CANARY}")
    except RuntimeError:
        log(f"message {CANARY} %s %s", f"and {CANARY}", {"key": CANARY}, exc_info=True)
    log("fields", extra=about("req_1", words=f"x{CANARY}x", error=f"{CANARY}"))

    text = log.text()

    assert CANARY not in text
    assert text.count(REDACTED) >= 6


def test_another_handler_gets_the_record_without_secrets_too() -> None:
    try:
        fail_with(f"with {CANARY}")
    except RuntimeError:
        record = clean_record(
            "x", logging.ERROR, __file__, 1, "%s", (CANARY,), sys.exc_info(), sinfo=CANARY
        )

    assert CANARY not in logging.Formatter().format(record)
    assert CANARY not in repr(record.__dict__)


def test_arguments_that_do_not_fit_their_message_are_logged_all_the_same(log: Log) -> None:
    log("%d of %d", "one")

    assert "%d of %d" in log.text()


def test_a_reader_that_stands_still_costs_lines_and_stops_nobody() -> None:
    gate = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            gate.wait()
            return super().write(text)

    stream = Stuck()
    handler = LineHandler(stream)
    handler.setFormatter(JsonLines("x"))
    for number in range(12_000):
        handler.handle(clean_record("x", logging.INFO, "", 1, f"line {number}", (), None))
    gate.set()
    handler.close()

    written = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert handler.dropped >= 900
    assert len(written) + handler.dropped == 12_000
    assert written == [f"line {number}" for number in range(len(written))]


def test_a_stream_that_is_gone_costs_lines_and_stops_nobody() -> None:
    stream = io.StringIO()
    stream.close()
    handler = LineHandler(stream)
    handler.handle(clean_record("x", logging.INFO, "", 1, "nobody reads this", (), None))
    handler.close()

    assert handler.dropped == 1


def test_a_log_format_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="LOG_FORMAT is 'xml'; allowed are console and json"):
        configure({"LOG_FORMAT": "xml"}, process="x")


@pytest.mark.pure
@pytest.mark.parametrize("text", ["plain", "Grüße, 你好", "tab\there", NASTY])
def test_what_is_visible_is_escaped_only_where_it_must_be(text: str) -> None:
    assert visible(text).isprintable()
    assert (visible(text) == text) is text.isprintable()
