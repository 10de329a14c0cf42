"""Operators' switches, turned in lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser

NAMES = {"kind": "provider", "provider_name": "from_file"}


@pytest.fixture(autouse=True)
def pools(site: GatewayProcess) -> Iterator[None]:
    """Two pools over the configuration's provider and one of admin's; nothing is switched."""
    site.request("/api/providers", {"name": "spare", "kind": "simulator"})
    for name in ("left", "right"):
        members = [{"provider_name": p, "model": "x"} for p in ("from_file", "spare")]
        site.request("/api/pools", {"name": name, "candidates": members})
    wait_for(lambda: served(site) == "from_file", what="the pool to serve")
    yield
    for entry in entries(site):
        names = {n: entry[n] for n in ("kind", "provider_name", "canonical_model", "model")}
        assert site.request("/api/routing-state", names, method="DELETE").status == 204


def entries(site: GatewayProcess) -> list[dict[str, object]]:
    found: list[dict[str, object]] = site.request("/api/routing-state").json()
    return found


def served(site: GatewayProcess, pool: str = "left") -> str | None:
    return site.chat(pool).headers["x-switchyard-provider"]


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name, exact=True)


def test_one_click_switches_a_configured_provider_and_the_page_stays(
    page: Page, site: GatewayProcess
):
    page.goto(f"{site.url}/admin/providers/provider/")
    page.evaluate("window.isTheSamePage = true")
    control = switch(page, "provider from_file")
    expect(control).to_be_checked()
    control.click()
    panel = page.get_by_role("dialog", name="provider from_file is off.")
    expect(panel).to_be_visible()
    expect(control).not_to_be_checked()
    assert served(site) == "spare"

    panel.get_by_label("Reason").fill("key rotation")
    panel.get_by_role("button", name="15 min").click()
    panel.get_by_role("button", name="Save").click()
    expect(panel).to_be_hidden()
    expect(page.get_by_text("by ada: key rotation, until")).to_be_visible()
    assert page.evaluate("window.isTheSamePage") is True
    (entry,) = entries(site)
    assert (entry["reason"], entry["enabled"], entry["set_by"]) == ("key rotation", False, "ada")
    assert entry["until"] is not None

    page.reload()
    expect(switch(page, "provider from_file")).not_to_be_checked()
    expect(page.get_by_text("by ada: key rotation, until")).to_be_visible()
    switch(page, "provider from_file").click()
    expect(page.get_by_text("provider from_file is on.")).to_be_visible()
    assert entries(site) == []
    assert served(site) == "from_file"


def test_a_switch_is_turned_explained_and_taken_back_by_keyboard_alone(
    page: Page, site: GatewayProcess
):
    page.goto(f"{site.url}/admin/routing/candidate/?q=left")
    control = switch(page, "from_file/x in left")
    control.focus()
    page.keyboard.press("Space")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("too slow")
    page.keyboard.press("Enter")
    expect(page.get_by_text("by ada: too slow")).to_be_visible()
    expect(control).to_be_focused()
    assert [served(site, "left"), served(site, "right")] == ["spare", "from_file"]

    page.keyboard.press("Enter")
    expect(control).to_be_checked()
    expect(control).to_be_focused()
    page.get_by_role("button", name="Undo").press("Enter")
    expect(control).not_to_be_checked()
    assert [entry["reason"] for entry in entries(site)] == ["too slow"]
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_refusal_is_told_and_changes_nothing(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/routing/canonicalmodel/")
    control = switch(page, "model pool right")
    control.click()
    panel = page.get_by_role("dialog")
    panel.get_by_label("Until").fill("2020-01-01T00:00:00")
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_role("alert")).to_contain_text("This time is over")
    expect(control).not_to_be_checked()
    assert [entry["until"] for entry in entries(site)] == [None]


def test_what_nobody_is_left_to_serve_is_said_at_once(page: Page, site: GatewayProcess):
    site.request("/api/routing-state", {**NAMES, "enabled": False}, method="PUT")
    page.goto(f"{site.url}/admin/providers/provider/")
    switch(page, "provider spare").click()
    expect(page.get_by_text("Nobody is left to serve left, right.")).to_be_visible()


def test_candidates_are_switched_on_the_page_of_their_pool(page: Page, site: GatewayProcess):
    page.set_viewport_size({"width": 1600, "height": 1200})
    page.goto(f"{site.url}/admin/routing/canonicalmodel/")
    page.get_by_role("link", name="left", exact=True).click()
    switch(page, "from_file/x in left").click()
    expect(page.get_by_text("from_file/x in left is off.")).to_be_visible()
    assert served(site) == "spare"


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_the_panel_follows_the_system_into_the_dark(
    page: Page, site: GatewayProcess, scheme: str, is_dark: bool
):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site.url}/admin/providers/provider/")
    switch(page, "provider spare").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    dark, text, back = page.evaluate(
        """() => {
            const style = getComputedStyle(document.querySelector(".switch-panel"));
            const light = (colour) => {
                const canvas = document.createElement("canvas").getContext("2d");
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                return canvas.getImageData(0, 0, 1, 1).data[0];
            };
            const is = document.documentElement.classList.contains("dark");
            return [is, light(style.color), light(style.backgroundColor)];
        }"""
    )
    assert dark is is_dark
    assert (back < 64, text > 160) == (is_dark, is_dark)


def test_without_scripts_the_control_is_a_link_to_its_form_and_lists_have_actions(
    browser: Browser, site: GatewayProcess
):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(f"{site.url}/admin/login/?next=/admin/providers/provider/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button").first.click()
    page.get_by_title("provider from_file", exact=True).click()
    expect(page.locator("[name=provider_name]")).to_have_value("from_file")
    page.locator("[name=reason]").fill("no scripts")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert [entry["reason"] for entry in entries(site)] == ["no scripts"]
    assert served(site) == "spare"
    context.close()
