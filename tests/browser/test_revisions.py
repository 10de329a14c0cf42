"""Two people at one pool, and the way back, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser


def revisions(site: GatewayProcess) -> list[dict[str, object]]:
    found = site.request("/api/revisions").json()
    return list(found)


def test_an_old_page_is_told_and_saves_at_the_second_try_and_all_of_it_is_taken_back(
    page: Page, site: GatewayProcess
):
    candidates = [{"provider_name": "mine", "model": "m"}]
    site.request("/api/providers", {"name": "mine", "kind": "simulator"})
    site.request("/api/pools", {"name": "shared", "candidates": candidates})
    wait_for(
        lambda: "added pool shared" in str(revisions(site)[0]["objects"]), what="the first revision"
    )
    good = revisions(site)[0]["revision"]

    page.goto(f"{site.url}/admin/routing/canonicalmodel/")
    page.get_by_role("link", name="shared", exact=True).click()
    site.request("/api/pools/shared", {"strategy": "round_robin"}, method="PATCH")
    page.locator("#id_strategy").select_option("fill_first")
    page.get_by_label("Reason for this change").fill("ticket 7")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("While you were editing, API: master key saved this")).to_be_visible()
    expect(page.locator("#id_strategy")).to_have_value("fill_first")
    expect(page.get_by_label("Reason for this change")).to_have_value("ticket 7")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()

    wait_for(lambda: revisions(site)[0]["reason"] == "ticket 7", what="the last revision")
    page.get_by_role("link", name="Revisions").click()
    expect(page.get_by_text("ticket 7")).to_be_visible()
    page.goto(f"{site.url}/admin/controlplane/revision/{good}/change/")
    page.get_by_role("link", name="Return to this state").click()
    expect(page.get_by_text("strategy: fill_first → as in the settings")).to_be_visible()
    page.get_by_label("Reason").fill("was better")
    page.get_by_role("button", name="Return to this state").click()
    expect(page.get_by_text(f"Returned to revision {good}: 1 object changed.")).to_be_visible()
    assert site.request("/api/pools/shared").json()["strategy"] == ""
