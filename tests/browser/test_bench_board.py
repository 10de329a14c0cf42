"""The bench board, as an operator uses it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def pools(site: GatewayProcess) -> None:
    def candidates(*providers: str) -> dict[str, Any]:
        return {"candidates": [{"provider": name, "model": "m"} for name in providers]}

    site.write_config(
        {
            "providers": {
                "from_file": {"kind": "simulator"},
                "spare": {"kind": "simulator"},
                "refusing": {"kind": "simulator", "api_key": "k", "fault": "status:401"},
            },
            "routing": {
                "model_pools": {
                    "well": candidates("from_file", "spare"),
                    "rescued": candidates("refusing", "spare"),
                }
            },
        }
    )
    wait_for(lambda: site.chat("rescued").status == 200, what="the pools to serve")


@pytest.fixture
def board(page: Page, site: GatewayProcess) -> Page:
    for row in site.request("/api/benches").json():
        site.request("/api/benches", {"model": row["model"]}, method="DELETE")
    page.goto(f"{site.url}/admin/failover/bench/")
    return page


def row_of(page: Page, who: str) -> Locator:
    return page.locator(".bench-table[data-rows] tbody tr").filter(has_text=who)


def bench(page: Page, who: str, reason: str) -> None:
    page.get_by_label("Who").fill(who)
    page.get_by_label("Reason", exact=False).last.fill(reason)
    page.get_by_role("button", name="Bench", exact=True).click()


def served_by(site: GatewayProcess) -> str | None:
    return site.chat("well").headers["x-switchyard-provider"]


def test_a_bench_is_set_and_released_without_leaving_the_page(board: Page, site: GatewayProcess):
    board.evaluate("window.sameAsEver = true")
    expect(board.get_by_text("Nobody sits out.")).to_be_visible()
    bench(board, "from_file/m", "invoice <unpaid>")
    row = row_of(board, "from_file/m")
    expect(row).to_contain_text("invoice <unpaid>; by ada")
    expect(row).to_contain_text("by hand")
    expect(row).to_contain_text("1 of 1 worker")
    expect(row).to_contain_text(re.compile(r"59 min \d+ s left"))
    expect(board.get_by_role("status")).to_contain_text("from_file/m is benched until")
    assert served_by(site) == "spare"

    row.get_by_text("Release").first.click()
    row.get_by_label("Reason, for the log").fill("paid")
    row.get_by_role("button", name="Release", exact=True).click()
    expect(row).to_have_count(0)
    expect(board.get_by_role("status")).to_contain_text("from_file/m is released")
    expect(board.locator("[data-past]")).to_contain_text("released by ada: paid")
    assert served_by(site) == "from_file"
    assert board.evaluate("window.sameAsEver")


def test_what_traffic_finds_appears_with_its_reason_and_leads_to_the_request(
    board: Page, site: GatewayProcess
):
    request_id = site.chat("rescued").headers["x-request-id"]
    row = row_of(board, "refusing/*")
    expect(row).to_contain_text("credential")
    expect(row).to_contain_text("auth, status 401")
    wait_for(lambda: site.request(f"/api/requests/{request_id}").status == 200, what="the record")
    row.get_by_role("link", name=re.compile(request_id)).click()
    expect(board.locator("#result_list")).to_contain_text("rescued")


def test_by_keyboard_alone_a_bench_is_extended(board: Page, site: GatewayProcess):
    order = {"model": "from_file/m", "for_s": 600, "reason": "short"}
    assert site.request("/api/benches", order).status == 201
    row = row_of(board, "from_file/m")
    expect(row).to_contain_text("9 min")
    row.locator("summary", has_text="Extend").focus()
    board.keyboard.press("Enter")
    row.get_by_label("By").focus()
    board.keyboard.press("ArrowDown")
    board.keyboard.press("Tab")
    board.keyboard.press("Enter")
    expect(row).to_contain_text("1 h 9 min left")
    expect(row).to_contain_text("short; by ada")


def test_nobody_is_benched_by_extending_a_bench_that_is_over(board: Page, site: GatewayProcess):
    tokens = [c["value"] for c in board.context.cookies() if c["name"] == "csrftoken"]
    form = {"act": "extend", "model": "nosuch/m", "for_s": "600", "reason": "why"}
    answer = board.request.post(
        f"{site.url}/admin/failover/bench/",
        form={**form, "csrfmiddlewaretoken": tokens[0]},
        headers={"accept": "application/json"},
    ).json()
    assert (answer["is_good"], answer["said"]) == (False, "nosuch/m was not benched any more.")
    assert site.request("/api/benches").json() == []


def test_a_word_that_is_missing_is_asked_for(board: Page):
    bench(board, "from_file", "why not")
    expect(board.get_by_role("alert")).to_contain_text("is not allowed: write")
    expect(board.get_by_label("Who")).to_be_focused()
    assert board.get_by_label("Who").get_attribute("aria-invalid") == "true"
    expect(board.get_by_text("Nobody sits out.")).to_be_visible()
