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

SECRET = "sk-very-secret-of-the-tests"


def add_provider(page: Page, site: GatewayProcess, name: str) -> None:
    page.goto(f"{site.url}/admin/providers/provider/add/")
    page.locator("[name=name]").fill(name)
    page.locator("[name=kind]").select_option("simulator")
    page.get_by_text("Add another Credential").click()
    page.locator("[name=credentials-0-label]").fill("main")
    page.locator("[name=credentials-0-secret]").fill(SECRET)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()


def test_the_overview_is_where_a_sign_in_leads(page: Page, site: GatewayProcess):
    expect(page.get_by_text("What to do first")).to_be_visible()
    expect(page.get_by_role("heading", name="Model pools")).to_be_visible()
    expect(page.get_by_text(str(site.config_file))).to_be_visible()


def test_a_secret_is_typed_and_no_page_holds_it_again(page: Page, site: GatewayProcess):
    add_provider(page, site, "lab")
    assert SECRET not in page.content()
    page.locator("#result_list").get_by_role("link", name="lab").click()
    key = page.locator("[name=credentials-0-secret]")
    expect(key).to_have_value("")
    assert key.get_attribute("type") == "password"
    assert SECRET not in page.content()
    page.locator("[name=credentials-0-label]").fill("renamed")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()


def test_candidates_are_dragged_into_order_and_are_live(page: Page, site: GatewayProcess):
    add_provider(page, site, "first")
    add_provider(page, site, "second")
    page.set_viewport_size({"width": 1440, "height": 1400})
    page.goto(f"{site.url}/admin/routing/canonicalmodel/add/")
    page.locator("[name=name]").fill("small")
    for place, provider in enumerate(["first", "second"]):
        page.get_by_text("Add another Candidate").click()
        page.locator(f"[name=candidates-{place}-provider_name]").select_option(provider)
        page.locator(f"[name=candidates-{place}-model]").fill("x")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    wait_for(lambda: served_by(site) == "first", what="the pool to serve")

    handles = page.locator("#candidates-group tbody.original [x-sort\\:handle]")
    handles.nth(1).drag_to(handles.nth(0), target_position={"x": 19, "y": 2})
    expect(page.locator("[name=candidates-1-position]")).to_have_value("0")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    expect(page.locator("[name=candidates-0-provider_name]")).to_have_value("second")
    wait_for(lambda: served_by(site) == "second", what="the new order to serve")


def served_by(site: GatewayProcess) -> str | None:
    return site.chat("small").headers["x-switchyard-provider"]


def test_candidates_are_put_into_order_by_keyboard_alone(page: Page, site: GatewayProcess):
    add_provider(page, site, "third")
    page.goto(f"{site.url}/admin/routing/canonicalmodel/add/")
    page.locator("[name=name]").fill("by-keyboard")
    for place, model in enumerate(["a", "b"]):
        page.get_by_role("link", name="Add another Candidate").press("Enter")
        page.locator(f"[name=candidates-{place}-provider_name]").select_option("third")
        page.locator(f"[name=candidates-{place}-model]").fill(model)
    page.locator("[name=candidates-0-position]").fill("9")
    page.locator("[name=candidates-1-position]").fill("4")
    page.locator("[name=name]").press("Enter")
    expect(page.get_by_text("third/b, third/a")).to_be_visible()


def test_a_key_is_shown_once(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/controlplane/apikey/add/")
    page.locator("[name=name]").fill("indexer")
    page.get_by_role("button", name="Save", exact=True).click()
    key = page.get_by_label("Key", exact=True).input_value()
    assert re.fullmatch(r"sy_[\w-]{43}", key)
    page.wait_for_function("document.activeElement.id === 'made-key'")
    bearer = {"authorization": f"Bearer {key}"}
    wait_for(
        lambda: site.request("/v1/models", headers=bearer).status == 200, what="the key to open"
    )
    page.get_by_text("back to the keys").click()
    expect(page.get_by_role("link", name="indexer")).to_be_visible()
    assert key not in page.content()


def test_what_the_file_manages_is_shown_and_not_editable(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/admin/providers/provider/?managed_source__exact=config")
    page.get_by_role("link", name="from_file").click()
    expect(page.get_by_text("Managed by configuration.")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)


def test_the_first_mistake_has_the_focus_in_a_folded_section_too_and_a_list_leads_to_each(
    page: Page, site: GatewayProcess
):
    page.goto(f"{site.url}/admin/providers/provider/add/")
    page.locator("[name=name]").fill("wrong")
    page.locator("[name=kind]").select_option("simulator")
    page.locator("summary", has_text="Times and benches").press("Enter")
    page.locator("[name=timeouts_connect_s]").fill("-5")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errornote")).to_contain_text("connect_s: -5 is not allowed")
    expect(page.locator("[name=timeouts_connect_s]")).to_be_focused()
    page.locator("[name=name]").focus()
    page.locator(".errornote").get_by_role("link", name="Timeouts").click()
    expect(page.locator("[name=timeouts_connect_s]")).to_be_focused()


def test_known_names_are_proposed_and_added_while_somebody_types(page: Page, site: GatewayProcess):
    pool = {"name": "proposed", "candidates": [{"provider_name": "from_file", "model": "m"}]}
    assert site.request("/api/pools", pool).status == 201
    page.goto(f"{site.url}/admin/failover/failoverrule/add/")
    typed = page.get_by_label("Add a known name")
    typed.press_sequentially("from_file")
    expect(page.locator("datalist option").first).to_have_attribute("value", re.compile("from_f"))
    typed.fill("from_file/m")
    typed.press("Enter")
    expect(page.locator("[name=fallback_models]")).to_have_value("from_file/m")
    expect(typed).to_have_value("")


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_pages_follow_the_system_into_the_dark(
    page: Page, site: GatewayProcess, scheme: str, is_dark: bool
):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site.url}/admin/")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = float(re.search(r"[\d.]+", colour).group())
    limit = 0.5 if colour.startswith("oklch") else 128
    assert (lightness < limit) is is_dark, colour


def test_the_api_docs_need_no_other_host(page: Page, site: GatewayProcess):
    page.goto(f"{site.url}/api/docs/")
    expect(page.get_by_text("/api/failover/reset")).to_be_visible(timeout=15_000)
