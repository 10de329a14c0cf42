"""Rolter (Rust), `rolter` of PyPI: its gateway alone, from a file, with its own counters."""

from __future__ import annotations

from collections.abc import Sequence

from bench import scene
from bench.peers.process import KEY, PeerProcess

NEARLY_ALL = 1_000_000


class Rolter(PeerProcess):
    """
    Keys, routes of two targets, metrics and its log of refusals, as they come.

    It takes targets in turn, and parks one that fails for 5 s. Weights and no parking have the
    refusing one asked first every time, as with Switchyard; the pause before it asks another, up
    to 100 ms, stays.
    """

    name = "Rolter"

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        origins = [f"http://127.0.0.1:{number}" for number in ports[:2]]
        providers = {"up1": origins[0], "up2": origins[1], "down": f"{origins[0]}/refuse"}
        routes = {
            scene.CHAT: {"up1": 1, "up2": 1},
            scene.PACED: {"up1": 1, "up2": 1},
            scene.FAILING: {"down": NEARLY_ALL, "up2": 1},
        }
        lines = ["[server]", 'host = "127.0.0.1"', f"port = {port}"]
        for name, origin in providers.items():
            lines += ["[[providers]]", f'name = "{name}"', 'kind = "openai_compatible"']
            lines += [f'api_base = "{origin}"', f'api_key = "sk-of-{name}"']
        for model, targets in routes.items():
            strategy = "weighted" if model == scene.FAILING else "round_robin"
            lines += ["[[routes]]", f'model = "{model}"', f'strategy = "{strategy}"']
            for name, weight in targets.items():
                lines += ["[[routes.targets]]", f'provider = "{name}"', 'model = "fixed"']
                lines += [f"weight = {weight}"]
        lines += ["[[virtual_keys]]", f'key = "{KEY}"', 'name = "bench"', "models = []"]
        lines += ["[cooldown]", "base_secs = 0", ""]
        config = self._folder / "rolter.toml"
        config.write_text("\n".join(lines))
        return [str(self._package.home / "bin" / "rolter"), "gateway", "-c", str(config)], {}
