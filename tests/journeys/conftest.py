"""The stage that every journey of this process plays on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journeys.stage import Stage, starting_config
from tests.support.gateways import GatewayProcess
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def whole_session_stage(
    tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path
) -> Iterator[Stage]:
    first, second = Upstream("first"), Upstream("second")
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("stage"),
        template=migrated_data_dir,
        config=starting_config(),
        arguments=(),
        env={},
    )
    gateway.wait_until_ready()
    yield Stage(gateway, first, second)
    gateway.stop()
    first.stop()
    second.stop()
    assert "Traceback" not in gateway.logs(), gateway.logs()


@pytest.fixture
def stage(whole_session_stage: Stage) -> Iterator[Stage]:
    """The stage, cleared afterwards."""
    yield whole_session_stage
    whole_session_stage.restore()
