"""100,000 names that callers make up: apart from the decisions, because it takes its time."""

from routing.gateway.telemetry.metrics import Meter
from routing.gateway.telemetry.promtext import REQUESTS
from tests.support.builders import pool
from tests.support.metering import attempt, counted, record, table


def test_names_that_callers_make_up_add_no_series() -> None:
    known = table(pool("chat", "a/x", "b/y"))
    meter = Meter(lambda: known)

    def flood(start: int) -> int:
        for number in range(start, start + 50_000):
            name = f"made-up-{number}"
            meter.observe([record(name, attempt(f"a/{name}"))])
            meter.observe([record(name, outcome="refused")])
        return len(meter.samples())

    assert flood(0) == flood(50_000)
    found = counted(meter)
    assert found.value(REQUESTS.name, model="other") == 200_000
    assert found.values_of(REQUESTS.name, "model") == {"other"}
    assert found.values_of("switchyard_attempts_total", "model") == {"other"}
    assert not meter._cells
