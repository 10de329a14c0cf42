"""The parts that tests are made with: real servers, a real gateway, and where it keeps things."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import override_settings
from hypothesis import settings

from providers.secrets.encryption import load_keyring
from tests.support import databases
from tests.support.gateways import GatewayProcess, environment, manage
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# No test fails for the machine being slow. `--hypothesis-profile=thorough` looks longer.
settings.register_profile("suite", deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=400)
# For `make check`, which is waited for.
settings.register_profile("check", deadline=None, max_examples=10)
settings.load_profile("suite")
# Of the browser's files: begun first, so that none is left alone at the end.
LONGEST = ("test_every_page", "test_overview", "test_admin")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Browser tests come last.

    Playwright's sync interface leaves an event loop running in its process until the end of the
    session, and no test with a loop of its own could run after it.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, bool]:
    is_browser = item.get_closest_marker("browser") is not None
    return is_browser, is_browser and item.path.stem not in LONGEST


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """DATA_DIR of the test process itself: never the developer's own."""
    folder = tmp_path_factory.mktemp("data")
    # Every test client would look for all static files first (0.1 s); who needs them turns it on.
    without_files = {"SERVESTATIC_USE_FINDERS": False, "SERVESTATIC_USE_STATIC_ROOT": False}
    # A good hash of a password takes half a second by intention, and most tests sign somebody in.
    quick = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(DATA_DIR=folder, PASSWORD_HASHERS=quick, **without_files):
        yield folder


@pytest.fixture(autouse=True)
def numbers_from_one(request: pytest.FixtureRequest) -> None:
    """Rows of a test that is rolled back are numbered from 1, whatever was committed before it."""
    marker = request.node.get_closest_marker("django_db")
    if marker and not marker.args and not marker.kwargs.get("transaction"):
        request.getfixturevalue("db")
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM sqlite_sequence")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a real PostgreSQL's database `switchyard`, empty at first."""
    with databases.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a real Valkey."""
    with databases.valkey() as url:
        yield url


@pytest.fixture
def upstream() -> Iterator[Callable[..., Upstream]]:
    """`upstream(name, mode)` starts a provider; see tests.support.upstream for its modes."""
    with contextlib.ExitStack() as stack:

        def start(name: str = "first", mode: str = "ok") -> Upstream:
            started = Upstream(name, mode)
            stack.callback(started.stop)
            return started

        yield start


@pytest.fixture(scope="session")
def migrated_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with a migrated SQLite database and keys, to be copied."""
    folder = tmp_path_factory.mktemp("migrated") / "data"
    manage("migrate", "--verbosity", "0", env=environment(folder))
    load_keyring({}, folder)  # made now, so that hosts that are copies of it have the same keys
    return folder


@pytest.fixture
def gateway_process(
    tmp_path: Path, migrated_data_dir: Path
) -> Iterator[Callable[..., GatewayProcess]]:
    """
    `gateway_process(config, "--plane", "inference", env={...})` starts `manage.py serve`.

    `config` is the configuration file: a mapping, text, or None for none. It is waited for until
    /readyz is 200, unless `wait=False`. At the end it is stopped, and no child may be left.
    """
    started: list[GatewayProcess] = []

    def start(
        config: Mapping[str, Any] | str | None = None,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> GatewayProcess:
        folder = tmp_path / f"gateway{len(started) + 1}"
        folder.mkdir()
        gateway = GatewayProcess(
            folder,
            template=migrated_data_dir,
            config=config,
            arguments=arguments,
            env=env or {},
        )
        started.append(gateway)
        if wait:
            gateway.wait_until_ready()
        return gateway

    yield start
    for gateway in started:
        gateway.stop()
