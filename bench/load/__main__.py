"""
The harness's own callers: `python -m bench.load SCENARIO URL`, one JSON line as the result.

closed  N connections, each asking again as soon as it has its answer
rate    a fixed number of requests a second at each of two addresses, sent whether or not the
        ones before were answered
pair    one caller that asks for two models in turn, so that noise falls on both alike
hold    N streams that are opened and kept, until standard input ends
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence

import msgspec
import uvloop

from bench import scene
from bench.load.callers import HoldResult, PairResult, Target, closed, hold, pair, rate


async def _hold_until_told(target: Target, body: bytes, streams: int) -> None:
    held = await hold(target, body, streams=streams)
    _report(HoldResult(held=len(held), refused=streams - len(held)))
    loop = asyncio.get_running_loop()
    with contextlib.suppress(EOFError):
        await loop.run_in_executor(None, sys.stdin.buffer.read)
    for caller in held:
        caller.close()


def _report(result: msgspec.Struct) -> None:
    print(msgspec.json.encode(result).decode(), flush=True)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("scenario", choices=["closed", "rate", "pair", "hold"])
    parser.add_argument("url")
    parser.add_argument("--header", action="append", default=[], help="name: value")
    parser.add_argument("--model", default=scene.CHAT)
    parser.add_argument("--second-model", default=scene.FAILING, help="of a pair")
    parser.add_argument("--second-header", action="append", default=[], help="of a pair")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=300, help="of each model of a pair")
    parser.add_argument("--beside", default="", help="the other address of a rate")
    parser.add_argument("--per-second", type=float, default=300)
    parser.add_argument("--seconds", type=float, default=3)
    return parser.parse_args(argv)


def _headers(given: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in given)]


async def main(argv: Sequence[str]) -> None:
    asked = _arguments(argv)
    target = Target.of(asked.url, _headers(asked.header))
    body = scene.body(asked.model, stream=asked.stream or asked.scenario == "hold")
    match asked.scenario:
        case "closed":
            _report(
                await closed(target, body, connections=asked.connections, seconds=asked.seconds)
            )
        case "rate":
            targets = (target, Target.of(asked.beside, []))
            first, second = await rate(
                targets, body, per_second=asked.per_second, seconds=asked.seconds
            )
            _report(PairResult(first=first, second=second))
        case "pair":
            other = Target.of(asked.url, _headers(asked.second_header))
            both = (target.request(body), other.request(scene.body(asked.second_model)))
            _report(await pair(target, both, requests=asked.requests))
        case _:
            await _hold_until_told(target, body, asked.connections)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
