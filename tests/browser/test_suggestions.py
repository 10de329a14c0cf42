"""The page of suggestions, as an operator uses it: the worker's look, and what accepting does."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.gateways import manage

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess

pytestmark = pytest.mark.browser

LOOK = dedent(
    """\
    from controlplane.jobs.lease import want
    from controlplane.jobs.running import run_job

    want("suggestions")
    run_job("suggestions")
    """
)


@pytest.fixture(scope="module", autouse=True)
def suggested(site: GatewayProcess) -> None:
    """Two providers list one model, a pool has it from one of them; the job has looked."""
    for name in ("near", "far"):
        models = [{"model_id": "m-1", "metadata": {"family": "m"}}]
        body = {"name": name, "kind": "simulator", "models": models}
        assert site.request("/api/providers", body).status == 201
    body = {"name": "lonely", "candidates": [{"provider_name": "near", "model": "m-1"}]}
    assert site.request("/api/pools", body).status == 201
    manage("shell", "-v", "0", "-c", LOOK, env=site.env)


def test_an_operator_reads_accepts_and_dismisses(page: Page, site: GatewayProcess) -> None:
    page.goto(f"{site.url}/admin/controlplane/suggestion/")
    spare = page.get_by_role("region", name="Add far/m-1 to pool lonely as a spare.")
    rule = page.get_by_role("region", name="After lonely has failed, try far/m-1.")
    expect(spare).to_contain_text("the pool has it from near alone")
    expect(rule.get_by_role("table")).to_contain_text("far/m-1 (new)")

    rule.get_by_label("Why not").fill("a spare is enough")
    rule.get_by_label("Why not").press("Enter")
    expect(page.get_by_text("Dismissed, and not proposed again for 30 days")).to_be_visible()
    spare.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("Accepted: Add far/m-1 to pool lonely as a spare.")).to_be_visible()

    seats = site.request("/api/pools/lonely").json()["candidates"]
    assert [each["provider_name"] for each in seats] == ["near", "far"]
    revision = site.request("/api/revisions?limit=1").json()[0]
    assert revision["authors"] == [{"kind": "user", "name": "ada"}]
    page.get_by_role("link", name="dismissed").click()
    expect(page.get_by_text("by ada: a spare is enough")).to_be_visible()
