"""The four vendors on one port, each below its own paths, with a log of what was asked."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from types import ModuleType
from typing import Any, Self

from tests.support.replies import chunk
from tests.support.upstream import Caller, HungUp
from tests.support.vendors import chat, gemini, messages, responses
from tests.support.vendors.asked import RefusedError, dump
from tests.support.vendors.scenes import play

# What stands before the protocol's own path is the base address that an operator writes down. No
# kind speaks Responses alone: one that does not know Chat is told to speak it besides its own. A
# caller of Messages would be asked in that, and gets what OpenAI serves to those who call in
# neither of its protocols, which is Chat.
PROVIDERS: dict[str, dict[str, Any]] = {
    "chat": {"kind": "openai_compatible", "base_url": "/chat/v1"},
    "responses": {
        "kind": "anthropic", "base_url": "/responses/v1", "auth": "bearer",
        "protocols": ["openai_responses"],
    },
    "openai": {"kind": "openai", "base_url": "/openai/v1"},
    "messages": {"kind": "anthropic", "base_url": "/messages"},
    "gemini": {"kind": "gemini", "base_url": "/gemini"},
}  # fmt: skip
MODELS = {
    "chat": "gpt-5.2", "responses": "gpt-5.2", "messages": "claude-sonnet-4-6",
    "gemini": "gemini-3-pro",
}  # fmt: skip


def provider_of(vendor: str, caller: str) -> str:
    """The name of the provider by which a caller of a protocol reaches a vendor."""
    return "openai" if (vendor, caller) == ("responses", "messages") else vendor


def spoken_to(vendor: str, caller: str) -> str:
    """The protocol in which that provider is asked."""
    return "chat" if provider_of(vendor, caller) == "openai" else vendor


class Seen(dict[str, Any]):
    """A logged request: vendor, method, path, headers (pairs), body (bytes), status, refusal."""


class Vendors:
    """A running server; `with Vendors() as vendors`."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.faults: list[str] = []  # tracebacks: a bug of ours, never of who asked
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26), self._loop
        ).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def providers(self) -> dict[str, dict[str, Any]]:
        """The four as `providers:` of the configuration file."""
        return {
            name: {**entry, "base_url": self.url + entry["base_url"], "api_key": f"key-of-{name}"}
            for name, entry in PROVIDERS.items()
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(reader, writer)
        try:
            while (request := await caller.request()) is not None:
                await self._answer(caller, *request)
        except (HungUp, ConnectionError):
            pass
        except Exception:  # noqa: BLE001 - it must be seen by the test, which this thread is not
            self.faults.append(traceback.format_exc())
        finally:
            writer.close()

    async def _answer(
        self, caller: Caller, method: str, path: str, headers: list[tuple[str, str]], raw: bytes
    ) -> None:
        vendor = path.split("/")[1].split("?", maxsplit=1)[0]
        if vendor == "openai":
            vendor = "responses" if "/responses" in path else "chat"
        seen = Seen(vendor=vendor, method=method, path=path, headers=headers, body=raw, status=200)
        self.requests.append(seen)
        speaker: ModuleType | None = {
            "chat": chat, "responses": responses, "messages": messages, "gemini": gemini
        }.get(vendor)  # fmt: skip
        if speaker is None or method != "POST":
            seen["status"] = 404
            await caller.send(_whole(dump({"error": {"message": "Not Found"}}), 404))
            return
        by_name = {name.lower(): value for name, value in headers}
        try:
            asked = speaker.read(_parsed(raw), by_name, path)
            if path.split("?", maxsplit=1)[0].endswith(("/count_tokens", ":countTokens")):
                await caller.send(_whole(speaker.count(asked)))
                return
            turn = play(asked)
        except RefusedError as refused:
            seen.update(status=refused.status, refusal=refused.message)
            await caller.send(_whole(speaker.error(refused), refused.status))
            return
        if not asked.stream:
            await caller.send(_whole(speaker.whole(turn, asked)))
            return
        told = speaker.events(turn, asked)
        if vendor == "gemini" and "alt=sse" not in path:
            inner = [event.removeprefix(b"data: ").strip() for event in told]
            await caller.send(_whole(b"[" + b",\r\n".join(inner) + b"]"))
            return
        await caller.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for event in told:
            await caller.send(chunk(event))
        await caller.send(chunk(b"", last=True))


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        raise RefusedError("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise RefusedError("The body is no JSON object.")
    return body


def _whole(body: bytes, status: int = 200) -> bytes:
    head = f"HTTP/1.1 {status} Said So\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
