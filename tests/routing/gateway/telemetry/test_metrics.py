"""What a worker counts, and how the counts of workers add up."""

from __future__ import annotations

import pytest

from routing.gateway.telemetry.ledger import DEPARTED_LIMIT, Ledger
from routing.gateway.telemetry.metrics import Meter
from routing.gateway.telemetry.promtext import FAMILIES, REQUESTS, SECONDS, Sample, render
from tests.support.builders import pool
from tests.support.metering import attempt, counted, record, table
from tests.support.promtext import read

pytestmark = pytest.mark.pure

ANSWERED = {"protocol": "openai_chat", "outcome": "answered"}


@pytest.fixture
def meter() -> Meter:
    known = table(pool("chat", "a/x", "b/y"))
    return Meter(lambda: known)


def test_a_request_is_counted_by_protocol_model_and_outcome(meter: Meter) -> None:
    meter.observe([record("chat", attempt("a/x"))])
    meter.observe([record("chat", attempt("a/x"))])
    meter.observe([record("chat", attempt("a/x", fault="status"), outcome="failed")])

    found = counted(meter)

    name = REQUESTS.name
    assert found.value(name, model="chat", **ANSWERED) == 2
    assert found.value(name, model="chat", protocol="openai_chat", outcome="failed") == 1
    assert found.value("switchyard_attempts_total", provider="a", model="x", fault="none") == 2
    assert found.value("switchyard_attempts_total", provider="a", model="x", fault="status") == 1


def test_a_failover_is_counted_with_what_made_it_necessary(meter: Meter) -> None:
    steps = attempt("a/x", fault="timeout"), attempt("b/y", start=100)
    meter.observe([record("chat", *steps, failover=True)])
    meter.observe([record("chat", attempt("b/y"), failover=True)])

    found = counted(meter)

    name = "switchyard_failovers_total"
    assert found.value(name, model="chat", provider="b", reason="timeout") == 1
    assert found.value(name, model="chat", provider="b", reason="skipped") == 1


@pytest.mark.parametrize(
    ("faults", "outcome"),
    [(("hedged", ""), "won"), (("", "hedged"), "lost"), (("status", "reset"), "lost")],
)
def test_a_hedge_has_won_if_its_candidate_served(
    meter: Meter, faults: tuple[str, str], outcome: str
) -> None:
    first = attempt("a/x", fault=faults[0])
    meter.observe([record("chat", first, attempt("b/y", fault=faults[1], is_hedge=True))])
    meter.observe([record("made-up", first, attempt("b/y", fault=faults[1], is_hedge=True))])

    found = counted(meter)

    name = "switchyard_hedges_total"
    assert found.value(name, model="chat", outcome=outcome) == 1
    assert found.value(name, model="other", outcome=outcome) == 1
    assert found.value(name) == 2


def test_what_was_simulated_is_a_request_but_no_call_of_the_provider(meter: Meter) -> None:
    slow = attempt("a/x", simulated="slow:ttft_ms=5")
    failed = attempt("a/x", fault="status", simulated="status:503")
    meter.observe([record("chat", slow)])
    meter.observe([record("chat", failed, attempt("b/y"), failover=True)])

    found = counted(meter)

    assert found.value(REQUESTS.name, model="chat", **ANSWERED) == 2
    assert found.value("switchyard_failovers_total", provider="b", reason="simulated") == 1
    assert found.value("switchyard_attempts_total") == 1
    assert found.value("switchyard_attempts_total", provider="b", fault="none") == 1
    assert found.value("switchyard_attempt_first_content_seconds_count") == 1


def test_times_go_into_buckets_in_seconds(meter: Meter) -> None:
    for duration_ms in (4, 5, 6, 700_000):
        meter.observe([record("chat", attempt("a/x"), duration_ms=duration_ms, stream=True)])

    found = counted(meter)

    bucket = "switchyard_request_duration_seconds_bucket"
    assert found.value(bucket, le="0.005") == 2
    assert found.value(bucket, le="0.01") == 3
    assert found.value(bucket, le="600") == 3
    assert found.value(bucket, le="+Inf") == 4
    assert found.value("switchyard_request_duration_seconds_sum") == pytest.approx(700.015)
    first_token = "switchyard_time_to_first_token_seconds"
    assert found.value(f"{first_token}_count", model="chat") == 4
    assert found.value(f"{first_token}_sum") == pytest.approx(4 * 0.021)
    content = "switchyard_attempt_first_content_seconds_sum"
    assert found.value(content, provider="a", stream="true") == pytest.approx(4 * 0.020)


@pytest.mark.parametrize("fault", ["", "status"])
def test_the_short_way_and_the_long_way_count_the_same(meter: Meter, fault: str) -> None:
    tokens = {"input_tokens": 7, "output_tokens": 3, "cached_tokens": 2}
    failed = (attempt("a/x", fault=fault),) if fault else ()
    meter.observe([record("chat", *failed, attempt("b/y"), stream=True, **tokens)])

    found = counted(meter)

    assert found.value(REQUESTS.name, model="chat", **ANSWERED) == 1
    assert found.value("switchyard_attempts_total", provider="b", model="y", fault="none") == 1
    assert found.value("switchyard_attempt_first_content_seconds_count", provider="b") == 1
    assert found.value("switchyard_time_to_first_token_seconds_count", model="chat") == 1
    for kind, number in {"input": 7, "output": 3, "cached": 2, "reasoning": 0}.items():
        assert found.value("switchyard_tokens_total", provider="b", kind=kind) == number


