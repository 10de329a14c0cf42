"""
Ferro (Go), `ferrogw` of PyPI, in three ways: at its fastest, as it is set up, with records.

Its models are those of a catalogue that it brings along, at the addresses that each provider's
variables name; the load's names are aliases of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bench import scene
from bench.peers.process import KEY, PeerProcess

ENDLESS: Final = "1000000000"


class _Served(PeerProcess):
    """`ferrogw serve` with a master key, and limits of requests that nobody reaches."""

    def _serve(
        self, port: int, config: dict[str, Any], more: dict[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        env = {
            "PORT": str(port),
            "MASTER_KEY": KEY,
            "RATE_LIMIT_RPS": ENDLESS,
            "RATE_LIMIT_BURST": ENDLESS,
            "FERRO_MODEL_CATALOG_TIMEOUT": "0",  # the catalogue it came with: no call outside
            "GATEWAY_CONFIG": self._write("ferro.yaml", config),
            **more,
        }
        return [str(self._package.home / "bin" / "ferrogw"), "serve"], env


class FastestFerro(_Served):
    """
    One target, the master key and no other, no log line a request, no records.

    The aliases stay, because the load names its models; asked by the catalogue's own name it was
    no faster (eight runs each in turn, 2026-11-28).
    """

    name = "Ferro, at its fastest"

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        config = {
            "strategy": {"mode": "single"},
            "targets": [{"virtual_key": "openai"}],
            "aliases": {scene.CHAT: "gpt-4o-mini", scene.PACED: "gpt-4o-mini"},
        }
        env = {
            "OPENAI_API_KEY": "sk-1",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{ports[0]}/v1",
            "LOG_LEVEL": "error",
        }
        return self._serve(port, config, env)


class Ferro(_Served):
    """
    As `ferrogw init` leaves it: keys in SQLite, metrics, a log line a request.

    Each model goes to those targets that the catalogue names for it: the chat models to two that
    are well, the failing one to one that refuses and one that is well.
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
            "API_KEY_STORE_BACKEND": "sqlite",
            "API_KEY_STORE_DSN": str(self._folder / "keys.db"),
        }
        if self.keeps_records:
            logger = {"name": "request-logger", "type": "logging", "stage": "before_request"}
            config["plugins"] = [{**logger, "enabled": True, "config": {"persist": True}}]
            env["REQUEST_LOG_STORE_BACKEND"] = "sqlite"
            env["REQUEST_LOG_STORE_DSN"] = str(self._folder / "requests.db")
        return self._serve(port, config, env)


class FerroWithRecords(Ferro):
    """The same, with its request log kept in SQLite."""

    name = "Ferro, records in SQLite"
    keeps_records = True
