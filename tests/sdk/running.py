"""The SDKs as real clients, each in a process of its own, in the environment that it lives in."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.vendors.server import MODELS, Vendors, provider_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).parent / "clients"
SDKS = ROOT / ".sdk"
OWN = "the suite's"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An SDK of one age that speaks one protocol. `home` is its folder in .sdk."""

    protocol: str
    sdk: str
    home: str

    @property
    def python(self) -> str:
        """The suite's own interpreter has what OWN callers need."""
        return sys.executable if self.home == OWN else str(SDKS / self.home / "bin/python")

    @property
    def version(self) -> str:
        words = f"from importlib.metadata import version; print(version({self.sdk!r}))"
        done = subprocess.run(
            [self.python, "-c", words], text=True, capture_output=True, timeout=60, check=True
        )
        return done.stdout.strip()


@dataclass(frozen=True, kw_only=True)
class Job:
    vendor: str
    scene: str
    stream: bool

    def pool(self, caller: str) -> str:
        return f"{provider_of(self.vendor, caller)}.{self.scene}"

    @property
    def upstream_model(self) -> str:
        return f"{MODELS[self.vendor]}~{self.scene}"


CALLERS = (
    Caller(protocol="chat", sdk="openai", home="new"),
    Caller(protocol="chat", sdk="openai", home="old"),
    Caller(protocol="responses", sdk="openai", home="new"),
    Caller(protocol="responses", sdk="openai", home="old"),
    Caller(protocol="messages", sdk="anthropic", home="new"),
    Caller(protocol="messages", sdk="anthropic", home="old"),
    Caller(protocol="gemini", sdk="google-genai", home="new"),
)


def ask(
    caller: Caller, jobs: Sequence[Job], *, url: str, key: str, direct: bool = False
) -> list[dict[str, Any]]:
    """The outcome of each job; `direct` asks the vendor itself, by its own names of models."""
    order = {
        "url": url,
        "key": key,
        "jobs": [
            {
                "scene": job.scene,
                "model": job.upstream_model if direct else job.pool(caller.protocol),
                "stream": job.stream,
                "first": _first_of(caller, job, direct=direct),
            }
            for job in jobs
        ],
    }
    done = subprocess.run(
        [caller.python, str(CLIENTS / f"{caller.protocol}.py")],
        input=json.dumps(order), text=True, capture_output=True, timeout=300, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(jobs), done.stdout + done.stderr
    return outcomes


def _first_of(caller: Caller, job: Job, *, direct: bool) -> str:
    """Who answers the first of two turns: in the scene `moved` the caller's own vendor."""
    if direct:
        return job.upstream_model
    if job.scene != "moved":
        return job.pool(caller.protocol)
    own = Job(vendor=caller.protocol, scene="reasoning_loop", stream=job.stream)
    return own.pool(caller.protocol)


def config(vendors: Vendors, jobs: Sequence[Job]) -> dict[str, Any]:
    """Every vendor as a provider, and a pool for each of its scenes."""
    return {
        "providers": vendors.providers(),
        "routing": {
            "model_pools": {
                job.pool(caller): {
                    "candidates": [
                        {
                            "provider": provider_of(job.vendor, caller),
                            "model": job.upstream_model,
                        }
                    ]
                }
                for job in jobs
                for caller in MODELS
            }
        },
    }
