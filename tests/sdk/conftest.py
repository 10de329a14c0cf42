"""A gateway before the four vendors, for all tests of a process here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sdk.matrix import all_jobs
from tests.sdk.running import config
from tests.support.gateways import GatewayProcess
from tests.support.vendors.server import MODELS, Vendors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def vendors() -> Iterator[Vendors]:
    with Vendors() as started:
        yield started
    assert started.faults == []


@pytest.fixture(scope="session")
def gateway(
    vendors: Vendors, tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path
) -> Iterator[GatewayProcess]:
    plan = config(vendors, all_jobs())
    sonnet = {"provider": "messages", "model": f"{MODELS['messages']}~text"}
    plan["routing"]["model_pools"]["sonnet"] = {"candidates": [sonnet]}
    started = GatewayProcess(
        tmp_path_factory.mktemp("sdk"),
        template=migrated_data_dir,
        config=plan,
        arguments=(),
        env={},
    )
    started.wait_until_ready()
    yield started
    started.stop()
    assert "Traceback" not in started.logs(), started.logs()[-4000:]
