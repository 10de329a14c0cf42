"""
`python -m tests.fuzz.target NAME SECONDS FOLDER`: one target under atheris, for so much CPU time.

It does not stop at what it finds: each finding, known by its exception and the line that raised it,
is kept in FOLDER/findings with the first input that showed it. The last line of standard output is
a JSON object that says what was done.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from pathlib import Path
from random import Random

import atheris

FROZEN_S = 1_700_000_000.0
# Under the fuzzer's instruments code is ten times as slow as it is.
MOST_CPU_S = 3.0
# Live blocks of memory that one more run of the same input may leave.
MOST_BLOCKS, LOOK_EVERY = 50, 500

# Ids are made of the time: what is told twice shall be the same.
_clock = time.process_time
time.time = lambda: FROZEN_S
time.time_ns = lambda: int(FROZEN_S) * 10**9

with atheris.instrument_imports(include=["providers"]):
    from tests.fuzz.inputs import HEAD, MOST_BYTES, changed, seeds
    from tests.fuzz.targets import TARGETS


class TooSlow(Exception):
    """An input took more CPU time than any may."""


class Kept(Exception):
    """An input leaves memory behind each time."""


class Fuzzing:
    def __init__(self, name: str, budget_s: float, folder: Path) -> None:
        self.name = name
        self.budget_s = budget_s
        self.findings_folder = folder / "findings" / name
        self.findings_folder.mkdir(parents=True, exist_ok=True)
        self.corpus = folder / "corpus" / name
        self.corpus.mkdir(parents=True, exist_ok=True)
        self.run = TARGETS[name]
        self.inputs = 0
        self.slowest_s = 0.0
        self.findings: dict[str, int] = {}

    def one(self, data: bytes) -> None:
        self.inputs += 1
        began = _clock()
        try:
            self.run(data)
            took = _clock() - began
            self.slowest_s = max(self.slowest_s, took)
            if took > MOST_CPU_S:
                self.keep(TooSlow(f"{len(data)} bytes took {took:.1f} s"), data)
            if self.inputs % LOOK_EVERY == 0:
                self.look_at_memory(data)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            self.keep(error, data)
        if began > self.budget_s:
            self.finish()

    def look_at_memory(self, data: bytes) -> None:
        for _ in range(3):
            self.run(data)
        before = sys.getallocatedblocks()
        for _ in range(3):
            self.run(data)
        if sys.getallocatedblocks() - before > 3 * MOST_BLOCKS:
            raise Kept(f"{sys.getallocatedblocks() - before} blocks")

    def keep(self, error: Exception, data: bytes) -> None:
        key = _key(error)
        self.findings[key] = self.findings.get(key, 0) + 1
        stem = re.sub(r"\W+", "_", key)[:120]
        place = self.findings_folder / f"{stem}.input"
        if self.findings[key] == 1 and not place.exists():
            place.write_bytes(data)
            text = "".join(traceback.format_exception(error))
            place.with_suffix(".txt").write_text(text, errors="backslashreplace")

    def finish(self) -> None:
        said = {
            "target": self.name, "cpu_s": round(_clock()), "inputs": self.inputs,
            "slowest_s": round(self.slowest_s, 2), "findings": self.findings,
        }  # fmt: skip
        print(json.dumps(said), flush=True)
        os._exit(0)  # libFuzzer has no way to be told that it is enough


def _key(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/providers/" in frame.filename]
    place = ours[-1] if ours else frames[-1]
    if type(error).__name__ in ("Unsound", "AssertionError"):
        place = frames[-2] if len(frames) > 1 else frames[-1]
    words = re.sub(r"[^a-z ]+.*", "", str(error))[:40]
    return f"{type(error).__name__} {Path(place.filename).stem}:{place.lineno} {words}".strip()


def _mutated(data: bytes, most: int, seed: int) -> bytes:
    rng = Random(seed)
    head, payload = bytearray(data[:HEAD].ljust(HEAD, b"\0")), data[HEAD:]
    if rng.random() < 0.3:
        head[rng.randrange(1, HEAD)] = rng.randrange(256)
    room = most - HEAD
    new = changed(payload, seed, lambda given: atheris.Mutate(given, room))
    return bytes(head) + new[:room]


def main() -> None:
    name, seconds, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    fuzzing = Fuzzing(name, _clock() + seconds, folder)
    for number, seed in enumerate(seeds(name)):
        (fuzzing.corpus / f"seed-{number}").write_bytes(seed)
    argv = [
        "fuzz", f"-max_len={MOST_BYTES}", "-timeout=120", "-rss_limit_mb=2048", "-len_control=0",
        f"-artifact_prefix={fuzzing.findings_folder}/", str(fuzzing.corpus),
    ]  # fmt: skip
    atheris.Setup(argv, fuzzing.one, custom_mutator=_mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
