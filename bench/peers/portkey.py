"""Portkey (Node), `@portkey-ai/gateway` of npm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bench.peers.process import PeerProcess


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
