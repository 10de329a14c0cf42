"""Callers in a process of their own."""

from __future__ import annotations

import asyncio

import pytest

from bench.load import driver
from tests.bench.asking import chat_url


@pytest.mark.skipif(not driver.has_wrk(), reason="wrk is not installed")
async def test_wrk_reports_the_same_numbers_as_our_own_callers(ports):
    well, refused = await asyncio.gather(
        asyncio.to_thread(driver.plain, chat_url(ports), {}, seconds=1),
        asyncio.to_thread(driver.plain, chat_url(ports, "/refuse"), {}, seconds=1),
    )

    assert well.requests > 0
    assert well.errors == 0
    assert refused.requests == 0
    assert refused.errors > 0
