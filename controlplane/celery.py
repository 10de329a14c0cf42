"""
The Celery app: one queue, a tick, and the tasks of controlplane.jobs.schedule.

The broker is a folder under DATA_DIR, or Redis where REDIS_URL says so. No message matters: what is
to be done stands in the database, and a tick that is lost is followed by the next.
"""

from __future__ import annotations

import os
from typing import Final

from celery import Celery
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from controlplane.jobs.schedule import TICK_S

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
TRANSPORT_ALIASES["folder"] = "controlplane.jobs.folder:FolderTransport"
TICK: Final = "switchyard.tick"

app = Celery("switchyard")
app.conf.update(
    broker_url=os.environ.get("REDIS_URL") or "folder://localhost",
    broker_transport_options={"global_keyprefix": "switchyard:jobs:"}
    if os.environ.get("REDIS_URL")
    else {"folder": str(settings.DATA_DIR / "broker"), "polling_interval": 0.5},
    broker_connection_retry_on_startup=True,
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
