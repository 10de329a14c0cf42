"""Whose doing a failure is: what only one caller's requests meet benches nobody."""

from __future__ import annotations

import pytest

from failover.engine.bench_rules import MAY_BE_THE_CALLERS
from failover.engine.benches import Benches
from failover.engine.policy import BenchPolicy
from failover.engine.verdicts import VERDICTS, Scope
from providers.errors import Fault
from tests.support.builders import benches, failure

pytestmark = pytest.mark.pure

POLICY = BenchPolicy(failures=3, failure_ratio=0.5, window_s=60)
CANDIDATE = ("up/m", None)
KEYS = (CANDIDATE, ("up/*", None), ("up/*", "main"), ("up/m", "main"))


class Traffic:
    """Calls at one candidate, a second apart."""

    def __init__(self) -> None:
        self.benches: Benches = benches()
        self.now = 1000.0

    def fails(self, caller: str, fault: Fault = Fault.RESET, times: int = 1) -> None:
        row = VERDICTS[fault].bench
        key = {Scope.ENDPOINT: KEYS[1], Scope.CREDENTIAL_MODEL: KEYS[3]}.get(row.scope, CANDIDATE)
        for _ in range(times):
            self.now += 1
            told = {"now": self.now, "began": self.now, "request_id": "r", "caller": caller}
            self.benches.failed(row, key, failure(fault), POLICY, **told)

    def is_answered(self, caller: str) -> None:
        self.now += 1
        self.benches.succeeded(KEYS, 60, self.now, began=self.now, caller=caller)

    @property
    def is_benched(self) -> bool:
        return bool(self.benches.entries(self.now))


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.mark.parametrize("fault", sorted(MAY_BE_THE_CALLERS))
def test_what_one_caller_alone_meets_while_another_is_answered_benches_nobody(
    traffic: Traffic, fault: Fault
) -> None:
    traffic.fails("greedy", fault, times=2)
    traffic.is_answered("good")
    traffic.fails("greedy", fault, times=50)
    assert not traffic.is_benched


def test_while_nobody_is_answered_one_callers_failures_bench_as_soon_as_ever(
    traffic: Traffic,
) -> None:
    traffic.is_answered("other")
    traffic.is_answered("only")
    traffic.fails("only", times=3)
    assert traffic.is_benched


def test_the_callers_own_successes_are_no_evidence_against_it(traffic: Traffic) -> None:
    traffic.fails("only", times=1)
    traffic.is_answered("only")
    traffic.fails("only", times=2)
    assert traffic.is_benched


def test_what_two_callers_meet_is_the_providers(traffic: Traffic) -> None:
    traffic.fails("one", times=1)
    traffic.is_answered("good")
    traffic.fails("one", times=2)
    assert not traffic.is_benched
    traffic.fails("two", times=1)
    assert traffic.is_benched


@pytest.mark.parametrize("fault", [Fault.CONNECT, Fault.TIMEOUT])
def test_what_no_request_brings_about_counts_whoever_meets_it(
    traffic: Traffic, fault: Fault
) -> None:
    traffic.fails("greedy", fault)
    traffic.is_answered("good")
    traffic.fails("greedy", fault, times=5)
    assert traffic.is_benched


def test_an_answer_of_long_ago_says_nothing(traffic: Traffic) -> None:
    traffic.fails("greedy")
    traffic.is_answered("good")
    traffic.now += 300
    traffic.fails("greedy", times=3)
    assert traffic.is_benched
