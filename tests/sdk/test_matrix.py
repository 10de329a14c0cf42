"""
Every SDK that the suite has, at every vendor, in every scene, plain and streamed.

`make sdk` does it with both ages of each SDK, first of all at the vendors themselves, who have to
be as their SDKs want them before they may judge; and it writes docs/matrix.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sdk.matrix import Cell, cells_of, jobs_of
from tests.sdk.running import CALLERS, OWN, ROOT, Caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.gateways import GatewayProcess

# google-genai is not among what the suite installs: only where `make sdk` has run.
IN_THE_SUITE = [
    caller if caller.protocol == "gemini" else replace(caller, home=OWN)
    for caller in CALLERS
    if caller.home == "new"
]


@pytest.mark.parametrize("caller", IN_THE_SUITE, ids=lambda caller: caller.protocol)
def test_a_caller_gets_the_same_whoever_serves_it(caller: Caller, gateway: GatewayProcess) -> None:
    skip_unless_there(caller)

    cells = cells_of(caller, jobs_of(caller), url=gateway.url, key=gateway.key)

    assert wrong(cells) == {}


def test_the_page_of_the_matrix_has_every_scene_for_every_caller() -> None:
    page = (ROOT / "docs/matrix.md").read_text("utf-8")

    rows = [line for line in page.splitlines() if line.startswith("| ")]

    assert "**fails**" not in page
    assert len(rows) == 4 * 2 + sum(len({job.scene for job in jobs_of(c)}) for c in IN_THE_SUITE)


def skip_unless_there(caller: Caller) -> None:
    if not Path(caller.python).exists():
        pytest.skip(f"{caller.sdk} is installed by `make sdk`")


def wrong(cells: Sequence[Cell]) -> dict[tuple[str, str, str], list[str]]:
    return {
        (cell.job.vendor, cell.job.scene, "stream" if cell.job.stream else "plain"): cell.wrong
        for cell in cells
        if cell.wrong
    }
