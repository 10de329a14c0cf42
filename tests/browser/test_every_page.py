"""
Every page of admin, in both themes, wide and narrow: nobody is shut out, nothing sticks out.

SCREENSHOTS=folder keeps a picture of each (`make screenshots`); EVERY_LOOK=1 has the other two
looks as well.
"""

from __future__ import annotations

import importlib.util
import os
import re
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
LOOKS = [(1440, "light"), (390, "dark")]
if os.environ.get("EVERY_LOOK"):
    LOOKS += [(1440, "dark"), (390, "light")]


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


def test_a_page_shuts_nobody_out_and_is_as_wide_as_its_window(
    page: Page, filled: GatewayProcess, axe: str
):
    entries = "#nav-sidebar-apps a"
    links = page.eval_on_selector_all(entries, "all => all.map(one => one.getAttribute('href'))")
    troubles: list[str] = []
    seen: set[str] = set()
    while links:
        link = links.pop()
        if link not in seen:
            seen.add(link)
            page.goto(filled.url + link)
            page.evaluate("new Promise(done => setTimeout(done, 20))")  # for scripts that wait
            page.evaluate(axe)
            links += more_of(page, link)
            for width, theme in LOOKS:
                troubles += troubles_of(page, link, width, theme)
    assert len(seen) > 45
    assert not troubles, "\n".join(troubles)


def more_of(page: Page, link: str) -> list[str]:
    """The page of a list's first row, and the form that adds one."""
    parts = link.strip("/").split("/")
    if len(parts) != 3:
        return []
    found = [f"{link}add/"] if parts[2] in ADDED else []
    first = page.locator(f"#result_list a[href*='{link}'][href*='/change/']")
    if first.count():
        found.append(first.first.get_attribute("href").split("?")[0])
    return found


def troubles_of(page: Page, link: str, width: int, theme: str) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(
        "dark => document.documentElement.classList.toggle('dark', dark)", theme == "dark"
    )
    found = [] if link.startswith("/api/") else grave(page, link, theme)  # Swagger's own markup
    wide = page.evaluate("document.documentElement.scrollWidth")
    if folder := os.environ.get("SCREENSHOTS"):
        name = f"{link.strip('/').replace('/', '-')}-{theme}-{width}.png"
        page.screenshot(path=Path(folder) / name, full_page=True)
    return found + ([f"{link}: {wide} px wide"] if wide > width else [])


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


def grave(page: Page, link: str, theme: str) -> list[str]:
    """
    What the checker finds that is serious: what does not hang on the theme it looks for once, and
    at the menu, which every page has, on the first page.
    """
    rules = {"runOnly": ["color-contrast", "scrollable-region-focusable"]}
    asked = {"resultTypes": ["violations"], **(rules if theme == "dark" else {})}
    where = None if link == "/admin/" else {"exclude": ["#nav-sidebar-apps"]}
    found = page.evaluate("([where, asked]) => axe.run(where ?? document, asked)", [where, asked])
    return [
        f"{link}: {rule['id']}: {node['html'][:200]}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def test_an_age_goes_on_while_the_page_stays_open(page: Page, filled: GatewayProcess):
    page.clock.install()
    page.goto(f"{filled.url}/admin/controlplane/revision/")
    age = page.locator("[data-age]").first
    expect(age).to_have_text(re.compile(r"^(\d+ s|1?\d min) ago$"))
    page.clock.fast_forward("20:00")
    expect(age).to_have_text(re.compile(r"^[23]\d min ago$"))
