"""The field that all fault tests of this process play on; its properties are checked each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.field import Case, Field, config_of
from tests.faults.provider import ScriptedProvider
from tests.support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def whole_session_field(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_data_dir: Path,
) -> Iterator[Field]:
    cases = all_cases(request.session.items)
    provider = ScriptedProvider()
    spare = ScriptedProvider(provider.calls)
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("field"),
        template=migrated_data_dir,
        config=config_of(cases, provider, spare),
        arguments=("--workers", "1"),
        env={},
    )
    gateway.wait_until_ready()
    yield Field(gateway, provider, spare, cases)
    gateway.stop()
    provider.stop()
    spare.stop()


def all_cases(items: list[pytest.Item]) -> dict[str, Case]:
    """CASES of every module here, so that the gateway is configured once."""
    modules = {item.module for item in items if isinstance(item, pytest.Function)}
    ours = [
        module.CASES
        for module in modules
        if module.__name__.startswith(f"{__package__}.") and hasattr(module, "CASES")
    ]
    cases = {name: case for found in ours for name, case in found.items()}
    assert len(cases) == sum(map(len, ours)), "two modules have a case of the same name"
    return cases


@pytest.fixture(scope="module")
def module_field(whole_session_field: Field) -> Iterator[Field]:
    """The field for one module; afterwards every request has its record."""
    whole_session_field.begin()
    yield whole_session_field
    whole_session_field.close_books()


@pytest.fixture
def field(request: pytest.FixtureRequest, module_field: Field) -> Iterator[Field]:
    """The same for one test; afterwards nothing is open and nothing was said."""
    module_field.test = request.node.name
    yield module_field
    module_field.settle()
