"""
Where a request's microseconds go: `python -m bench profile`.

A worker's server runs in this process under cProfile, which charges each Python call about half a
microsecond: small functions look dearer than they are, so compare calls per request first.
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import os
import pstats
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from bench import scene
from bench.gateways.under_test import upstream
from bench.load.callers import LoadResult
from bench.processes import ROOT
from providers.adapters.spec import CredentialSpec, ProviderSpec
from routing.gateway.app import Gateway
from routing.gateway.auth import digest_of
from routing.gateway.deciding.snapshot import (
    CandidateSpec,
    Content,
    KeySpec,
    PoolSpec,
    Snapshot,
    checksum,
)
from routing.gateway.limits import GatewayLimits
from routing.gateway.serving.server import Server

TOP = 25
KINDS: Mapping[str, Sequence[str]] = {
    "plain": (),
    "stream": ("--stream",),
    "paced stream": ("--stream", "--model", scene.PACED, "--connections", "128"),
}


def run(*, seconds: float) -> None:
    """Print the top functions of each kind of request."""
    with upstream() as ports:
        for name, more in KINDS.items():
            profile = cProfile.Profile()
            result = uvloop.run(_served(profile, ports, more, seconds))
            print(f"\n## {name}: {result.requests} answers, {result.errors} failed\n")
            print(_table(profile, result.requests))


async def _served(
    profile: cProfile.Profile, ports: Sequence[int], more: Sequence[str], seconds: float
) -> LoadResult:
    clock = asyncio.get_running_loop().time
    gateway = Gateway(decrypt=lambda token: token, environ={}, clock=clock)
    gateway.load(_snapshot(ports))
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = Server(gateway, GatewayLimits(), cut=gateway.cut)
    await server.start(listener)
    await gateway.startup()
    serving = asyncio.create_task(server.run())
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{scene.PATH}"
    try:
        await _load(url, more, 1)
        profile.enable()
        result = await _load(url, more, seconds)
        profile.disable()
    finally:
        server.leave(grace_s=0, drain_s=1, quiet_s=0)
        await serving
        await gateway.shutdown()
    return result


async def _load(url: str, more: Sequence[str], seconds: float) -> LoadResult:
    argv = ["-m", "bench.load", "closed", url, "--seconds", str(seconds), *more]
    argv += ["--header", f"authorization: Bearer {scene.KEY}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return msgspec.json.decode(output, type=LoadResult)


def _snapshot(ports: Sequence[int]) -> Snapshot:
    pools = tuple(
        PoolSpec(
            name=name,
            candidates=tuple(CandidateSpec(provider=f"up{n}", model=model) for n in (1, 2)),
        )
        for name, model in ((scene.CHAT, "fixed"), (scene.PACED, "paced"))
    )
    content = Content(
        providers=tuple(
            ProviderSpec(
                name=f"up{number}",
                kind="openai_compatible",
                base_url=f"http://127.0.0.1:{port}/v1",
                credentials=(CredentialSpec(label="main", secret="sk-of-the-upstream"),),
            )
            for number, port in enumerate(ports[:2], 1)
        ),
        pools=pools,
        keys=(KeySpec(name="bench", digest=digest_of(scene.KEY.encode())),),
    )
    return Snapshot(generation=1, created_at=0, checksum=checksum(content), content=content)


def _table(profile: cProfile.Profile, answers: int) -> str:
    """The functions with the most time of their own, per answer."""
    stats = pstats.Stats(profile, stream=io.StringIO())
    lines = ["| own µs | with callees µs | calls | function |", "|---:|---:|---:|---|"]
    found = sorted(stats.stats.items(), key=lambda row: -row[1][2])  # type: ignore[attr-defined]
    for (file, line, name), (_, calls, own_s, whole_s, _) in found[:TOP]:
        place = f"{_short(file)}:{line} {name}" if line else name
        own, whole = own_s / answers * 1e6, whole_s / answers * 1e6
        lines.append(f"| {own:.1f} | {whole:.1f} | {calls / answers:.1f} | {place} |")
    return "\n".join(lines)


def _short(file: str) -> str:
    parts = Path(file).parts
    return "/".join(parts[-2:]) if "site-packages" in parts else os.path.relpath(file, ROOT)
