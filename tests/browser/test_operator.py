"""
What an operator does, from the first sign-in to the way back, as people have it: in daylight at a
desk, and in the dark on a phone. EVERY_LOOK=1 has the other two looks as well (`make stories`).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PASSWORD
from tests.support.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess
    from tests.support.upstreams import Upstream

pytestmark = pytest.mark.browser

LOOKS = {"desk": ("light", 1440), "phone": ("dark", 390)}
WIDE = 768  # from here on acts are no longer behind a button
if os.environ.get("EVERY_LOOK"):
    LOOKS |= {"night": ("dark", 1440), "sun": ("light", 390)}


@pytest.fixture(params=list(LOOKS))
def look(request: pytest.FixtureRequest, page: Page) -> str:
    """Its name, which is a part of what the test makes."""
    scheme, width = LOOKS[request.param]
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    return str(request.param)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("successfully")).to_be_visible()


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def test_a_newcomer_comes_from_the_sign_in_to_an_answer_of_a_provider_of_their_own(
    page: Page, site: GatewayProcess, look: str, upstream: Callable[..., Upstream]
):
    mine = upstream("mine")
    for kind in ("pools", "keys", "providers"):  # nobody has done anything yet
        for row in site.request(f"/api/{kind}").json():
            if row["managed_source"] == "dashboard":
                answer = site.request(f"/api/{kind}/{row['name']}", method="DELETE")
                assert answer.status == 204
    page.context.clear_cookies()
    page.goto(f"{site.url}/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    steps = page.locator(".overview-steps")
    expect(steps).to_be_visible()
    fits(page)

    steps.get_by_role("link", name="Add a provider").click()
    page.locator("[name=name]").fill(f"mine-{look}")
    page.locator("[name=kind]").select_option("openai_compatible")
    page.locator("[name=base_url]").fill(mine.base_url)
    page.get_by_role("link", name="Add another Credential").click()
    page.locator("[name=credentials-0-label]").fill("main")
    page.locator("[name=credentials-0-secret]").fill("sk-mine")
    page.get_by_role("button", name="Save and test").click()
    expect(page.get_by_text(f"mine-{look}: ")).to_be_visible()
    fits(page)

    page.goto(f"{site.url}/admin/")
    expect(steps.get_by_role("listitem").filter(has_text="Test it")).to_contain_text("done")
    steps.get_by_role("link", name="Make a model pool").click()
    page.locator("[name=name]").fill(f"chat-{look}")
    page.get_by_role("link", name="Add another Candidate").click()
    page.locator("[name=candidates-0-provider_name]").select_option(f"mine-{look}")
    model = page.locator("[name=candidates-0-model]")
    model.press_sequentially("mo")  # the test has read which there are
    expect(page.locator("datalist option").first).to_have_attribute("value", re.compile(r"\w"))
    model.fill("model-a")
    save(page)
    fits(page)

    page.goto(f"{site.url}/admin/controlplane/apikey/add/")
    page.locator("[name=name]").fill(f"first-{look}")
    save_key = page.get_by_role("button", name="Save", exact=True)
    save_key.click()
    key = page.get_by_label("Key", exact=True).input_value()
    fits(page)
    bearer = {"authorization": f"Bearer {key}"}
    hello = {"model": f"chat-{look}", "messages": [{"role": "user", "content": "Hello"}]}
    wait_for(
        lambda: site.request("/v1/chat/completions", hello, headers=bearer).status == 200,
        what="the key to open",
    )

    page.goto(f"{site.url}/admin/try/?model=chat-{look}")
    page.get_by_label("Prompt").fill("Is anybody there?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#result")).to_contain_text("Hello from mine")
    fits(page)
    page.get_by_role("link", name="Why was this so?").click()
    expect(page.get_by_role("heading", name="Then")).to_be_visible()
    fits(page)


def test_whoever_deletes_a_pool_sees_what_loses_it_and_has_it_back(
    page: Page, site: GatewayProcess, look: str
):
    name, rule = f"kept-{look}", f"rule-{look}"
    members = [{"provider_name": "from_file", "model": "m"}]
    for pool in (name, rule):
        assert site.request("/api/pools", {"name": pool, "candidates": members}).status == 201
    order = {"primary_model": rule, "fallback_models": [name]}
    assert site.request("/api/failover", order, method="PUT").status == 200

    page.goto(f"{site.url}/admin/routing/canonicalmodel/?q={name}")
    page.locator("#result_list").get_by_role("link", name=name).click()
    page.get_by_role("link", name="Delete").click()
    expect(page.locator("body")).to_contain_text(f"those for {rule}")
    fits(page)
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("was deleted successfully")).to_be_visible()
    wait_for(lambda: site.chat(name).status == 404, what="the pool to be gone")

    page.goto(f"{site.url}/admin/controlplane/revision/")
    page.locator("#result_list a[href*='/change/']").first.click()
    expect(page.get_by_text(f"removed pool {name}").first).to_be_visible()
    fits(page)
    page.get_by_role("link", name="Undo this change").click()
    expect(page.get_by_text("This will change: 1 added")).to_be_visible()
    fits(page)
    page.get_by_label("Reason").fill("it was needed")
    page.get_by_role("button", name="Undo this change").click()
    wait_for(lambda: site.chat(name).status == 200, what="the pool to be back")


def test_a_state_is_returned_to_with_what_it_removes_told(
    page: Page, site: GatewayProcess, look: str
):
    page.goto(f"{site.url}/admin/controlplane/team/add/")
    page.locator("[name=name]").fill(f"before-{look}")
    save(page)
    wait_for(lambda: "before" in newest(site), what="its revision")
    good = site.request("/api/revisions").json()[0]["revision"]
    order = {"name": f"extra-{look}", "models": ["small"]}
    assert site.request("/api/keys", order).status == 201
    wait_for(lambda: "extra" in newest(site), what="the key's revision")

    page.goto(f"{site.url}/admin/controlplane/revision/{good}/change/")
    page.get_by_role("link", name="Return to this state").click()
    removed = page.get_by_text(f"key extra-{look}").first
    expect(removed).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Return to this state").click()
    expect(page.get_by_text(f"Returned to revision {good}")).to_be_visible()
    assert site.request(f"/api/keys/extra-{look}").status == 404


def newest(site: GatewayProcess) -> str:
    found = site.request("/api/revisions").json()
    return str(found[0]["objects"]) if found else ""


def test_who_fails_is_benched_switched_and_well_again(page: Page, site: GatewayProcess, look: str):
    name = f"two-{look}"
    own = {"name": f"own-{look}", "kind": "simulator"}
    assert site.request("/api/providers", own).status == 201
    members = [{"provider_name": p, "model": name} for p in (own["name"], "from_file")]
    assert site.request("/api/pools", {"name": name, "candidates": members}).status == 201

    def served() -> str | None:
        return site.chat(name).headers["x-switchyard-provider"]

    wait_for(lambda: served() == own["name"], what="the pool to serve")
    page.goto(f"{site.url}/admin/failover/bench/")
    page.get_by_label("Who").fill(f"{own['name']}/{name}")
    page.get_by_label("Reason", exact=False).last.fill("slow")
    page.get_by_role("button", name="Bench", exact=True).click()
    row = page.locator(".bench-table[data-rows] tbody tr").filter(has_text=own["name"])
    expect(row).to_contain_text("by hand")
    fits(page)
    assert served() == "from_file"
    row.get_by_text("Release").first.click()
    row.get_by_role("button", name="Release", exact=True).click()
    expect(row).to_have_count(0)
    assert served() == own["name"]

    page.goto(f"{site.url}/admin/providers/provider/?q={own['name']}")
    control = page.get_by_role("switch", name=f"provider {own['name']}", exact=True)
    control.click()
    panel = page.get_by_role("dialog")
    panel.get_by_label("Reason").fill("key rotation")
    fits(page)
    panel.get_by_role("button", name="Save").click()
    expect(panel).to_be_hidden()
    assert served() == "from_file"
    control.click()
    expect(page.get_by_text(f"provider {own['name']} is on.")).to_be_visible()
    assert served() == own["name"]


def test_a_rule_and_a_key_are_made_and_the_key_gets_another_text(
    page: Page, site: GatewayProcess, look: str
):
    broken, well = f"broken-{look}", f"well-{look}"
    fault = {"name": broken, "kind": "simulator", "fault": "status:503"}
    assert site.request("/api/providers", fault).status == 201
    for pool, provider in ((broken, broken), (well, "from_file")):
        members = [{"provider_name": provider, "model": "m"}]
        assert site.request("/api/pools", {"name": pool, "candidates": members}).status == 201

    page.goto(f"{site.url}/admin/failover/failoverrule/add/")
    page.get_by_label("Model", exact=False).first.fill(broken)
    page.locator("[name=fallback_models]").fill(well)
    fits(page)
    save(page)
    wait_for(lambda: site.chat(broken).status == 200, what="the rule to help")

    page.goto(f"{site.url}/admin/controlplane/apikey/add/")
    page.locator("[name=name]").fill(f"rotated-{look}")
    page.get_by_role("button", name="Save", exact=True).click()
    first = page.get_by_label("Key", exact=True).input_value()
    page.get_by_text("back to the keys").click()
    page.get_by_role("link", name=f"rotated-{look}").click()
    if LOOKS[look][1] < WIDE:
        page.get_by_text("more_horiz").locator("visible=true").click()
    page.get_by_role("link", name="Rotate", exact=True).locator("visible=true").click()
    page.get_by_label("The text of before").select_option("0")
    fits(page)
    page.get_by_role("button", name="Rotate").click()
    second = page.get_by_label("Key", exact=True).input_value()
    fits(page)

    def status(key: str) -> int:
        return site.request("/v1/models", headers={"authorization": f"Bearer {key}"}).status

    wait_for(lambda: status(second) == 200, what="the new text to open")
    wait_for(lambda: status(first) == 401, what="the old text to open nothing")
