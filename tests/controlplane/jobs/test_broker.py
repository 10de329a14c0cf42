"""Which broker it is, by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.celery import app, broker_of
from controlplane.jobs.schedule import SCHEDULE, TICK_S

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("", "folder://localhost"),
        ("redis://h:6379/1", "redis://h:6379/1"),
        ("rediss://:secret@h/0", "rediss://:secret@h/0"),
        ("unix:///run/valkey.sock?db=1", "redis+socket:///run/valkey.sock?db=1"),
    ],
)
def test_the_broker_is_a_folder_unless_there_is_a_redis(redis_url, broker_url):
    assert broker_of(redis_url, Path("/var/data"))["broker_url"] == broker_url


def test_no_message_outlives_the_next():
    tick = app.conf.beat_schedule["tick"]
    assert tick["schedule"] == TICK_S
    assert tick["options"]["expires"] <= 2 * TICK_S


def test_every_job_is_a_task_with_limits_and_late_acks():
    app.loader.import_default_modules()
    for spec in SCHEDULE.values():
        task = app.tasks[spec.task]
        assert (task.soft_time_limit, task.time_limit) == (spec.soft_s, spec.hard_s)
        assert task.acks_late
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.worker_send_task_events
