"""`make sdk`: runs the matrix, prints what fails, and writes docs/matrix.md."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sdk.matrix import all_jobs, cells_of, jobs_of, page
from tests.sdk.running import CALLERS, ROOT, config
from tests.support.lone import lone_gateway
from tests.support.vendors.server import Vendors

PAGE = ROOT / "docs/matrix.md"


def main(target: Path) -> int:
    with Vendors() as vendors, lone_gateway(config(vendors, all_jobs())) as gateway:
        cells = [
            cell
            for caller in CALLERS
            for cell in cells_of(caller, jobs_of(caller), url=gateway.url, key=gateway.key)
        ]
        faults = vendors.faults + (
            [gateway.logs()[-4000:]] if "Traceback" in gateway.logs() else []
        )
    for cell in cells:
        if cell.wrong:
            way = "streamed" if cell.job.stream else "plain"
            caller = f"{cell.caller.protocol} ({cell.caller.sdk}, {cell.caller.home})"
            print(f"{caller} -> {cell.job.vendor}, {cell.job.scene}, {way}:")
            for mistake in cell.wrong:
                print(f"    {mistake}")
    text = page(cells, sorted({f"{caller.sdk} {caller.version}" for caller in CALLERS}))
    target.write_text(text)
    failed = sum(bool(cell.wrong) for cell in cells)
    print(f"\n{text}\n{len(cells)} runs, {failed} of them wrong; written to {target}")
    print(*faults, sep="\n", end="")
    return int(bool(failed or faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else PAGE))
