"""
`python -m bench.hostile MINUTES`: hostile callers against a whole gateway, then a verdict.

Exit code 0 if every line of it is held. `--only NAME` sends one attack (again for more of them);
with `--only mutated --number N` a single mutated request is sent, and its answer shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.gateways import under_test
from bench.gateways.whole import WholeGateway
from bench.hostile.attacks import ATTACKS, MUTATED, keep_on, mutant, mutants, post
from bench.hostile.field import SHOWN, Field
from bench.hostile.mutating import mutated
from bench.hostile.sound import TOKEN
from bench.hostile.verdict import Felt, Ordinary, growth, problems, table
from bench.hostile.world import MASTER, PASSWORD, USER, configuration
from bench.processes import ROOT, BenchmarkFailed, allow_many_files, cpu_s, stop
from bench.scene import PATH
from bench.soak import watch

PER_MINUTE: Final = 20_000  # mutated requests
SEED: Final = 1
WARM_UP_S, LIVE_S, REST_S, SAMPLE_S = 3.0, 3.0, 3.0, 0.5
PAGES: Final = 30  # each on a connection of its own, so that no worker is left out
ALL: Final = "all of them"
ALL_SHARE: Final = 0.3  # of the time, at the end
NICENESS: Final = 10


class Hostility:
    """A run: `phases` are what was sent besides mutated requests, and from when to when."""

    def __init__(
        self, gateway: WholeGateway, steady: int, ports: Sequence[int], asked: argparse.Namespace
    ) -> None:
        self.gateway = gateway
        self.ordinary = Ordinary()
        self.samples: list[watch.Sample] = []
        self.phases: list[tuple[str, float, float, float]] = []
        self._ports = (steady, ports)
        self._seed: int = asked.seed
        self._only: list[str] = asked.only

    async def run(self, minutes: float) -> None:
        await self._begin()
        host, port = self.field.host, self.field.port
        urls = (f"http://{host}:{port}{PATH}", f"http://127.0.0.1:{self._ports[0]}{PATH}")
        caller = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.hostile.ordinary", *urls, cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        # Hostile callers have machines of their own: here they take what the others leave.
        os.nice(NICENESS)
        hearing = asyncio.create_task(self._hear(caller))
        watching = asyncio.create_task(self._watch())
        await self._phase("nobody", WARM_UP_S)
        until = time.monotonic() + minutes * 60
        async with asyncio.TaskGroup() as tasks:
            if MUTATED in self._only or not self._only:
                per_second = PER_MINUTE / 60
                tasks.create_task(mutants(self.field, self._seed, per_second, until))
            tasks.create_task(self._attack(until))
        await self._phase("nobody, afterwards", REST_S)
        assert caller.stdin is not None
        caller.stdin.close()
        await hearing
        watching.cancel()

    async def once(self, number: int) -> None:
        """One mutated request, and what came of it."""
        await self._begin()
        one = mutated(self._seed, number)
        print(f"{one.how}\n{one.raw!r}\n{await mutant(self.field, self._seed, number)}")

    async def _begin(self) -> None:
        host, port = await self.gateway.address()
        self.gateway.write(json.dumps(configuration(*self._ports, f"{host}:{port}")))
        self.field = Field(host, port)
        form = f"csrfmiddlewaretoken={TOKEN}&username={USER}&password={PASSWORD}&next=/admin/"
        lines = (f"cookie: csrftoken={TOKEN}", "content-type: application/x-www-form-urlencoded")
        raw = post("/admin/login/", form.encode(), *lines, key="")
        _, headers = await self.field.ask(self.field.of("sign-in"), raw, what="a sign-in")
        name, _, session = headers.get("set-cookie", "").partition(";")[0].partition("=")
        if name != "sessionid":
            raise BenchmarkFailed(f"nobody could sign in: {headers}\n{self.gateway.log()[-2000:]}")
        self.field.session = session.encode()
        # Every worker has shown pages when its memory is looked at first: what Django takes is
        # there whoever calls, and is none of the attacks'.
        page = (
            b"GET /admin/ HTTP/1.1\r\nhost: localhost\r\ncookie: sessionid=%b\r\n\r\n"
            % session.encode()
        )
        for _ in range(PAGES):
            await self.field.ask(self.field.of("pages"), page, what="a page")
        self.field.notes.clear()
        await asyncio.sleep(LIVE_S)

    async def _attack(self, until: float) -> None:
        """Each in turn, twice; then all at once, which is how they would come."""
        names = [name for name in ATTACKS if not self._only or name in self._only]
        length_s = until - time.monotonic()
        if len(names) > 1:
            each_s = length_s * (1 - ALL_SHARE) / len(names) / 2
            for name in (*names, *names):
                await self._phase(name, each_s, name)
        left_s = until - time.monotonic()
        await self._phase(ALL if len(names) > 1 else "".join(names) or MUTATED, left_s, *names)

    async def _phase(self, what: str, length_s: float, *names: str) -> None:
        began, cpu = time.monotonic(), self._cpu_s()
        ends = began + length_s
        attacks = [asyncio.create_task(keep_on(self.field, n, self._seed, ends)) for n in names]
        await asyncio.sleep(length_s)
        for attack in attacks:
            attack.cancel()  # what waits for an answer would go on into the next one's time
        for failure in await asyncio.gather(*attacks, return_exceptions=True):
            if isinstance(failure, Exception):
                raise failure
        ended = time.monotonic()
        self.phases.append((what, began, ended, self._cpu_s() - cpu))
        through, beside = self.ordinary.during(began, ended)
        print(f"{what}, {ended - began:.1f} s: p99 {through.at(0.99):.1f} ms, "
              f"beside {beside.at(0.99):.1f} ms, {through.failed} failed", flush=True)  # fmt: skip

    def _cpu_s(self) -> float:
        return cpu_s(self.gateway.process.pid)

    async def _hear(self, caller: asyncio.subprocess.Process) -> None:
        assert caller.stdout is not None
        while line := await caller.stdout.readline():
            self.ordinary.hear(line.decode())

    async def _watch(self) -> None:
        while True:
            self.samples.append(await asyncio.to_thread(watch.sample, self.gateway.process.pid))
            await asyncio.sleep(SAMPLE_S)

    def problems(self) -> list[str]:
        failures = [line for notes in self.field.notes.values() for line in notes.failures[:SHOWN]]
        return problems(self.ordinary, self.samples, failures, self.gateway.tracebacks())

    def report(self) -> str:
        sent = [
            (name, f"{notes.sent:,}", f"{notes.mib:,.0f}", str(notes))
            for name, notes in self.field.notes.items()
        ]
        names = [phase[0] for phase in self.phases]
        felt = [
            (
                what,
                f"{100 * used_s / (ended - began):.0f} %",
                *_felt(*self.ordinary.during(began, ended)),
            )
            for what, began, ended, used_s in sorted(
                self.phases, key=lambda phase: (names.index(phase[0]), phase[1])
            )
        ]
        felt.append(("**in all**", "", *_felt(self.ordinary.through, self.ordinary.beside)))
        held = [
            (name, *(f"{each:,.0f}" for each in mib)) for name, mib in growth(self.samples).items()
        ]
        number, text, ms = "---:", "---", "p50 | p99 | max ms"
        numbers = "---:|---:|---:"
        heads = {"meanwhile": text, "gateway's CPU": number, "ordinary": number, ms: numbers}
        sizes = {"MiB at first": number, "at most": number, "at last": number}
        tables = (
            table(sent, {"attack": text, "sent": number, "MiB": number, "answers": text}),
            table(felt, {**heads, "failed": number, f"upstream itself: {ms}": numbers}),
            table(held, {"process": text, **sizes}),
        )
        return "\n\n".join(tables)


def _felt(through: Felt, beside: Felt) -> tuple[str, ...]:
    return (str(len(through.ms)), str(through), str(through.failed), str(beside))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=5.0)
    parser.add_argument("--seed", type=int, default=SEED, help="of all that is sent")
    names = [*ATTACKS, MUTATED]
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME",
                        help=", ".join(names))  # fmt: skip
    parser.add_argument("--number", type=int, help="of a mutated request, which is sent alone")
    parser.add_argument("--folder", type=Path, help="kept afterwards; else a temporary one")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    asked = _arguments(argv)
    allow_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        tempfile.TemporaryDirectory(prefix="switchyard-hostile-") as temporary,
        under_test.upstream() as (steady, *_),
        under_test.upstream() as ports,
    ):
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        people = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, "SWITCHYARD_MASTER_KEY": MASTER}
        gateway = WholeGateway(folder, configuration(steady, ports), **people)
        try:
            gateway.manage("createsuperuser", "--noinput", "--username", USER, "--email", "")
            run = Hostility(gateway, steady, ports, asked)
            if asked.number is not None:
                uvloop.run(run.once(asked.number))
                return 0
            uvloop.run(run.run(asked.minutes))
            print(run.report())
            found = run.problems()
        finally:
            stop(gateway.process)
    print("\n" + "\n".join(f"- {problem}" for problem in found))
    print("NOT HELD" if found else "HELD")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
