"""
Other gateways, installed and started as their own pages say, to be measured beside this one.

Each has an environment of its own below bench/.peers, and nothing of them is a requirement of
Switchyard. They get what Switchyard gets: one worker, a pool of two candidates, a key where they
know keys, and their records and log lines as they come.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import scene
from bench.gateways import GatewayUnderTest
from bench.processes import BenchmarkFailed, stop

HOME: Final = Path(__file__).with_name(".peers")
INSTALL_S: Final = 600.0
START_S: Final = 90.0
# Provider keys and proxies of whoever runs the benchmark are none of its business.
KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
KEY: Final = "sk-bench-0123456789abcdef0123456789abcdef"
ENDLESS: Final = "1000000000"


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

    Of the slow, `failovers` are how many a run can afford, and one run is enough.
    """

    name: str
    package: Package
    gateway: Callable[[Package, Path], GatewayUnderTest]
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


class PeerProcess:
    """A peer that runs in a folder of its own; subclasses say how it is started."""

    name = ""
    path = scene.PATH

    def __init__(self, package: Package, folder: Path) -> None:
        self.url = ""
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {KEY}"}
        self.failing_headers: Mapping[str, str] = self.headers
        self.root_pid = 0
        self.worker_pid = 0
        self._package = package
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, _ports: Sequence[int], _port: int) -> tuple[list[str], dict[str, str]]:
        """Its command line and what its environment holds besides; files go to the folder."""
        raise NotImplementedError

    def start(self, ports: Sequence[int]) -> None:
        port = _free_port()
        argv, more = self.command(ports, port)
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        with (self._folder / "peer.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv, cwd=self._folder, env={**env, **more}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        self.root_pid = self.worker_pid = self._process.pid
        self.url = f"http://127.0.0.1:{port}{self.path}"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.2)
        log_end = (self._folder / "peer.log").read_text(errors="replace")[-2000:]
        raise BenchmarkFailed(f"{self.name} did not start:\n{log_end}")

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process, signal.SIGTERM)

    def settle(self) -> None:
        """Nothing is known of what it does behind its answers but its CPU time."""

    def _answers(self) -> bool:
        request = urllib.request.Request(
            self.url,
            data=scene.body(scene.CHAT),
            headers={"content-type": "application/json", **self.headers},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as reply:
                return bool(reply.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False

    def _write(self, name: str, document: Any) -> str:
        """A configuration file. JSON is YAML."""
        path = self._folder / name
        path.write_text(json.dumps(document, indent=1))
        return str(path)


class Ferro(PeerProcess):
    """
    The Ferro gateway as `ferrogw init` leaves it: keys in SQLite, metrics, a log line a request.

    Its targets are providers of its catalogue at addresses of ours, and each model goes to those
    that the catalogue names for it: the chat models to two that are well, the failing one to one
    that refuses and one that is well.
    """

    name = "Ferro"
    keeps_records = False

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        well, other = (f"http://127.0.0.1:{number}" for number in ports[:2])
        targets = ("openai", "azure-openai", "together", "deepinfra")
        config: dict[str, Any] = {
            "strategy": {"mode": "fallback"},
            "targets": [{"virtual_key": target} for target in targets],
            "aliases": {
                scene.CHAT: "gpt-4o-mini",
                scene.PACED: "gpt-4o-mini",
                scene.FAILING: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            },
        }
        env = {
            "PORT": str(port),
            "MASTER_KEY": KEY,
            "OPENAI_API_KEY": "sk-1",
            "OPENAI_BASE_URL": f"{well}/v1",
            "AZURE_OPENAI_API_KEY": "sk-2",
            "AZURE_OPENAI_ENDPOINT": other,
            "AZURE_OPENAI_DEPLOYMENT": "gpt-4o-mini",
            "AZURE_OPENAI_API_VERSION": "2024-10-21",
            "TOGETHER_API_KEY": "sk-3",
            "TOGETHER_BASE_URL": f"{well}/refuse/v1",
            "DEEPINFRA_API_KEY": "sk-4",
            "DEEPINFRA_BASE_URL": f"{other}/v1",
            "RATE_LIMIT_RPS": ENDLESS,
            "RATE_LIMIT_BURST": ENDLESS,
            "API_KEY_STORE_BACKEND": "sqlite",
            "API_KEY_STORE_DSN": str(self._folder / "keys.db"),
            "FERRO_MODEL_CATALOG_TIMEOUT": "0",  # the catalogue it came with: no call outside
        }
        if self.keeps_records:
            logger = {"name": "request-logger", "type": "logging", "stage": "before_request"}
            config["plugins"] = [{**logger, "enabled": True, "config": {"persist": True}}]
            env["REQUEST_LOG_STORE_BACKEND"] = "sqlite"
            env["REQUEST_LOG_STORE_DSN"] = str(self._folder / "requests.db")
        env["GATEWAY_CONFIG"] = self._write("ferro.yaml", config)
        return [str(self._package.home / "bin" / "ferrogw"), "serve"], env


class FerroWithRecords(Ferro):
    """The same, with its request log kept in SQLite."""

    name = "Ferro, records in SQLite"
    keeps_records = True


class Portkey(PeerProcess):
    """
    The Portkey gateway. It has no keys of its own; its pool travels with every request.

    Headless, as its page says for servers: without that it also streams every log line to its
    console page.
    """

    name = "Portkey"

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        def pool(first: str) -> Mapping[str, str]:
            hosts = (f"http://127.0.0.1:{ports[0]}{first}", f"http://127.0.0.1:{ports[1]}/v1")
            targets = [
                {"provider": "openai", "api_key": f"sk-{number}", "custom_host": host}
                for number, host in enumerate(hosts)
            ]
            config = {"strategy": {"mode": "fallback"}, "targets": targets}
            return {"x-portkey-config": json.dumps(config, separators=(",", ":"))}

        self.headers, self.failing_headers = pool("/v1"), pool("/refuse/v1")
        server = self._package.home / "node_modules" / self._package.name / "build/start-server.js"
        env = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1", "NODE_ENV": "production"}
        return ["node", str(server), f"--port={port}", "--headless"], env


class LiteLLM(PeerProcess):
    """The LiteLLM proxy without a database; by default it retries before it falls back."""

    name = "LiteLLM"

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        def candidate(model: str, number: int, prefix: str = "") -> dict[str, Any]:
            base = f"http://127.0.0.1:{ports[number]}{prefix}/v1"
            call = {"model": "openai/fixed", "api_base": base, "api_key": f"sk-{number}"}
            return {"model_name": model, "litellm_params": call}

        config = self._write(
            "litellm.yaml",
            {
                "model_list": [
                    candidate(scene.CHAT, 0),
                    candidate(scene.CHAT, 1),
                    candidate(scene.PACED, 0),
                    candidate(scene.PACED, 1),
                    candidate(scene.FAILING, 0, "/refuse"),
                    candidate("bench-fallback", 1),
                ],
                # The refusing one has to fail every time, as with Switchyard.
                "router_settings": {
                    "fallbacks": [{scene.FAILING: ["bench-fallback"]}],
                    "disable_cooldowns": True,
                },
                "general_settings": {"master_key": KEY},
            },
        )
        argv = [str(self._package.home / "bin" / "litellm"), "--config", config]
        where = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        return [*argv, *where], {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"}


FERRO: Final = Package(installer="pip", name="ferrogw", version="1.5.10")
PORTKEY: Final = Package(installer="npm", name="@portkey-ai/gateway", version="1.15.2")
LITELLM: Final = Package(installer="pip", name="litellm[proxy]", version="1.106.2")

PEERS: Final = (
    Peer(name=f"Ferro {FERRO.version} (Go), no records", package=FERRO, gateway=Ferro),
    Peer(name=f"Ferro {FERRO.version}, records in SQLite", package=FERRO, gateway=FerroWithRecords),
    Peer(name=f"Portkey {PORTKEY.version} (Node)", package=PORTKEY, gateway=Portkey),
    Peer(
        name=f"LiteLLM {LITELLM.version} (Python)",
        package=LITELLM,
        gateway=LiteLLM,
        failovers=3,
        is_slow=True,
    ),
)


def _free_port() -> int:
    """A port that was free a moment ago: none of the peers can say which one it took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
