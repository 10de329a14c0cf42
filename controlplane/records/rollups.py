from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.jobs.running import Run


def roll_up(run: Run) -> str:
    del run
    return ""
