"""A person with a checkout, Python and make: `make run`, the curl it prints, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.gateways import OURS, ROOT
from tests.support.processes import command_lines, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout below a path with spaces, without anything that is ignored."""
    folder = tmp_path / "a new user's checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture
def installed(checkout: Path) -> Path:
    """The same after `make setup`, with this test's own packages to spare a download."""
    binaries = checkout / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "pip"):
        program = binaries / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        program.chmod(0o755)
    shutil.copy(checkout / "requirements.txt", checkout / ".venv" / "installed.txt")
    return checkout


class MakeRun:
    """`make run` in a terminal of its own, as far as signals go, and what it has printed."""

    def __init__(self, checkout: Path) -> None:
        hidden = {*OURS, "HOME", "DATA_DIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
        self._checkout = checkout
        self._log = checkout.parent / "make-run.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=checkout,
                env={name: value for name, value in os.environ.items() if name not in hidden},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_for_line(self, pattern: str) -> str:
        def look() -> str | None:
            found = next((line for line in self.lines if re.search(pattern, line)), None)
            assert found or self.process.poll() is None, self.lines
            return found

        return wait_for(look, what=f"{pattern} among {self.lines}", limit_s=60)

    def ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(40)

    def left(self) -> list[list[str]]:
        """Command lines of the processes that run in this checkout."""
        return [line for pid, line in command_lines().items() if self._works_here(pid)]

    def _works_here(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self._checkout)
        except OSError:
            return False  # it ended while we looked


@pytest.fixture
def make_run(installed: Path) -> Iterator[MakeRun]:
    run = MakeRun(installed)
    yield run
    if run.process.poll() is None:
        os.killpg(run.process.pid, signal.SIGTERM)
        run.process.wait(40)


def curl(line: str) -> str:
    """What a shell prints for the line as it stands."""
    done = subprocess.run(
        ["sh", "-c", line], text=True, capture_output=True, timeout=30, check=True
    )
    return done.stdout


def sign_in(printed: list[str]) -> httpx.Response:
    """The page that the printed login leads to."""
    login = dict(re.findall(r"(?m)^(Admin|Login|Password): +(\S+)", "\n".join(printed)))
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        browser.get(login["Admin"])
        return browser.post(
            login["Admin"] + "login/?next=/admin/",
            data={
                "username": login["Login"],
                "password": login["Password"],
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            },
        )


def test_what_the_first_start_prints_works_ctrl_c_leaves_nothing_and_a_second_shows_no_key(
    make_run: MakeRun, installed: Path
) -> None:
    line = make_run.wait_for_line("^curl ")
    make_run.wait_for_line("Ctrl-C")

    for _ in range(6):  # more often than the failures that bench a candidate
        answer = curl(line)
        assert re.match(r"HTTP/1\.1 200 ", answer)
        assert re.search(r"(?mi)^x-switchyard-failover: true\r?$", answer)
        assert re.search(r"(?mi)^x-switchyard-provider: demo-healthy\r?$", answer)
    printed = make_run.lines
    page = sign_in(printed)
    assert page.status_code == 200
    assert page.url.path == "/admin/"
    make_run.ctrl_c()

    assert make_run.lines == printed
    wait_for(lambda: not make_run.left(), what=f"the end of {make_run.left()}")

    second = MakeRun(installed)
    try:
        second.wait_for_line("Ctrl-C")
    finally:
        second.ctrl_c()
    text = "\n".join(second.lines)
    assert "/admin/" in text
    assert "sy_" not in text
    assert "Password:" not in text


def test_setup_makes_the_environment_once_and_installs_when_the_lock_changes(
    checkout: Path,
) -> None:
    lock = checkout / "requirements.txt"
    lock.write_text("# nothing\n")

    def setup() -> str:
        env = {name: value for name, value in os.environ.items() if name != "HOME"}
        return subprocess.run(
            ["make", "setup"], cwd=checkout, env=env, text=True, capture_output=True, timeout=120,
            check=True,
        ).stdout  # fmt: skip

    outputs = [setup(), setup()]
    os.utime(lock, (time.time() + 60, time.time() + 60))
    outputs.append(setup())
    lock.write_text("# still nothing\n")
    outputs.append(setup())

    assert [output.count("Installing") for output in outputs] == [1, 0, 0, 1]
    assert (checkout / ".venv" / "bin" / "python").exists()


def test_without_a_new_enough_python_it_says_what_is_needed(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cmp", "make"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)

    done = subprocess.run(
        ["make", "run"], cwd=checkout, env={"PATH": str(tools)}, text=True, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stderr
