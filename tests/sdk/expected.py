"""What a caller must get, whoever serves it; and where the protocols leave no way to that."""

from __future__ import annotations

import json
from typing import Any

from tests.support.vendors.scenes import (
    PERSON,
    SCENES,
    SPENT,
    STOP,
    SYSTEM,
    THOUGHT,
    TIME,
    UNICODE,
    WEATHER,
)
from tests.support.vendors.server import spoken_to

Outcome = dict[str, Any]

VENDORS = ("chat", "responses", "messages", "gemini")
# Responses has no stop string to ask for.
NOT_SAID = {("responses", "stop"), ("messages", "custom"), ("gemini", "custom")}
# What an SDK raises, and by which status, where a vendor refuses.
ERRORS = {
    "wrong": {
        "chat": ("BadRequestError", 400),
        "responses": ("BadRequestError", 400),
        "messages": ("BadRequestError", 400),
        "gemini": ("ClientError", 400),
    },
    "limited": {
        "chat": ("RateLimitError", 429),
        "responses": ("RateLimitError", 429),
        "messages": ("RateLimitError", 429),
        "gemini": ("ClientError", 429),
    },
    "down": {
        "chat": ("InternalServerError", 503),
        "responses": ("InternalServerError", 503),
        "messages": ("OverloadedError", 529),
        "gemini": ("ServerError", 503),
    },
}
IMAGE = "image/png 9ba3d638"
TEXTS = {
    "text": "Hello to you, who said Hello.",
    "system": f"{SYSTEM} | Who are you?",
    "image": f"What is this?: {IMAGE}",
    "parallel": "I look.",
    "round_trip": "Found get_weather=17 \u00b0C; get_time=12:30.",
    "tool_error": "The tool failed: True",
    "forced": "",
    "reasoning": "42",
    "length": "This is where it en",
    "unicode": UNICODE,
    "usage": "Counted.",
    "knobs": "Turned.",
    "custom": "apply_patch=Done",
}
CALLS = {"parallel": [WEATHER, TIME], "forced": [WEATHER]}
FINISH = {"parallel": "tools", "forced": "tools", "length": "length", "refusal": "refusal"}


# Whom nobody of the vendor's kind can serve, and what the refusal says.
REFUSED = {
    ("chat", "responses", "stop"): "unsupported:stop",
    ("gemini", "responses", "stop"): "unsupported:stopSequences",
}
# These vendors show their reasoning to who asks for it, and Chat has no word for that.
UNSHOWN = {("chat", "responses"), ("chat", "gemini")}


def refusal_of(caller: str, vendor: str, scene: str) -> str:
    """What the gateway says instead of asking this vendor; "" where it asks."""
    return REFUSED.get((caller, spoken_to(vendor, caller), scene), "")


def scenes_of(caller: str) -> list[str]:
    return [scene for scene in SCENES if (caller, scene) not in NOT_SAID]


def mistakes(outcome: Outcome, caller: str, vendor: str, scene: str) -> list[str]:
    """What is not as it must be; [] if all is well."""
    vendor = spoken_to(vendor, caller)
    if reason := refusal_of(caller, vendor, scene):
        said = str(outcome.get("message"))
        return [] if reason in said else [f"no refusal with {reason!r}: {outcome}"]
    if scene in ERRORS:
        got = (outcome.get("error"), outcome.get("status"))
        return [] if got == ERRORS[scene][caller] else [f"{got}: {outcome.get('message')}"]
    if "error" in outcome:
        return [f"{outcome['error']} {outcome['status']}: {outcome['message']}"]
    found = _wrong_text(outcome, caller, vendor, scene)
    calls = [{"name": c.name, "arguments": c.arguments} for c in CALLS.get(scene, [])]
    if outcome["calls"] != calls:
        found.append(f"calls {outcome['calls']}")
    found += _wrong_finish(outcome, caller, vendor, scene)
    if scene in {"reasoning", "usage"}:
        wanted = {"input": SPENT.input, "output": SPENT.output, "cached": SPENT.cached,
                  "reasoning": SPENT.reasoning}  # fmt: skip
        if outcome["usage"] != wanted:
            found.append(f"usage {outcome['usage']}, not {wanted}")
    thought = "" if (caller, vendor) in UNSHOWN else THOUGHT
    if scene == "reasoning" and outcome["thought"] != thought:
        found.append(f"reasoning {outcome['thought']!r}")
    return found


def _wrong_text(outcome: Outcome, caller: str, vendor: str, scene: str) -> list[str]:
    text = outcome["text"]
    if scene == "schema":
        try:
            fine = json.loads(text) == PERSON
        except ValueError:
            fine = False
    elif scene == "stop":
        fine = text == "one two "
    elif scene == "refusal":  # Google shows no words of it
        words = outcome["refusal"] or text
        fine = words == ("" if vendor == "gemini" else "I cannot help with that.")
    elif scene in {"reasoning_loop", "moved"}:
        fine = text == f"get_weather=17 \u00b0C, thoughts={_own_back(caller, vendor, scene)}"
    else:
        fine = text == TEXTS[scene]
    return [] if fine else [f"text {text!r}"]


def _own_back(caller: str, vendor: str, scene: str) -> int:
    """
    Whether a vendor gets back the reasoning that it gave.

    Chat has no official place for that in a request; what another vendor has reasoned is nobody's.
    """
    if scene == "moved":
        return int(caller == vendor)
    return int(vendor != "chat" or caller == "chat")


def _wrong_finish(outcome: Outcome, caller: str, vendor: str, scene: str) -> list[str]:
    finish = outcome["finish"]
    wanted = FINISH.get(scene, "stop")
    if scene == "refusal" and caller == vendor == "chat":
        wanted = "stop"  # OpenAI's own way: the message has a refusal, and ends as any other
    found = [] if finish == wanted else [f"finish {finish!r}, not {wanted!r}"]
    # Only Anthropic says which string was hit, and only to its own callers.
    if scene == "stop" and caller == vendor == "messages" and outcome["matched"] != STOP:
        found.append(f"matched {outcome['matched']!r}")
    return found
