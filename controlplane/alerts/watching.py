"""
The job `alerts`: what needs an operator begins or ends, and who is to know is told.

Every run goes by what the database says, so that it may be run twice, or killed anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.alerts import merging, sending
from controlplane.alerts.addresses import addresses
from controlplane.alerts.conditions import causes
from controlplane.alerts.world import look, settings_now
from controlplane.validation import QuietHours

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.jobs.running import Run


def watch(run: Run) -> str:
    now = run.began_at
    begun, ended = merging.write(causes(look(now)), now)
    sent, failed = tell(now)
    words = {"begun": begun, "ended": ended, "sent": sent, "not taken": failed}
    return ", ".join(f"{count} {word}" for word, count in words.items() if count)


def tell(now: datetime) -> tuple[int, int]:
    """Send what is due: how many messages were taken, and how many not."""
    where = addresses()
    sending.prepare(where, now)
    tries = sending.take(where, now, is_quiet=_is_quiet(now))
    return sending.deliver(tries, now)


def _is_quiet(now: datetime) -> bool:
    try:
        hours = QuietHours.read(str(settings_now()["alerts_quiet_hours"]))
    except ValueError:
        return False  # a zone that this host's tables do not have: rather a message too many
    return hours is not None and hours.end_of(now) is not None
