"""
One way to log for workers, control child, supervisor and Django: one event a line, no secrets.

`configure` is called once in each process. LOG_FORMAT chooses between lines for people
("console") and one JSON object a line ("json").
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, TextIO

from providers.secrets.redaction import known

FORMATS: Final = ("console", "json")
WAITING_LIMIT: Final = 10_000  # lines that nobody takes; more are dropped and counted
WRITE_LIMIT: Final = 1000  # lines that are written at once
FLUSH_WITHIN_S: Final = 2.0
_SECRET_VARIABLES: Final = ("SWITCHYARD_MASTER_KEY", "SECRET_KEY")

# The id of the request that this task or thread works for. The gateway's own path names it in the
# record instead: setting a variable would cost every request what only a failed one needs.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


class BadLogFormat(ValueError):
    """LOG_FORMAT is neither of FORMATS."""


def about(request_id: str = "", **fields: object) -> dict[str, Any]:
    """`extra=` of a logging call: the request that it is about, and facts beside the message."""
    return {
        "request_id": request_id,
        "fields": {
            name: known.redact(value) if isinstance(value, str) else value
            for name, value in fields.items()
            if value is not None and value != ""
        },
    }


def configure(
    environ: Mapping[str, str],
    *,
    process: str,
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> LineHandler:
    """
    Send everything that this process logs to `stream` (stderr), at `level` and above.

    `process` is its name in every line. Raises BadLogFormat.
    """
    chosen = environ.get("LOG_FORMAT", "").strip() or "console"
    if chosen not in FORMATS:
        raise BadLogFormat(f"LOG_FORMAT is {chosen!r}; allowed are {' and '.join(FORMATS)}")
    known.remember(*(environ[name] for name in _SECRET_VARIABLES if environ.get(name)))
    known.remember_url(environ.get("DATABASE_URL", ""))
    known.remember_url(environ.get("REDIS_URL", ""))
    formatter = JsonLines(process) if chosen == "json" else ConsoleLines(process)
    handler = LineHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for earlier in root.handlers[:]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # no word of every start
    logging.setLogRecordFactory(clean_record)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    return handler


def clean_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """
    A log record without secrets, before any handler sees it.

    The message is put together here, and a traceback is written out and let go: arguments and
    exceptions could show what the texts made of them no longer do.
    """
    record = logging.LogRecord(*args, **kwargs)
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit their message must not end a request
        message = f"{record.msg} {record.args!r}"
    record.msg = known.redact(message)
    record.args = None
    # Django shows where it raised a 4xx; that is the caller's fault, and he can send many.
    is_ours = record.name != "django.request" or record.levelno >= logging.ERROR
    if is_ours and record.exc_info and record.exc_info[0] is not None:
        record.exc_text = known.redact("".join(traceback.format_exception(*record.exc_info)))
    record.exc_info = None
    if record.stack_info:
        record.stack_info = known.redact(record.stack_info)
    return record


class _Lines(logging.Formatter):
    """What both formats have in common: `process` in every line, and the same time."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"

    @staticmethod
    def request_id(record: logging.LogRecord) -> str:
        return getattr(record, "request_id", "") or REQUEST_ID.get()

    @staticmethod
    def trace(record: logging.LogRecord) -> str:
        return "\n".join(filter(None, (record.exc_text, record.stack_info))).strip("\n")


class JsonLines(_Lines):
    """One JSON object a line, in ASCII, so that no reader takes one line for two."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            **getattr(record, "fields", {}),
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if request_id := self.request_id(record):
            line["request_id"] = request_id
        if trace := self.trace(record):
            line["traceback"] = trace
        return json.dumps(line, default=str)


class ConsoleLines(_Lines):
    """
    A line for people. Only a traceback takes more; its lines begin with a bar, so that no text
    from outside can pass for an event of ours.
    """

    def format(self, record: logging.LogRecord) -> str:
        words = [
            self.formatTime(record),
            record.levelname,
            record.name,
            f"[{self._process}]",
            visible(record.getMessage()),
        ]
        if request_id := self.request_id(record):
            words.append(f"request_id={_value(request_id)}")
        words += (f"{name}={_value(v)}" for name, v in getattr(record, "fields", {}).items())
        line = " ".join(words)
        if trace := self.trace(record):
            line += "".join(f"\n  | {visible(part)}" for part in trace.split("\n"))
        return line


def visible(text: str) -> str:
    """`text` with everything escaped that could break a line, paint a terminal or turn text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _value(value: object) -> str:
    text = visible(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text else text


class LineHandler(logging.Handler):
    """
    Writes lines in a thread: a reader of stderr that stands still must not stop requests.

    `dropped` counts the lines that found no place.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(WAITING_LIMIT)
        self._writer = threading.Thread(target=self._write, name="logs", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self.dropped += 1
        except Exception:  # noqa: BLE001 - a line that cannot be made must not end a request
            self.handleError(record)

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            lines = [line]
            ends = False
            with contextlib.suppress(queue.Empty):
                while not ends and len(lines) < WRITE_LIMIT:
                    more = self._waiting.get_nowait()
                    ends = more is None
                    lines += [] if more is None else [more]
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)  # full disk, closed pipe: there is nobody to tell
            if ends:
                return

    def close(self) -> None:
        """Write what waits, for at most two seconds; logging calls it when the process ends."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._writer.join(FLUSH_WITHIN_S)
        super().close()


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("switchyard").critical(
        "this process ends by an error", exc_info=(kind, error, trace)
    )


def _log_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    name = told.thread.name if told.thread else os.getpid()
    error = told.exc_value
    logging.getLogger("switchyard").critical(
        "thread %s ended by an error",
        name,
        exc_info=None if error is None else (told.exc_type, error, told.exc_traceback),
    )
