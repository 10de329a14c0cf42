"""What the list of keys says of each: its limits, its last use, and what it took today."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from controlplane.keys.use import uses
from controlplane.records.models import RequestMinute, RequestRecord
from tests.support import rows
from tests.support.forms import address

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


def used(key: str, ago: timedelta) -> None:
    at = timezone.now() - ago
    RequestRecord.objects.create(
        id=RequestRecord.first_id_at(at), key=key, duration_ms=1, outcome="answered"
    )


def test_the_last_use_is_of_the_newest_record_and_today_is_of_the_sums_since_midnight() -> None:
    rows.api_key("busy", "sy_1")
    rows.api_key("idle", "sy_2")
    used("busy", timedelta(days=3))
    used("busy", timedelta(minutes=2))
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for minute, number in ((midnight, 4), (midnight - timedelta(minutes=1), 100)):
        RequestMinute.objects.create(
            minute=minute, pool="small", key="busy", requests=number, input_tokens=10 * number
        )

    found = uses(["busy", "idle"], now)

    assert found["busy"].last_at is not None
    assert timedelta(minutes=1) < now - found["busy"].last_at < timedelta(minutes=3)
    assert (found["busy"].requests, found["busy"].tokens) == (4, 40)
    assert (found["idle"].last_at, found["idle"].requests) == (None, 0)


def test_the_list_shows_them_with_as_many_questions_for_forty_keys_as_for_one(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    rows.api_key("busy", "sy_1", rpm=1200, max_parallel=4)
    used("busy", timedelta(minutes=5))
    page = address("controlplane_apikey", "changelist")
    with django_assert_max_num_queries(14) as few:  # type: ignore[operator]
        shown = admin_client.get(page).content.decode()
    assert "1,200 requests a minute, 4 at once" in shown
    assert " min ago</span>" in shown

    for number in range(40):
        rows.api_key(f"key-{number}", f"sy_{number}-more")
    with django_assert_max_num_queries(len(few)):  # type: ignore[operator]
        assert admin_client.get(page).content.decode().count("none that is kept") == 40
