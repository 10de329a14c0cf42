"""The pages that show decisions, as an operator uses them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def pools(site: GatewayProcess) -> None:
    def candidates(*providers: str) -> list[dict[str, str]]:
        return [{"provider": name, "model": "m"} for name in providers]

    site.write_config(
        {
            "providers": {
                "from_file": {"kind": "simulator"},
                "failing": {"kind": "simulator", "fault": "status:503"},
            },
            "routing": {
                "model_pools": {
                    "well": {"candidates": candidates("from_file")},
                    "rescued": {"candidates": candidates("failing", "from_file")},
                }
            },
        }
    )
    wait_for(lambda: site.chat("rescued").status == 200, what="the pools to serve")


def test_explain_is_asked_and_answered_by_keyboard(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/explain/")
    model = page.get_by_label("Model")
    model.fill("well")
    model.press("Enter")
    result = page.locator("#result")
    expect(result).to_be_focused()
    expect(result.get_by_role("strong").first).to_have_text("from_file/m")
    expect(result.get_by_text("The only one that the name stands for.")).to_be_visible()


def test_a_mistake_is_shown_at_its_field(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/explain/")
    page.get_by_label("Model").fill("nobody")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("The model 'nobody' does not exist")).to_be_visible()
    expect(page.locator("#result")).to_have_count(0)


def test_models_are_suggested(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/explain/")
    assert page.get_by_label("Model").get_attribute("list") == "known-models"
    suggested = page.locator("#known-models option").evaluate_all("all => all.map(o => o.value)")
    assert {"well", "rescued"} <= set(suggested)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_request_is_tried_and_its_decision_looked_at(
    page: Page, site: GatewayProcess, is_stream: bool
):
    page.goto(f"{site.url}/admin/try/")
    page.get_by_label("Model").fill("rescued")
    page.get_by_label("Prompt").fill("What is on the track?")
    if is_stream:
        page.get_by_label("As a stream").check(force=True)
    page.get_by_role("button", name="Send").click()
    said = page.locator("#result").get_by_role("paragraph").last
    expect(said).to_contain_text("provider from_file answered as model m")
    expect(said).to_contain_text("What is on the track?")
    expect(page.get_by_role("heading", name=re.compile("^Answered with 200"))).to_be_visible()
    page.get_by_role("link", name="Why was this so?").click()
    expect(page.get_by_role("heading", name="Then")).to_be_visible()
    expect(page.get_by_role("heading", name="Now")).to_be_visible()
    expect(page.get_by_text("not kept")).to_have_count(0)


def test_pools_tell_in_words_who_is_chosen_and_why_not_another(page: Page, site: GatewayProcess):
    for _ in range(4):
        assert site.chat("rescued").status == 200
    page.goto(f"{site.url}/admin/pools-now/")
    rescued = page.get_by_role("region", name="rescued")
    expect(rescued.get_by_text("degraded", exact=True)).to_be_visible()
    expect(rescued.get_by_text("benched after failures", exact=True)).to_be_visible()
    expect(rescued.get_by_text("chosen now", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="well").get_by_text("fine", exact=True)).to_be_visible()
    page.get_by_role("link", name="Explain rescued").click()
    expect(page.get_by_label("Model")).to_have_value("rescued")
    expect(page.locator("#result").get_by_text("called first")).to_be_visible()


def test_a_candidate_is_benched_and_released_where_its_pool_is_shown(
    page: Page, site: GatewayProcess
):
    page.goto(f"{site.url}/admin/pools-now/?q=well")
    well = page.get_by_role("region", name="well")
    well.get_by_text("chosen now is").click()
    well.get_by_role("link", name="Bench from_file/m").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nobody calls from_file/m")
    dialog.get_by_label("Reason").fill("unpaid")
    dialog.get_by_role("button", name="Bench").click()
    expect(page).to_have_url(f"{site.url}/admin/pools-now/?q=well")
    expect(well.get_by_text("benched by an operator", exact=True)).to_be_visible()
    expect(well).to_contain_text("by ada: unpaid")
    well.get_by_role("button", name="Release from_file/m").click()
    expect(page.get_by_text("from_file/m is released.")).to_be_visible()
    expect(well.get_by_text("fine", exact=True)).to_be_visible()


def test_requests_are_chosen_by_chips_and_their_errors_are_a_click_away(
    page: Page, site: GatewayProcess
):
    request_id = site.chat("rescued").headers["x-request-id"]
    wait_for(lambda: site.request(f"/api/requests/{request_id}").status == 200, what="the record")
    page.goto(f"{site.url}/admin/controlplane/requestrecord/")
    page.get_by_role("link", name="last 15 minutes").click()
    page.get_by_role("row").filter(has_text="rescued").first.get_by_role(
        "link", name="rescued"
    ).click()
    expect(page.get_by_role("link", name="Without pool: rescued")).to_be_visible()
    page.get_by_role("button", name=f"Copy {request_id}").click()
    page.get_by_role("link", name="Errors grouped").click()
    expect(page.get_by_role("link", name="Without pool: rescued")).to_be_visible()
    expect(page.get_by_role("cell").filter(has_text="503 from failing").first).to_be_visible()


def test_waiting_is_shown(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/try/")
    page.get_by_label("Model").fill("well")
    # The form is held back, so that the page can be looked at while it waits.
    page.evaluate("document.addEventListener('submit', event => event.preventDefault())")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("Waiting for the answer:")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
