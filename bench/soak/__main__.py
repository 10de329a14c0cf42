"""`python -m bench.soak MINUTES`: mixed load with faults, then a verdict; exit code 0 if sound."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.gateways.whole import WholeGateway
from bench.processes import allow_many_files, stop
from bench.soak import disturb, watch
from bench.soak.callers import KILLED, LEFT, WRONG, Answer, Callers
from bench.soak.ledger import Ledger, records_of
from bench.soak.world import UPSTREAMS, Kind, Mix, configuration
from tests.support.processes import up_limit_s
from tests.support.upstreams import Upstream

PER_SECOND: Final = 100.0
IN_FLIGHT: Final = 300
SAMPLE_S: Final = 5.0
REST_S, INGEST_S = 10.0, 60.0
LIVE_S: Final = 5.0
# Workers are replaced once, before growth is judged; then one is killed every KILL_EVERY_S.
REPLACE_AT, KILL_EVERY_S, KILLS = 1 / 14, 300.0, 5
BROKEN_EDIT: Final = "providers: [this is no configuration"
# Honest errors where an answer was due, of all requests.
SURPRISES: Final = 0.001
SHOWN: Final = 20


class Soak:
    def __init__(self, gateway: WholeGateway, upstreams: Sequence[Upstream]) -> None:
        self.gateway = gateway
        self.ledger = Ledger()
        self.samples: list[watch.Sample] = []
        self.answers: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self.surprises: list[str] = []
        self.problems: list[str] = []
        self.deaths: list[disturb.Death] = []
        self.retried = 0
        self._replaced: set[int] = set()
        self._replacements: set[int] = set()
        self._replacing_until = 0.0
        self._recent: deque[tuple[float, str]] = deque()
        self._upstreams = upstreams
        self._number = itertools.count(1)

    async def run(self, minutes: float) -> None:
        self._host, self._port = await self.gateway.address()
        self.callers = Callers(self._host, self._port)
        length_s = minutes * 60
        until = time.monotonic() + length_s
        aside = [self._watch(until), self._edit(until), self._flap(until), self._report(until)]
        aside.append(self._disturb(until, length_s))
        async with asyncio.TaskGroup() as tasks:
            for each in aside:
                tasks.create_task(each)
            tasks.create_task(self._load(until))
        self.callers.close()
        await asyncio.sleep(REST_S)

    async def ask(self, kind: Kind) -> Answer:
        request_id = f"soak-{next(self._number)}"
        answer = await self.callers.ask(kind, request_id)
        killed = any(death.may_have_cut(answer) for death in self.deaths)
        if answer.is_unanswered and not killed and time.monotonic() < self._replacing_until:
            # Sent in the moment in which a leaving worker closed the connection: as SDKs do.
            self.retried += 1
            answer = await self.callers.ask(kind, request_id)
            killed = any(death.may_have_cut(answer) for death in self.deaths)
        if killed and answer.is_cut:
            answer.verdict = KILLED
        self.ledger.note(request_id, kind, answer)
        if killed:
            self.ledger.excuse(request_id)
        self._recent.append((answer.ended_at, request_id))
        while self._recent[0][0] < answer.ended_at - disturb.UNWRITTEN_S:
            self._recent.popleft()
        self.answers[kind.name, answer.verdict] += 1
        line = f"{request_id} {kind.name}: {answer.verdict} {answer.status} {answer.reason}"
        if answer.verdict == WRONG:
            self.wrong.append(line)
            print(f"WRONG {line}", flush=True)
        elif answer.verdict not in {LEFT, KILLED, *kind.right} and not kind.leaves:
            self.surprises.append(line)
            print(f"surprise {line}", flush=True)
        return answer

    async def _load(self, until: float) -> None:
        mix = Mix(seed=1)
        gate = asyncio.Semaphore(IN_FLIGHT)
        asking: set[asyncio.Task[None]] = set()

        async def ask(kind: Kind) -> None:
            async with gate:
                await self.ask(kind)

        began = time.monotonic()
        for number in itertools.count():
            due = began + number / PER_SECOND
            if due > until:
                break
            await asyncio.sleep(due - time.monotonic())
            task = asyncio.create_task(ask(mix.draw()))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.gather(*asking)

    async def _watch(self, until: float) -> None:
        while time.monotonic() < until:
            self.samples.append(await asyncio.to_thread(self._sample))
            await asyncio.sleep(SAMPLE_S)

    def _sample(self) -> watch.Sample:
        url = f"http://{self._host}:{self._port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                metrics = answer.read().decode()
        except OSError:
            metrics = ""  # from a worker that was killed in this moment
        return watch.sample(self.gateway.process.pid, metrics)

    async def _disturb(self, until: float, length_s: float) -> None:
        """Replace the workers once, then kill the last of them every now and then."""
        root = self.gateway.process.pid
        await asyncio.sleep(length_s * REPLACE_AT)
        self._replaced = disturb.children(root)
        self._replacing_until = time.monotonic() + disturb.REPLACED_S
        self.gateway.process.send_signal(signal.SIGHUP)
        self._replacements = await disturb.wait_until_replaced(root, self._replaced)
        if not self._replacements:
            self.problems.append(f"not replaced in {disturb.REPLACED_S:g} s by SIGHUP")
        every_s = min(KILL_EVERY_S, length_s / KILLS)
        while time.monotonic() + every_s + disturb.PATIENCE_S / 3 < until:
            await asyncio.sleep(every_s)
            before = disturb.workers(root)
            death = disturb.kill(before[-1])
            self.deaths.append(death)
            for _ended_at, request_id in self._recent:
                self.ledger.excuse(request_id)
            await disturb.wait_for_newcomer(death, root, before, self._host, self._port)
            limit_s = up_limit_s()
            line = f"{death.process} was killed; another was up in {death.up_s:.2f} s"
            print(f"{line} of {limit_s:.1f} allowed", flush=True)
            if death.up_s > limit_s:
                self.problems.append(line)

    async def _edit(self, until: float) -> None:
        """One edit a minute, soon live; every third follows a broken one, which changes nothing."""
        for number in itertools.count(1):
            await asyncio.sleep(min(60.0, max(0.0, until - time.monotonic())))
            if time.monotonic() + 2 * LIVE_S > until:
                return
            if number % 3 == 0:
                self.gateway.write(BROKEN_EDIT)
                await asyncio.sleep(3)
            ports = [upstream.port for upstream in self._upstreams]
            self.gateway.write(json.dumps(configuration(ports, number)))
            await self._wait_until_live(f"edit-{number}")
            for upstream in self._upstreams:
                await asyncio.to_thread(upstream.clear)

    async def _wait_until_live(self, model: str) -> None:
        both = frozenset({"whole", "error"})
        kind = Kind(name="a pool just added", model=model, right=both)
        began = time.monotonic()
        while time.monotonic() < began + LIVE_S:
            # Several in a row: both workers have to know.
            answers = [await self.ask(kind) for _ in range(8)]
            if all(answer.verdict == "whole" for answer in answers):
                return
            await asyncio.sleep(0.2)
        self.problems.append(f"{model} was not live after {LIVE_S:g} s")

    async def _flap(self, until: float) -> None:
        flapping = self._upstreams[UPSTREAMS.index("flapping")]
        while time.monotonic() + 30 < until:
            await asyncio.sleep(25)
            await asyncio.to_thread(flapping.refuse)
            await asyncio.sleep(5)
            await asyncio.to_thread(flapping.accept)

    async def _report(self, until: float) -> None:
        began = time.monotonic()
        while time.monotonic() < until:
            await asyncio.sleep(min(60.0, max(0.1, until - time.monotonic())))
            now = self.samples[-1] if self.samples else {}
            sizes = ", ".join(
                f"{name} {held['rss_mib']:.0f} MiB {held['fds']:.0f} fds"
                for name, held in now.items()
            )
            asked = len(self.ledger.seen)
            minutes = (time.monotonic() - began) / 60
            print(
                f"{minutes:5.1f} min: {asked:,} requests, {len(self.wrong)} wrong, "
                f"{len(self.surprises)} surprises; {sizes}",
                flush=True,
            )

    def verdict(self) -> list[str]:
        """Everything that is not as it should be."""
        problems = [f"wrong answer: {line}" for line in self.wrong[:SHOWN]]
        if len(self.surprises) > SURPRISES * len(self.ledger.seen):
            problems += [f"error where an answer was due: {x}" for x in self.surprises[:SHOWN]]
        problems += self.problems
        gone = watch.came_and_went(self.samples[1:], self._expected())
        problems += [f"process {name} came or went" for name in sorted(gone)]
        problems += [f"{name}: no tasks in /metrics" for name in watch.without_tasks(self.samples)]
        for found in self.growth():
            if found.is_too_much:
                grew = f"{found.early:,.1f} to {found.late:,.1f}"
                problems.append(f"{found.process}: {found.measure} grew from {grew}")
        problems += self.ledger.compare(self.gateway.database)
        if tracebacks := self.gateway.tracebacks():
            problems.append(f"in the log: {tracebacks} tracebacks")
        return problems

    @property
    def killed(self) -> int:
        return sum(count for (_, verdict), count in self.answers.items() if verdict == KILLED)

    def growth(self) -> list[watch.Growth]:
        return watch.growth(self.samples) + watch.growth_of_lives(self._after_replacement())

    def _after_replacement(self) -> list[watch.Sample]:
        """Without those that were replaced: they had not been killed."""
        return [
            {name: held for name, held in each.items() if watch.pid_of(name) not in self._replaced}
            for each in self.samples
        ]

    def _expected(self) -> set[int]:
        """Processes that were to come or to go: before and after a replacement or a kill."""
        expected = self._replaced | self._replacements
        for death in self.deaths:
            expected |= {watch.pid_of(death.process), death.newcomer}
        return expected


def wait_for_ingest(soak: Soak) -> None:
    """Until the database holds what has to be there, and no more comes."""
    deadline = time.monotonic() + INGEST_S
    before = -1
    while time.monotonic() < deadline:
        now = records_of(soak.gateway.database)
        if now == before and now >= soak.ledger.to_be_recorded:
            return
        before = now
        time.sleep(2)


def table(soak: Soak) -> str:
    lines = ["", "| kind | answers |", "|---|---|"]
    by_kind: dict[str, list[str]] = {}
    for (kind, verdict), count in sorted(soak.answers.items()):
        by_kind.setdefault(kind, []).append(f"{count:,} {verdict}")
    lines += [f"| {kind} | {', '.join(found)} |" for kind, found in by_kind.items()]
    lines += ["", "| process | held | second sixth | last sixth |", "|---|---|---:|---:|"]
    for found in soak.growth():
        values = f"{found.early:,.1f} | {found.late:,.1f}"
        lines.append(f"| {found.process} | {found.measure} | {values} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--folder", type=Path, help="kept afterwards; else a temporary one")
    asked = parser.parse_args(argv)
    allow_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="switchyard-soak-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        upstreams = [Upstream(name) for name in UPSTREAMS]
        gateway = WholeGateway(folder, configuration([upstream.port for upstream in upstreams]))
        try:
            soak = Soak(gateway, upstreams)
            uvloop.run(soak.run(asked.minutes))
            wait_for_ingest(soak)
            print(table(soak))
            problems = soak.verdict()
        finally:
            stop(gateway.process)
            for upstream in upstreams:
                upstream.stop()
    asked_for, kept = len(soak.ledger.seen), soak.ledger.to_be_recorded
    print(f"\n{asked_for:,} requests, of which {kept:,} must be recorded; "
          f"{len(soak.surprises)} errors where an answer was due; {len(soak.deaths)} workers "
          f"killed, {soak.killed} requests with them; {soak.retried} asked again while workers "
          "were replaced.")  # fmt: skip
    print("\n".join(f"- {problem}" for problem in problems))
    print("NOT SOUND" if problems else "SOUND")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
