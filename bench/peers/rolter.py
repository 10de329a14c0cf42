"""Rolter (Rust), `rolter` of PyPI: its gateway alone, from a file, with its own counters."""

from __future__ import annotations

from collections.abc import Sequence

from bench import scene
from bench.peers.process import KEY, PeerProcess

NEARLY_ALL = 1_000_000


class Rolter(PeerProcess):
    """
    Keys, routes of two targets, metrics and its log of refusals, as they come.

    A route takes its targets in turn; only variants have an order, so the failing model has two,
    the refusing one drawn first. It is not parked for the 5 s that it would be, so that it fails
    every time, as with Switchyard. The pause before another is asked, up to 100 ms, stays.
    """

    name = "Rolter"

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        origins = [f"http://127.0.0.1:{number}" for number in ports[:2]]
        providers = {"up1": origins[0], "up2": origins[1], "down": f"{origins[0]}/refuse"}
        lines = ["[server]", 'host = "127.0.0.1"', f"port = {port}"]
        for name, origin in providers.items():
            lines += ["[[providers]]", f'name = "{name}"', 'kind = "openai_compatible"']
            lines += [f'api_base = "{origin}"', f'api_key = "sk-of-{name}"']
        for model in (scene.CHAT, scene.PACED):
            lines += _route(model)
            for name in ("up1", "up2"):
                lines += _target("routes.targets", name)
        lines += _route(scene.FAILING)
        for name, weight in (("down", NEARLY_ALL), ("up2", 1)):
            lines += ["[[routes.variants]]", f'name = "{name}"', f"weight = {weight}"]
            lines += _target("routes.variants.targets", name)
        lines += ["[[virtual_keys]]", f'key = "{KEY}"', 'name = "bench"', "models = []"]
        lines += ["[cooldown]", "base_secs = 0", ""]
        config = self._folder / "rolter.toml"
        config.write_text("\n".join(lines))
        return [str(self._package.home / "bin" / "rolter"), "gateway", "-c", str(config)], {}


def _route(model: str) -> list[str]:
    return ["[[routes]]", f'model = "{model}"', 'strategy = "round_robin"']


def _target(table: str, provider: str) -> list[str]:
    return [f"[[{table}]]", f'provider = "{provider}"', 'model = "fixed"']
