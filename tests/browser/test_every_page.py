"""
Every page of admin, in both themes, wide and narrow: nobody is shut out, nothing sticks out.

SCREENSHOTS=folder keeps a picture of each (`make screenshots`).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.support.processes import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
# Lists of Django's own that add, and what has rows to be opened.
ADDED = ("alias", "apikey", "canonicalmodel", "failoverrule", "group", "provider", "team", "user")
WIDTHS = {1440: "light", 390: "dark"}


@pytest.fixture(scope="module")
def axe() -> str:
    """The accessibility checker, a script."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found
    assert found.origin
    return (Path(found.origin).parent / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def filled(site: GatewayProcess) -> GatewayProcess:
    """With one of everything."""

    def make(path: str, body: dict[str, Any], method: str = "POST") -> None:
        reply = site.request(f"/api/{path}", body, method=method)
        assert reply.status in {200, 201}, reply.body

    make("providers", {"name": "own", "kind": "simulator", "models": [{"model_id": "m"}]})
    places = [{"provider_name": name, "model": "m"} for name in ("from_file", "own")]
    make("pools", {"name": "small", "candidates": places})
    make("aliases", {"name": "tiny", "target": "small"})
    make("failover", {"primary_model": "small", "fallback_models": ["own/other"]}, "PUT")
    make("keys", {"name": "team-key", "team": "one"})
    make("benches", {"model": "own/m", "reason": "a test", "for_s": 600})
    assert site.chat("small").status == 200
    assert site.chat("nosuch").status == 404
    wait_for(lambda: len(site.request("/api/requests").json()["results"]) == 2, what="both records")
    return site


def pages_of(page: Page, site: GatewayProcess) -> list[str]:
    """Of the menu, the forms that add, and the first row of each list."""
    page.goto(f"{site.url}/admin/")
    entries = "#nav-sidebar-apps a"
    found = page.eval_on_selector_all(entries, "all => all.map(one => one.getAttribute('href'))")
    for link in list(found):
        parts = link.strip("/").split("/")
        if len(parts) == 3:
            page.goto(site.url + link)
            first = page.locator(f"#result_list a[href*='{link}'][href*='/change/']")
            if first.count():
                found.append(first.first.get_attribute("href").split("?")[0])
            if parts[2] in ADDED:
                found.append(f"{link}add/")
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_shuts_nobody_out_and_is_as_wide_as_its_window(
    page: Page, filled: GatewayProcess, axe: str, width: int
):
    theme = WIDTHS[width]
    pages = pages_of(page, filled)
    assert len(pages) > 40
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    troubles: list[str] = []
    for link in pages:
        page.goto(filled.url + link)
        if not link.startswith("/api/"):  # whose markup is Swagger UI's
            troubles += grave(page, axe, link)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            troubles.append(f"{link}: {wide} px wide")
        if folder := os.environ.get("SCREENSHOTS"):
            name = f"{link.strip('/').replace('/', '-')}-{theme}-{width}.png"
            page.screenshot(path=Path(folder) / name, full_page=True)
    assert not troubles, "\n".join(troubles)


def test_ctrl_k_leads_anywhere_and_says_when_there_is_nothing(page: Page, filled: GatewayProcess):
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.type("nosuchthing")
    expect(page.get_by_text("Nothing is called “nosuchthing”")).to_be_visible()
    page.keyboard.press("Enter")  # a script error fails the test
    page.keyboard.press("Escape")
    page.keyboard.type("small")
    expect(page.locator("#command-results-list a").first).to_contain_text("small")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{filled.url}/admin/routing/canonicalmodel/*/change/")


def test_the_menu_is_skipped_by_keyboard(page: Page, filled: GatewayProcess):
    del filled
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip the menu")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


def grave(page: Page, axe: str, link: str) -> list[str]:
    """What the checker finds that is serious."""
    page.evaluate("new Promise(done => setTimeout(done, 20))")  # for scripts that wait for all
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{link}: {rule['id']}: {node['html'][:200]}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]
