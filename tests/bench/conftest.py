"""The benchmark's upstream, once for all of its tests."""

from __future__ import annotations

import pytest

from bench.gateways import under_test


@pytest.fixture(scope="session")
def ports():
    with under_test.upstream() as found:
        yield found
