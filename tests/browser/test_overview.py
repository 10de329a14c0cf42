"""The embedded default, as an operator watches it: a provider begins to fail, and all is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.gateways import manage
from tests.support.job_workers import JobWorker
from tests.support.processes import wait_for
from tests.support.receiver import receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.support.gateways import GatewayProcess
    from tests.support.receiver import Receiver

pytestmark = pytest.mark.browser
# So that nobody waits for minutes.
SOONER = """
from controlplane.jobs.models import Job
for name in ("health", "alerts", "rollup"):
    Job.objects.update_or_create(name=name, defaults={"every_s": 1})
"""
LONG_MS = 60_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def worker(site: GatewayProcess) -> Iterator[JobWorker]:
    manage("shell", "-v", "0", "-c", SOONER, env=site.env)
    worker = JobWorker(site.folder / "worker.log", site.env)
    yield worker
    assert worker.stop() == 0
    assert "Traceback" not in worker.logs()


def test_a_provider_that_fails_is_benched_unhealthy_told_and_something_is_proposed(
    page: Page, site: GatewayProcess, worker: JobWorker, receiver: Receiver
):
    hook = {"url": receiver.url, "kind": "signed", "secret": "s"}
    given = json.loads(site.config_file.read_text())
    site.write_config({**given, "alerts": {"webhooks": [hook]}})
    checked = {"health": {"interval_s": 1}, "kind": "simulator"}
    for name in ("alpha", "beta"):
        body = {"name": name, "models": [{"model_id": "m"}], **checked}
        assert site.request("/api/providers", body).status == 201
    seats = [{"provider_name": "alpha", "model": "m"}]
    assert site.request("/api/pools", {"name": "alone", "candidates": seats}).status == 201
    for _time in range(5):
        assert site.chat("alone").status == 200

    # All is well, and the page follows the traffic by itself.
    page.goto(f"{site.url}/admin/?window=15m")
    expect(page.get_by_text("Nothing needs you.")).to_be_visible(timeout=LONG_MS)
    expect(page.locator("#chart-traffic")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("row", name="alone")).to_contain_text("fine")
    page.evaluate("window.isTheSamePage = true")

    # An operator makes the provider fail, in admin.
    other = page.context.new_page()
    other.goto(f"{site.url}/admin/providers/provider/")
    other.get_by_role("link", name="alpha", exact=True).click()
    other.locator("summary", has_text="Simulator").press("Enter")
    other.locator("[name=fault]").fill("status:503")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.get_by_text("was changed successfully")).to_be_visible()
    for _time in range(5):
        site.chat("alone")

    expect(page.get_by_text("Provider alpha is unhealthy.")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("row", name="alone")).to_contain_text("unavailable")
    expect(page.locator("[data-until]").first).to_be_visible()
    assert page.evaluate("window.isTheSamePage")

    # The alert came once.
    def told() -> list[str]:
        messages = [json.loads(posted.body) for posted in receiver.posted]
        return [one["subject"] for one in messages if one["kind"] == "provider_unhealthy"]

    wait_for(told, what="the alert at the webhook", limit_s=60)
    assert told() == ["alpha"]

    # What could be done about it stands among the suggestions, with its evidence.
    other.goto(f"{site.url}/admin/jobs/")
    other.locator("#run-suggestions").click()
    expect(other.get_by_text("A worker runs suggestions within two seconds.")).to_be_visible()
    expect(page.get_by_role("link", name="alone").nth(1)).to_be_visible(timeout=LONG_MS)
    other.goto(f"{site.url}/admin/controlplane/suggestion/")
    expect(other.get_by_text("beta/m").first).to_be_visible()
    expect(other.get_by_text("alone").first).to_be_visible()
