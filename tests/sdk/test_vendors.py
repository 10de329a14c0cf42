"""
The vendors of tests.support.vendors are as the vendors' own SDKs want them.

They judge the gateway, so they are judged first: what an SDK gets of them directly is what
expected.py says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.sdk.expected import mistakes, scenes_of
from tests.sdk.running import CALLERS, OWN, Caller, Job, ask
from tests.support.vendors.server import Vendors

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_THE_SUITE = [replace(c, home=OWN) for c in CALLERS if c.home == "new" and c.protocol != "gemini"]


@pytest.fixture
def vendors() -> Iterator[Vendors]:
    with Vendors() as started:
        yield started
    assert started.faults == []


@pytest.mark.parametrize("caller", IN_THE_SUITE, ids=lambda caller: caller.protocol)
def test_a_vendor_is_as_its_own_sdk_wants_it(caller: Caller, vendors: Vendors) -> None:
    jobs = [
        Job(vendor=caller.protocol, scene=scene, stream=stream)
        for scene in scenes_of(caller.protocol)
        for stream in (False, True)
    ]

    outcomes = ask(caller, jobs, url=f"{vendors.url}/{caller.protocol}", key="k", direct=True)

    wrong = {
        (job.scene, job.stream): found
        for job, outcome in zip(jobs, outcomes, strict=True)
        if (found := mistakes(outcome, caller.protocol, caller.protocol, job.scene))
    }
    assert wrong == {}
