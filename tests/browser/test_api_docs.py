from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser


def test_the_api_can_be_read_and_tried_without_any_other_host(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/api/docs/")
    operation = page.locator("#operations-failover-failover_list")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(
        operation.locator(".live-responses-table tr.response .response-col_status")
    ).to_have_text("200")


def test_whoever_saves_a_rule_that_helps_nobody_sees_why(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/failover/failoverrule/add/")
    page.locator("[name=primary_model]").fill("from_file/a")
    page.locator("[name=fallback_models]").fill("nowhere")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("nowhere: it is no model pool")).to_be_visible()
