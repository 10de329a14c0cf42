"""The overview, as an operator watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser


def test_charts_and_pools_follow_the_traffic_without_a_reload(page: Page, site: GatewayProcess):
    seen: list[str] = []
    page.on("console", lambda line: seen.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.goto(f"{site.url}/admin/?window=15m")
    expect(page.get_by_role("heading", name="Model pools")).to_be_visible()
    page.evaluate("window.isTheSamePage = true")
    assert site.chat("demo").status == 200
    # Nobody sums here: the worker does. What is asked of the worker process is another test.
    expect(page.get_by_text("Who sits out")).to_be_visible()
    expect(page.get_by_text("No worker looks after health")).to_be_visible()
    page.get_by_role("link", name="last day").click()
    expect(page.get_by_role("link", name="last day")).to_have_attribute("aria-current", "true")
    assert not seen
