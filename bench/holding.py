"""
How long one body holds the event loop of a worker: `python -m bench.holding [MIB] [PROTOCOL…]`.

A gateway in this process, its caller and its provider in another. Each body is sent once, over
candidates that speak its protocol and over such as do not. Told are the longest time in which
nothing else could run, as the clock saw it, of that the loop's own CPU time, and the CPU time of
the longest step beside it, in ms; by how much the process grew meanwhile, and how much of that it
kept, in MiB; the time until the answer, and its status.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.processes import ROOT
from providers.protocols.slices.turns import Steps
from routing.gateway.app import Gateway
from routing.gateway.auth import digest_of
from routing.gateway.limits import GatewayLimits
from routing.gateway.serving.server import Server
from routing.gateway.serving.worker import spare_the_collector
from tests.support.builders import content, pool, provider, snapshot
from tests.support.hostile import PATHS, bodies_of

KEY = "sy_key-of-the-bench"
TICK_S = 0.001
CHAT = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
MESSAGE = {
    "id": "x", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "ok"}],
    "usage": {"input_tokens": 1, "output_tokens": 1}, "input_tokens": 1,
}  # fmt: skip
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "ok"}]},
                    "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}, "totalTokens": 1,
}  # fmt: skip
OTHERS = {
    "/embeddings": {"object": "list", "data": [{"embedding": [1.0]}], "model": "m", "usage": {}},
    "/completions": {**CHAT, "choices": [{"index": 0, "text": "ok", "finish_reason": "stop"}]},
    "/responses": {
        "id": "x", "object": "response", "status": "completed", "model": "m", "output": [
            {"type": "message", "id": "m", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "ok", "annotations": []}]}],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    },
}  # fmt: skip


def _answer(path: str) -> bytes:
    document: Any = GEMINI if ":" in path else MESSAGE if "/messages" in path else CHAT
    if "/chat/" not in path:
        document = next((d for end, d in OTHERS.items() if path.endswith(end)), document)
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            left = int(head.split(b"content-length: ")[1].split(b"\r")[0])
            while left:
                left -= len(await reader.read(min(left, 1 << 20)))
            writer.write(_answer(head.split()[1].decode()))


async def other() -> None:
    """The other process: a provider, and for each line of its input, [port, path, file], a call."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        port, path, file = json.loads(line)
        body = await asyncio.to_thread(Path(file).read_bytes)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % (path.encode(), KEY.encode(), len(body))
        )
        begun = time.monotonic()
        writer.write(body)
        answer = await reader.read()
        print(json.dumps([answer[9:12].decode(), time.monotonic() - begun]), flush=True)
        writer.close()


class _Holds:
    """
    How long nothing else could run, since it was asked last: by the clock, and in CPU time, which
    the machine's other work does not lengthen, of the loop itself and of steps beside it.
    """

    def __init__(self) -> None:
        self._longest = self._busy = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        last, spent = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(TICK_S)
            now, cpu = time.perf_counter(), time.thread_time()
            self._longest = max(self._longest, now - last - TICK_S)
            self._busy = max(self._busy, cpu - spent)
            last, spent = now, cpu

    def told(self) -> str:
        times = (self._longest, self._busy, Steps.longest_s)
        self._longest = self._busy = Steps.longest_s = 0.0
        return "".join(f"{each * 1000:8.1f}" for each in times)


class _Memory:
    """How much more of it the process has than when it was asked last, at most and now; MiB."""

    def __init__(self) -> None:
        self._before = 0.0
        self.told()

    def told(self) -> str:
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        most, now = (int(status[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS"))
        Path("/proc/self/clear_refs").write_text("5")  # begins VmHWM anew: proc(5)
        before, self._before = self._before, now
        return f"{most - before:7.0f}{now - before:7.0f} MiB"


async def _gateway(port: int) -> tuple[Gateway, int]:
    gateway = Gateway(
        decrypt=str,
        environ={},
        master=digest_of(KEY.encode()),
        clock=asyncio.get_running_loop().time,
    )
    url = f"http://127.0.0.1:{port}"
    kinds = {"native": "vllm", "gem": "gemini", "chat": "groq", "claude": "anthropic"}
    providers = tuple(provider(name, kind=kind, base_url=url) for name, kind in kinds.items())
    gateway.load(snapshot(content(pool("m", "native/m", "gem/m"), pool("x", "chat/m"),
                                  pool("y", "claude/m"), providers=providers)))  # fmt: skip
    await gateway.startup()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(gateway, GatewayLimits(), cut=gateway.cut)
    await server.start(listener)
    return gateway, listener.getsockname()[1]


async def main(mib: float, protocols: list[str]) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.holding", "other", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    _, port = await _gateway(int(await child.stdout.readline()))
    spare_the_collector()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body"
        holds, memory = _Holds(), _Memory()
        for protocol in protocols:
            for name, body in bodies_of(protocol, int(mib * (1 << 20))):
                for model in (b"m", b"y" if protocol != "anthropic_messages" else b"x"):
                    sent = body.replace(b'"model":"m"', b'"model":"%b"' % model, 1)
                    path = PATHS[protocol].replace("/m:", f"/{model.decode()}:")
                    file.write_bytes(sent)
                    del sent
                    gc.collect()
                    await asyncio.sleep(0.05)
                    holds.told()
                    memory.told()
                    child.stdin.write(json.dumps([port, path, str(file)]).encode() + b"\n")
                    status, took_s = json.loads(await child.stdout.readline())
                    kind = "native" if model == b"m" else "told"
                    print(f"{protocol:24}{name:22}{kind:8}{holds.told()} ms{memory.told()}"
                          f"{took_s:8.2f} s  {status}", flush=True)  # fmt: skip
    child.kill()
    await child.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["other"]:
        asyncio.run(other())
    else:
        size = float(sys.argv[1]) if len(sys.argv) > 1 else 31.0
        uvloop.run(main(size, sys.argv[2:] or list(PATHS)))
