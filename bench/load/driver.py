"""Starts callers in a process of their own, and reads what they found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from bench import scene
from bench.load.callers import HoldResult, LoadResult, PairResult
from bench.processes import ROOT, BenchmarkFailed, started

SCRIPT = Path(__file__).with_name("wrk.lua")
CONNECTIONS = 32
PACED_CONNECTIONS = 128
SLACK_S = 60

T = TypeVar("T", LoadResult, PairResult)
Headers = Mapping[str, str]


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def plain(url: str, headers: Headers, *, seconds: float) -> LoadResult:
    """Plain chat requests over 32 connections, with wrk where it is installed."""
    if has_wrk():
        return _wrk(url, headers, seconds)
    return _own("closed", url, headers, LoadResult, seconds=seconds)


def streams(url: str, headers: Headers, *, seconds: float) -> LoadResult:
    """60-chunk streams over 32 connections; only those that end with [DONE] count."""
    return _own("closed", url, headers, LoadResult, "--stream", seconds=seconds)


def paced_streams(url: str, headers: Headers, *, seconds: float) -> LoadResult:
    """The same with a chunk every few milliseconds, so that no two are read at once."""
    more = ("--stream", "--model", scene.PACED, "--connections", str(PACED_CONNECTIONS))
    return _own("closed", url, headers, LoadResult, *more, seconds=seconds)


def at_rate(
    url: str, headers: Headers, *, beside: str, per_second: float, seconds: float
) -> PairResult:
    """Plain chat requests at a fixed rate, as many at `url` as at `beside`."""
    more = ("--beside", beside, "--per-second", str(per_second))
    return _own("rate", url, headers, PairResult, *more, seconds=seconds)


def pair(url: str, headers: Headers, failing_headers: Headers, *, requests: int) -> PairResult:
    """One caller in turn: a pool whose first candidate is well, and one whose first refuses."""
    more = ["--requests", str(requests), "--second-model", scene.FAILING]
    for name, value in failing_headers.items():
        more += ["--second-header", f"{name}: {value}"]
    return _own("pair", url, headers, PairResult, *more, seconds=0)


@contextmanager
def held(url: str, headers: Headers, *, model: str, streams: int) -> Iterator[HoldResult]:
    """Streams that are open as long as the block."""
    argv = _argv("hold", url, headers, "--model", model, "--connections", str(streams))
    with started(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchmarkFailed("the callers that hold streams ended early")
        yield msgspec.json.decode(line, type=HoldResult)


def _argv(scenario: str, url: str, headers: Headers, *more: str) -> list[str]:
    argv = [sys.executable, "-m", "bench.load", scenario, url, *more]
    for name, value in headers.items():
        argv += ["--header", f"{name}: {value}"]
    return argv


def _own(scenario: str, url: str, headers: Headers, kind: type[T], *more: str, seconds: float) -> T:
    argv = _argv(scenario, url, headers, "--seconds", str(seconds), *more)
    return msgspec.json.decode(_last_line(argv, os.environ, seconds), type=kind)


def _wrk(url: str, headers: Headers, seconds: float) -> LoadResult:
    argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT)]
    for name, value in {"content-type": "application/json", **headers}.items():
        argv += ["-H", f"{name}: {value}"]
    env = {**os.environ, "BENCH_BODY": scene.body(scene.CHAT).decode()}
    return msgspec.json.decode(_last_line([*argv, url], env, seconds), type=LoadResult)


def _last_line(argv: Sequence[str], env: Mapping[str, str], seconds: float) -> bytes:
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds + SLACK_S,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise BenchmarkFailed(f"{argv[0]} failed: {done.stdout.decode(errors='replace')[-2000:]}")
    return lines[-1]
