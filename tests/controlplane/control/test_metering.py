"""That records were dropped is noted when it happens, and not again when it is only told again."""

from __future__ import annotations

import pytest

from controlplane.control.metering import Metering
from routing.gateway.link.channel import Metered
from routing.gateway.telemetry.promtext import RECORDS_DROPPED

pytestmark = pytest.mark.pure


def told(count: float, instance: str = "w1") -> Metered:
    return Metered(instance=instance, counters=((RECORDS_DROPPED.name, (), (count,)),))


def test_a_worker_that_dropped_none_is_no_news(tmp_path):
    metering = Metering(tmp_path)
    metering.hear(told(0), is_here=True)

    assert metering.dropped_at is None


def test_more_dropped_records_than_before_are_news_and_the_same_ones_are_not(tmp_path):
    (tmp_path / "run").mkdir()
    metering = Metering(tmp_path)
    metering.hear(told(3), is_here=True)
    assert metering.dropped_at is not None
    metering.save()

    again = Metering(tmp_path)  # the control child was started anew, and hears the old totals
    again.hear(told(3), is_here=True)
    assert again.dropped_at is None
    again.hear(told(4), is_here=True)
    assert again.dropped_at is not None
