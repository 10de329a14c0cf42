"""`make sdk`: runs the matrix, prints what fails, and writes docs/matrix.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.sdk.matrix import Cell, all_jobs, cells_of, jobs_of, page
from tests.sdk.running import CALLERS, ROOT, Caller, config
from tests.support.lone import lone_gateway
from tests.support.vendors.server import Vendors

PAGE = ROOT / "docs/matrix.md"


def direct_cells(caller: Caller, vendors: Vendors) -> list[Cell]:
    """An SDK at its own vendor, who has to be as it wants him before he may judge."""
    jobs = [job for job in jobs_of(caller) if job.vendor == caller.protocol]
    url = f"{vendors.url}/{caller.protocol}"
    return cells_of(caller, jobs, url=url, key="k", direct=True)


def complain(where: str, cells: Sequence[Cell]) -> None:
    for cell in cells:
        if cell.wrong:
            way = "streamed" if cell.job.stream else "plain"
            caller = f"{cell.caller.protocol} ({cell.caller.sdk}, {cell.caller.home})"
            print(f"{where}: {caller} -> {cell.job.vendor}, {cell.job.scene}, {way}:")
            for mistake in cell.wrong:
                print(f"    {mistake}")


def main(target: Path) -> int:
    with Vendors() as vendors, lone_gateway(config(vendors, all_jobs())) as gateway:
        direct = [cell for caller in CALLERS for cell in direct_cells(caller, vendors)]
        cells = [
            cell
            for caller in CALLERS
            for cell in cells_of(caller, jobs_of(caller), url=gateway.url, key=gateway.key)
        ]
        faults = vendors.faults + (
            [gateway.logs()[-4000:]] if "Traceback" in gateway.logs() else []
        )
    complain("At the vendors themselves", direct)
    complain("At the gateway", cells)
    text = page(cells, sorted({f"{caller.sdk} {caller.version}" for caller in CALLERS}))
    target.write_text(text)
    failed = sum(bool(cell.wrong) for cell in direct + cells)
    print(f"\n{text}\n{len(direct + cells)} runs, {failed} of them wrong; written to {target}")
    print(*faults, sep="\n", end="")
    return int(bool(failed or faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else PAGE))
