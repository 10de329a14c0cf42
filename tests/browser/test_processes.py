"""The page of processes, as an operator watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser


def test_the_page_shows_an_edit_and_a_refused_file_without_a_reload(
    page: Page, site: GatewayProcess
):
    page.goto(f"{site.url}/admin/")
    page.get_by_role("link", name="Processes").click()
    before = int((site.ready() or {})["generation"])
    status = page.get_by_role("status")
    expect(status).to_contain_text(f" on {before}")
    expect(page.get_by_text("up to date").first).to_be_visible()
    page.evaluate("window.isTheSamePage = true")

    made = site.request("/api/providers", {"name": "seen", "kind": "simulator"})
    assert made.status == 201
    expect(status).to_contain_text(f" on {before + 1}")
    good = site.config_file.read_text()
    site.write_config("providers: 3\n")
    expect(page.get_by_text("needs attention")).to_be_visible()
    expect(page.get_by_text("switchyard.yaml:1")).to_be_visible()
    site.write_config(good)
    expect(page.get_by_text("needs attention")).to_be_hidden()

    assert page.evaluate("window.isTheSamePage")
    assert site.request("/api/providers/seen", method="DELETE").status == 204