def test_a_name_is_a_label_for_as_long_as_the_routing_table_knows_it() -> None:
    tables = [table(pool("chat", "a/x")), table(pool("talk", "a/x"))]
    meter = Meter(lambda: tables[0])
    meter.observe([record("chat", attempt("a/x"))])
    tables.pop(0)
    meter.observe([record("chat", attempt("a/x"))])
    meter.observe([record("talk", attempt("a/x"))])

    found = counted(meter)

    for model in ("chat", "talk", "other"):
        assert found.value(REQUESTS.name, model=model) == 1


def test_only_what_has_moved_is_news(meter: Meter) -> None:
    meter.observe([record("chat", attempt("a/x"))])
    first = {name for name, _, _ in meter.news()}
    nothing = meter.news()
    meter.observe([record("chat", outcome="refused", duration_ms=1.0)])

    assert REQUESTS.name in first
    assert nothing == ()
    assert {name for name, _, _ in meter.news()} == {
        REQUESTS.name, "switchyard_request_duration_seconds",
    }  # fmt: skip


def test_every_family_can_be_written_and_read_back() -> None:
    label = 'a "quoted" \\ back\nslash'
    samples: list[Sample] = [(f.name, (label,) * len(f.labels), (1.5,) * f.width) for f in FAMILIES]

    found = read(render(samples))

    assert set(found.kinds) == {family.name for family in FAMILIES}
    assert found.values_of(REQUESTS.name, "model") == {label}
    assert found.value("switchyard_request_duration_seconds_count") == 1.5 * (len(SECONDS) + 1)


# The ledger


def told(number: float, model: str = "chat") -> list[Sample]:
    return [(REQUESTS.name, ("openai_chat", model, "answered"), (number,))]


def gauge(worker: str, number: float = 1) -> list[Sample]:
    return [("switchyard_requests_in_flight", (worker, "1"), (number,))]


def total(ledger: Ledger) -> float:
    return read(render(ledger.samples())).value(REQUESTS.name)


def test_workers_add_up_and_hearing_a_total_twice_changes_nothing() -> None:
    ledger = Ledger()
    ledger.hear("one", told(3), gauge("1"))
    ledger.hear("two", told(4), gauge("2"))
    ledger.hear("two", told(4), gauge("2"))
    ledger.hear("two", told(6), gauge("2", 9))

    found = read(render(ledger.samples()))

    assert found.value(REQUESTS.name) == 9
    assert found.value("switchyard_requests_in_flight") == 10


def test_a_dead_workers_counters_stay_and_its_gauges_vanish() -> None:
    ledger = Ledger()
    ledger.hear("one", told(3), gauge("1"))
    ledger.hear("two", told(4), gauge("2"))
    ledger.leave("one")

    found = read(render(ledger.samples()))

    assert found.value(REQUESTS.name) == 7
    assert found.values_of("switchyard_requests_in_flight", "worker") == {"2"}
    assert ledger.present == 1


def test_a_worker_that_was_only_cut_off_is_not_counted_twice() -> None:
    ledger = Ledger()
    ledger.hear("one", told(3), gauge("1"))
    ledger.leave("one")
    ledger.hear("one", told(5), gauge("1"))

    assert total(ledger) == 5


def test_ever_so_many_dead_workers_take_no_more_room_and_lose_nothing() -> None:
    ledger = Ledger()
    for number in range(500):
        ledger.hear(f"worker {number}", told(2), gauge("1"))
        ledger.leave(f"worker {number}")

    assert total(ledger) == 1000
    assert len(ledger._counters) == DEPARTED_LIMIT


def test_a_new_ledger_goes_on_where_the_old_one_was_saved() -> None:
    old = Ledger()
    for number in range(DEPARTED_LIMIT + 5):
        old.hear(f"dead {number}", told(1), gauge("1"))
        old.leave(f"dead {number}")
    old.hear("alive", told(10), gauge("1"))

    new = Ledger()
    new.restore(old.dump())
    before = total(new)
    new.hear("alive", told(12), gauge("1"))

    assert before == total(old) == DEPARTED_LIMIT + 15
    assert total(new) == DEPARTED_LIMIT + 17
    assert len(read(render(new.samples())).values_of("switchyard_requests_in_flight", "pid")) == 1


def test_families_of_another_version_are_passed_over() -> None:
    ledger = Ledger()
    ledger.hear("one", [("switchyard_of_tomorrow", (), (1.0,)), (REQUESTS.name, (), (1.0,))], [])
    ledger.hear("two", told(2), [("switchyard_requests_in_flight", (), (1.0,))])

    assert total(ledger) == 2


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"counters":{"x":[["a",[],["b"]]]}}'])
def test_a_file_that_is_none_of_ours_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Ledger().restore(raw)
