"""A real Chromium before a real Switchyard."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateways import GatewayProcess, environment, manage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

PASSWORD = "a-long-password-of-the-tests"


@pytest.fixture(scope="session")
def base_url() -> None:
    """pytest-playwright's own is a fixture in a class, which pytest 9 warns of."""


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """$CHROMIUM, or the system's without a window, and nothing that it asks other hosts for."""
    names = (os.environ.get("CHROMIUM", ""), "chromium-headless-shell", "chromium", "google-chrome")
    found = [path for name in names if name and (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium: install one, or name it in $CHROMIUM")
    return {
        "executable_path": found[0],
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


@pytest.fixture(scope="session")
def data_dir_of_ada(tmp_path_factory: pytest.TempPathFactory, migrated_data_dir: Path) -> Path:
    """A DATA_DIR with the login ada, to be copied."""
    folder = tmp_path_factory.mktemp("ada") / "data"
    shutil.copytree(migrated_data_dir, folder)
    manage(
        "createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com",
        env=environment(folder, DJANGO_SUPERUSER_PASSWORD=PASSWORD),
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    data_dir_of_ada: Path,
    browser_type_launch_args: dict[str, Any],
) -> Iterator[GatewayProcess]:
    """A running Switchyard with the login ada; its configuration file has one provider."""
    del browser_type_launch_args  # without a browser nothing is started
    config = {"providers": {"from_file": {"kind": "simulator"}}}
    folder = tmp_path_factory.mktemp("site")
    gateway = GatewayProcess(folder, template=data_dir_of_ada, config=config, arguments=(), env={})
    gateway.wait_until_ready()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def cookies_of_ada(browser: Browser, site: GatewayProcess) -> list[Any]:
    """What her browser holds once she has signed in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.url}/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/admin/")
    found = context.cookies()
    context.close()
    return found


@pytest.fixture
def page(
    context: BrowserContext, site: GatewayProcess, cookies_of_ada: list[Any]
) -> Iterator[Page]:
    """A signed-in page. The test fails if it meets a script error or asks another host."""
    context.add_cookies(cookies_of_ada)
    page = context.new_page()
    page.set_default_timeout(15_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
    page.on("console", lambda said: _note_error(said.type, said.text, troubles))
    page.on("request", lambda asked: _note_stranger(asked.url, site.url, troubles))
    page.goto(f"{site.url}/admin/")
    yield page
    assert troubles == []


def _note_stranger(url: str, ours: str, troubles: list[str]) -> None:
    if not url.startswith((ours, "data:", "blob:")):
        troubles.append(f"asked another host: {url}")


def _note_error(kind: str, said: str, troubles: list[str]) -> None:
    # Chromium says so of every answer from 400 on: those that a test asks for, too.
    if kind == "error" and not said.startswith("Failed to load resource"):
        troubles.append(said)
