"""What a peer is installed from, and how it is called in the comparison."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.gateways.under_test import GatewayUnderTest
from bench.processes import ROOT

HOME: Final = ROOT / "bench" / ".peers"
INSTALL_S: Final = 600.0


class CannotInstall(Exception):
    """The text says why, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a peer is installed from: `name` and `version` as pip or npm know them."""

    installer: str
    name: str
    version: str

    @property
    def home(self) -> Path:
        return HOME / f"{self.name.strip('@').replace('/', '-')}-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """
    One line of the comparison. `gateway` makes it for a folder of its own.

    `cannot`: parts that it is not asked for, and why. Of the slow, `failovers` are how many a run
    can afford, and one run is enough.
    """

    name: str
    package: Package
    gateway: Callable[[Package, Path], GatewayUnderTest]
    cannot: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    failovers: int = 300
    is_slow: bool = False

    def install(self) -> None:
        """Install the package unless it is there. Raises CannotInstall."""
        package = self.package
        done = package.home / "installed"
        if done.exists():
            return
        shutil.rmtree(package.home, ignore_errors=True)
        package.home.mkdir(parents=True)
        if package.installer == "pip":
            _run(sys.executable, "-m", "venv", str(package.home))
            pip = (str(package.home / "bin" / "python"), "-m", "pip", "--quiet")
            no_talk = ("--disable-pip-version-check", "--no-input")
            _run(*pip, "install", *no_talk, f"{package.name}=={package.version}")
        else:
            for tool in ("node", "npm"):
                if shutil.which(tool) is None:
                    raise CannotInstall(f"{tool} is not installed")
            where = ("--prefix", str(package.home))
            quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
            _run("npm", "install", *where, *quiet, f"{package.name}@{package.version}")
        done.touch()


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(str(error)) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no word of why"]
        raise CannotInstall(lines[-1][:200])
