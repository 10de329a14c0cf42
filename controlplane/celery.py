"""
The Celery app: one queue, a tick, and the tasks of controlplane.jobs.schedule.

The broker is a folder under DATA_DIR, or Redis where REDIS_URL says so. No message matters: what is
to be done stands in the database, and a tick that is lost is followed by the next.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from controlplane.jobs.schedule import TICK_S

if TYPE_CHECKING:
    from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
TRANSPORT_ALIASES["folder"] = "controlplane.jobs.folder:FolderTransport"
for _scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[_scheme] = "controlplane.jobs.remote:RemoteTransport"
TICK: Final = "switchyard.tick"


def broker_of(redis_url: str, data_dir: Path) -> dict[str, Any]:
    """Celery's settings of the broker."""
    if not redis_url:
        options = {"folder": str(data_dir / "broker"), "polling_interval": 0.5}
        return {"broker_url": "folder://localhost", "broker_transport_options": options}
    return {
        # What everybody else calls unix:// has a name of its own in kombu.
        "broker_url": re.sub(r"^unix://", "redis+socket://", redis_url),
        "broker_transport_options": {
            "global_keyprefix": "switchyard:jobs:",
            "socket_connect_timeout": 3,
            "socket_timeout": 10,
            "health_check_interval": 10,
        },
    }


app = Celery("switchyard")
app.conf.update(
    **broker_of(os.environ.get("REDIS_URL", ""), settings.DATA_DIR),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_ignore_result=True,
    task_acks_late=True,
    task_default_queue="switchyard",
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    worker_max_tasks_per_child=2000,
    beat_schedule={
        "tick": {"task": TICK, "schedule": TICK_S, "options": {"expires": 2 * TICK_S}},
    },
    imports=("controlplane.jobs.tasks",),
    timezone="UTC",
)
