"""A provider that does nothing but list its models, a page at a time, in a vendor's own way."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class ListServer:
    """`models` are listed `page` at a time as `kind` does; `status` other than 200 is a refusal."""

    def __init__(self, *models: str, kind: str = "openai", page: int = 1000) -> None:
        self.models, self.kind, self.page = list(models), kind, page
        self.status = 200
        self.asked: list[str] = []
        self.breaks_after: int | None = None  # pages
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                is_broken = (
                    server.breaks_after is not None and len(server.asked) > server.breaks_after
                )
                body = json.dumps(server.answer(self.path)).encode()
                self.send_response(500 if is_broken else server.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                """Nobody reads it."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, path: str) -> dict[str, Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        if self.kind == "gemini":
            first = int(query.get("pageToken", "0"))
            end = first + self.page
            more = {"nextPageToken": str(end)} if end < len(self.models) else {}
            return {"models": [{"name": f"models/{m}"} for m in self.models[first:end]], **more}
        first = 0
        if self.kind == "anthropic" and "after_id" in query:
            first = self.models.index(query["after_id"]) + 1
        shown = self.models[first : first + self.page]
        return {
            "data": [{"id": model} for model in shown],
            "has_more": first + self.page < len(self.models),
            "last_id": shown[-1] if shown else None,
        }

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
