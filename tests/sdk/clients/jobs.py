"""
A client's jobs on standard input, their outcome on standard output.

Its input is {"url", "key", "jobs": [{"scene", "model", "stream", "first"}]}; its output one JSON
line a job: {"text", "thought", "refusal", "calls", "finish", "matched", "usage", "headers"}, or
{"error", "status", "message"}. As in `scenes`, nothing of the repository is imported.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

Outcome = dict[str, Any]
# The scene, the model, whether it is streamed, and the model of the first of two turns.
Ask = Callable[[str, str, bool, str], Outcome]


def told(headers: Any) -> dict[str, str]:
    """What the gateway says about itself."""
    return {
        name.lower().removeprefix("x-switchyard-"): value
        for name, value in dict(headers or {}).items()
        if name.lower().startswith("x-switchyard-")
    }


def main(prepare: Callable[[str, str], Ask]) -> None:
    """`prepare(url, key)` makes a client; what it returns does one job."""
    order = json.load(sys.stdin)
    ask = prepare(order["url"], order["key"])
    for job in order["jobs"]:
        try:
            outcome = ask(job["scene"], job["model"], job["stream"], job["first"])
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises is the outcome
            outcome = {
                "error": type(error).__name__,
                "status": getattr(error, "status_code", getattr(error, "code", None)),
                "message": str(error)[:600],
                "trace": traceback.format_exc()[-1500:],
            }
        print(json.dumps(outcome, default=str), flush=True)
