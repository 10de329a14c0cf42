"""`python -m tests.fuzz MINUTES`: every target for its share of so much CPU time, one by one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

HOME: Final = Path(".fuzz")  # inputs that are worth keeping, and findings
SHARES: Final = {"requests": 0.35, "replies": 0.25, "streams": 0.35, "sealing": 0.05}


def main() -> int:
    budget_s = 60 * float(sys.argv[1])
    said = [run(name, budget_s * share) for name, share in SHARES.items()]
    print("\n| target | CPU s | inputs | slowest input s | findings |\n|---|---:|---:|---:|---:|")
    for one in said:
        print(
            f"| {one['target']} | {one['cpu_s']} | {one['inputs']:,} | {one['slowest_s']} "
            f"| {len(one['findings'])} |"
        )
    found = [f"{one['target']}: {key}" for one in said for key in one["findings"]]
    if found:
        print(f"\nIn {HOME / 'findings'}, each with an input that shows it:", *found, sep="\n")
    return 1 if found else 0


def run(name: str, seconds: float) -> dict[str, Any]:
    print(f"{name}, {seconds:.0f} s …", file=sys.stderr, flush=True)
    HOME.mkdir(exist_ok=True)
    with (HOME / f"{name}.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.target", name, str(seconds), str(HOME)],
            stdout=subprocess.PIPE, stderr=log, check=False,
        )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:  # libFuzzer ends it: an input hangs, or takes too much memory
        died = {f"the process ended with {done.returncode}; see {log.name}": 1}
        return {"target": name, "cpu_s": 0, "inputs": 0, "slowest_s": 0, "findings": died}
    said: dict[str, Any] = json.loads(lines[-1])
    return said


if __name__ == "__main__":
    sys.exit(main())
