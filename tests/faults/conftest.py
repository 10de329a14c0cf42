"""The field that all fault tests of this process play on; its properties are checked each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.field import Field
from tests.faults.provider import ScriptedProvider
from tests.support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def whole_session_field(
    tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path
) -> Iterator[Field]:
    provider = ScriptedProvider()
    spare = ScriptedProvider(provider.calls)
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("field"),
        template=migrated_data_dir,
        config={},
        arguments=("--workers", "1"),
        env={},
    )
    gateway.wait_until_ready()
    yield Field(gateway, provider, spare)
    gateway.stop()
    provider.stop()
    spare.stop()


@pytest.fixture(scope="module")
def module_field(request: pytest.FixtureRequest, whole_session_field: Field) -> Iterator[Field]:
    """The field with the module's CASES; afterwards every request has its record."""
    whole_session_field.begin(request.module.CASES)
    yield whole_session_field
    whole_session_field.close_books()


@pytest.fixture
def field(request: pytest.FixtureRequest, module_field: Field) -> Iterator[Field]:
    """The same for one test; afterwards nothing is open and nothing was said."""
    module_field.test = request.node.name
    yield module_field
    module_field.settle()
