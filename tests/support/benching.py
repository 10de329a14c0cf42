"""Failures of one candidate, told to its benches."""

from failover.engine.benches import Benches
from failover.engine.policy import BenchPolicy
from failover.engine.verdicts import VERDICTS
from providers.errors import Fault
from tests.support.builders import FakeClock, failure

KEY = ("one/m", None)
POLICY = BenchPolicy()


def fail(
    b: Benches,
    clock: FakeClock,
    fault=Fault.STATUS,
    key=KEY,
    times=1,
    policy=POLICY,
    began=None,
    **evidence,
):
    for _ in range(times):
        evidence.setdefault("status", 500)
        b.failed(
            VERDICTS[fault].bench,
            key,
            failure(fault, **evidence),
            policy,
            now=clock.now,
            began=clock.now if began is None else began,
            request_id="req_1",
        )
