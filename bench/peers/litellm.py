"""The LiteLLM proxy (Python), `litellm[proxy]` of PyPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench import scene
from bench.peers.process import KEY, PeerProcess


class LiteLLM(PeerProcess):
    """The LiteLLM proxy without a database; by default it retries before it falls back."""

    name = "LiteLLM"

    def command(self, ports: Sequence[int], port: int) -> tuple[list[str], dict[str, str]]:
        def candidate(model: str, number: int, prefix: str = "") -> dict[str, Any]:
            base = f"http://127.0.0.1:{ports[number]}{prefix}/v1"
            call = {"model": "openai/fixed", "api_base": base, "api_key": f"sk-{number}"}
            return {"model_name": model, "litellm_params": call}

        config = self._write(
            "litellm.yaml",
            {
                "model_list": [
                    candidate(scene.CHAT, 0),
                    candidate(scene.CHAT, 1),
                    candidate(scene.PACED, 0),
                    candidate(scene.PACED, 1),
                    candidate(scene.FAILING, 0, "/refuse"),
                    candidate("bench-fallback", 1),
                ],
                # The refusing one has to fail every time, as with Switchyard.
                "router_settings": {
                    "fallbacks": [{scene.FAILING: ["bench-fallback"]}],
                    "disable_cooldowns": True,
                },
                "general_settings": {"master_key": KEY},
            },
        )
        argv = [str(self._package.home / "bin" / "litellm"), "--config", config]
        where = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        return [*argv, *where], {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"}
