"""Whom the hostile callers find: a gateway's configuration, and the keys that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

ORDINARY: Final = "sy_ordinary-0123456789abcdef0123456789abcd"
HOSTILE: Final = "sy_hostile-0123456789abcdef0123456789abcde"
MASTER: Final = "sy_master-of-the-hostile-0123456789abcdef01"
USER, PASSWORD = "root", "right-horse-battery-staple"
# The ordinary caller's model; one that a simulator of all protocols answers; one that is told to
# providers in their own words; and those that lead back here.
ORDINARY_MODEL, SIMULATED, TOLD, LOOPS = "ordinary", "m", "told", ("loop", "loop-a", "loop-b")


def configuration(steady: int, ports: Sequence[int], address: str = "") -> dict[str, Any]:
    """
    The ordinary caller's provider is at the port `steady`, the others' at `ports`. With loops, once
    the gateway's own address is known.
    """
    providers: dict[str, Any] = {
        "steady": _provider("openai_compatible", f"http://127.0.0.1:{steady}/v1"),
        "chats": _provider("openai_compatible", f"http://127.0.0.1:{ports[0]}/v1"),
        "claude": _provider("anthropic", f"http://127.0.0.1:{ports[1]}"),
        "gem": _provider("gemini", f"http://127.0.0.1:{ports[2]}"),
        "sim": {"kind": "simulator"},
    }
    pools: dict[str, Any] = {
        ORDINARY_MODEL: _pool("steady/fixed"),
        SIMULATED: _pool("sim/sim"),
        TOLD: _pool("claude/fixed", "gem/fixed", "chats/fixed"),
    }
    if address:
        providers["here"] = _provider("openai_compatible", f"http://{address}/v1", HOSTILE)
        name = address.replace("127.0.0.1", "localhost")
        providers["again"] = _provider("openai_compatible", f"http://{name}/v1", HOSTILE)
        pools["loop"] = _pool("here/loop", "again/loop")
        pools["loop-a"], pools["loop-b"] = _pool("here/loop-b"), _pool("again/loop-a")
    return {
        "providers": providers,
        "routing": {"model_pools": pools},
        "keys": [
            {"name": "ordinary", "team": "ordinary", "key": ORDINARY},
            {"name": "hostile", "team": "hostile", "key": HOSTILE},
        ],
    }


def _provider(kind: str, base_url: str, key: str = "sk-of-the-upstream") -> dict[str, Any]:
    # They fail again and again, and have to be asked again and again.
    patient = {"failures": 10**8, "cooldown_s": 1, "max_cooldown_s": 1, "auth_cooldown_s": 1}
    return {"kind": kind, "base_url": base_url, "api_key": key, "bench": patient}


def _pool(*names: str) -> dict[str, Any]:
    pairs = (name.split("/", 1) for name in names)
    return {"candidates": [{"provider": provider, "model": model} for provider, model in pairs]}
