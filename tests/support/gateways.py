"""A whole Switchyard, started as a user starts it: `manage.py serve` in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routing.gateway.link.channel import line, socket_path
from tests.support.processes import children_of, die_with_parent, is_alive, wait_for

if TYPE_CHECKING:
    import http.client
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent.parent
NO_WAIT = ("--grace", "0")  # nobody has to be told that this gateway is going
MASTER_KEY = "sy_master-key-of-the-tests"
OURS = {
    "DATABASE_URL", "REDIS_URL", "SWITCHYARD_CONFIG", "SWITCHYARD_MASTER_KEY", "SECRET_KEY",
    "ENCRYPTION_KEYS", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "TRUSTED_PROXIES", "DEBUG",
    "LOG_FORMAT", "FAILOVER_ENABLED", "FAILOVER_RULES_JSON", "FAILOVER_DISABLED_MODELS_JSON",
    "FEATURE_FALLBACK_MODE", "METRICS_PUBLIC", "SHARED_IDS", "DJANGO_SETTINGS_MODULE",
}  # fmt: skip


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """This process's environment with nothing of Switchyard's in it but what is given."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {**kept, "DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", **more}


def manage(*arguments: str, env: Mapping[str, str]) -> str:
    """The output of a `manage.py` command that must succeed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=dict(env), text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class GatewayProcess:
    """
    A running `manage.py serve`.

    `base_url` is for the OpenAI SDK (it ends in /v1), `url` the origin; `key` is the master key.
    """

    def __init__(
        self,
        folder: Path,
        *,
        template: Path,
        config: Mapping[str, Any] | str | None,
        arguments: tuple[str, ...],
        env: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        if not self.data_dir.exists():
            shutil.copytree(template, self.data_dir)
        self.key = MASTER_KEY
        self.config_file = folder / "switchyard.yaml"
        self._log = folder / "serve.log"
        more = {"SWITCHYARD_MASTER_KEY": MASTER_KEY, **env}
        if config is not None:
            self.write_config(config)
            more["SWITCHYARD_CONFIG"] = str(self.config_file)
        self.env = environment(self.data_dir, **more)
        self._arguments = arguments
        self._ever: dict[int, list[str]] = {}
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it, again if need be, and wait for its address."""
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", *NO_WAIT, "--port", "0", *self._arguments],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock
            )
        self.url = wait_for(self._address, what="the line that names the address")
        self.base_url = f"{self.url}/v1"

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.logs()
        found = re.search(r"listens on (\S+)", self.logs())
        return found[1] if found else None

    def logs(self) -> str:
        return self._log.read_text(errors="replace")

    def write_config(self, config: Mapping[str, Any] | str) -> None:
        """Replace the configuration file at once, as an editor does. JSON is YAML."""
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        draft = self.config_file.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.config_file)

    def children(self) -> dict[int, list[str]]:
        """The children that run now, and their command lines."""
        found = children_of(self.process.pid)
        self._ever.update(found)
        return found

    def workers(self) -> dict[int, list[str]]:
        return {p: a for p, a in self.children().items() if "routing.gateway.serving.worker" in a}

    def control(self) -> int | None:
        """The control child's pid."""
        found = [p for p, a in self.children().items() if a[1:3] == ["manage.py", "control"]]
        return found[0] if found else None

    def request(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30,
    ) -> Reply:
        """One request with the master key; a body that is not bytes goes as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"{self.url}{path}",
            data=data,
            method=method,
            headers={
                "authorization": f"Bearer {self.key}",
                "content-type": "application/json",
                **(headers or {}),
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(asked, timeout=timeout_s) as reply:
                return Reply(status=reply.status, headers=reply.headers, body=reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(status=error.code, headers=error.headers, body=error.read())

    def chat(self, model: str, **more: Any) -> Reply:
        messages = [{"role": "user", "content": "Hello"}]
        return self.request("/v1/chat/completions", {"model": model, "messages": messages, **more})

    def ready(self) -> dict[str, Any] | None:
        """What /readyz says once it says 200."""
        try:
            reply = self.request("/readyz", timeout_s=5)
        except OSError:
            return None
        return reply.json() if reply.status == 200 else None

    def wait_until_ready(self) -> None:
        def look() -> bool:
            assert self.process.poll() is None, self.logs()
            return self.ready() is not None

        wait_for(look, what=f"/readyz to be 200; log in {self._log}", limit_s=30)

    def hub(self, **message: Any) -> dict[str, Any]:
        """The control child's answer to a message of the channel; {} without one."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            try:
                connection.connect(str(socket_path(self.data_dir)))
            except OSError:
                return {}
            connection.sendall(line(message))
            with connection.makefile("rb") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        return answer

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End it as `signum` does, see that nothing is left, and return its exit code."""
        self.children()
        self.process.send_signal(signum)
        try:
            code = self.process.wait(45)
        finally:
            self.process.kill()
            self.process.wait(5)
        wait_for(
            lambda: not any(is_alive(pid) for pid in self._ever),
            what=f"the children to end: {self._ever}",
        )
        return code


def is_refused(served: GatewayProcess) -> bool:
    """Whether nobody listens at its address any more."""
    host, port = served.url.removeprefix("http://").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return False
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
