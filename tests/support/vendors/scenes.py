"""
What the vendors answer, by the scene that the model's name ends in (`gpt-5.2~parallel`).

Each scene says what has to be in the request, refuses what is not as it should be, and answers
with what has arrived, so that a caller who gets the expected words was heard in full.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.vendors.agents import work
from tests.support.vendors.asked import Asked, Call, Counts, RefusedError, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM = "You are the lighthouse keeper."
UNICODE = "h\u00e9llo \U0001f600 \u4f60\u597d \u2028 \U0001d518 e\u0301 \u05e9\u05dc\u05d5\u05dd"
STOP = "END"
THOUGHT = "The user wants a number. Let me think about it."
WEATHER = Call(name="get_weather", arguments={"city": "Z\u00fcrich", "unit": "C"})
TIME = Call(name="get_time", arguments={"zone": "Europe/Zurich"})
_EDIT = "*** Begin Patch\n*** Add File: a.txt\n+caf\u00e9 \U0001f600\n*** End Patch\n"
PATCH = Call(name="apply_patch", bare=_EDIT, arguments={"input": _EDIT})
PERSON = {"name": "Ada", "age": 36}
SPENT = Counts(input=120, cached=48, output=33, reasoning=12)
WRITTEN = Counts(input=150, cached=32, written=64, output=9)


def expect(claim: bool, what: str) -> None:
    if not claim:
        raise RefusedError(f"the scene needs {what}")


def text(asked: Asked) -> Turn:
    expect(asked.texts[-1:] == ("Hello",), f"the text Hello, not {asked.texts}")
    return Turn(text="Hello to you, who said Hello.")


def system(asked: Asked) -> Turn:
    expect(bool(asked.system), "a system prompt")
    return Turn(text=f"{' / '.join(asked.system)} | {' / '.join(asked.texts)}")


def image(asked: Asked) -> Turn:
    expect(len(asked.images) == 1, f"one image, not {asked.images}")
    return Turn(text=f"{' / '.join(asked.texts)}: {asked.images[0]}")


def parallel(asked: Asked) -> Turn:
    expect(set(asked.offered) == {"get_weather", "get_time"}, "both tools")
    for name, schema in asked.offered.items():
        expect("properties" in (schema or {}), f"the schema of {name}")
    return Turn(text="I look.", calls=(WEATHER, TIME), finish="tools")


def round_trip(asked: Asked) -> Turn:
    """Two calls, their results, and the answer."""
    if not asked.results:
        return parallel(asked)
    found = [f"{result.name}={result.text}" for result in asked.results]
    expect(len(found) == 2, f"two results, not {found}")
    return Turn(text=f"Found {'; '.join(found)}.")


def tool_error(asked: Asked) -> Turn:
    if not asked.results:
        return Turn(calls=(WEATHER,), finish="tools")
    (result,) = asked.results
    return Turn(text=f"The tool failed: {'no such city' in result.text}")


def forced(asked: Asked) -> Turn:
    expect(asked.forced == "get_weather", f"get_weather to be forced, not {asked.forced}")
    return Turn(calls=(WEATHER,), finish="tools")


def schema(asked: Asked) -> Turn:
    expect(asked.schema is not None, "a JSON schema")
    named = set((asked.schema or {}).get("properties", {}))
    expect(named == {"name", "age"}, f"its properties, not {named}")
    return Turn(text=json.dumps(PERSON))


def reasoning(asked: Asked) -> Turn:
    expect(asked.effort is not None, "reasoning to be asked for")
    return Turn(thought=THOUGHT, text="42", counts=SPENT)


def reasoning_loop(asked: Asked) -> Turn:
    """Reasoning before a call; with the result its own reasoning must be back, and no other's."""
    expect(asked.effort is not None, "reasoning to be asked for")
    if not asked.results:
        return Turn(thought=THOUGHT, calls=(WEATHER,), finish="tools")
    (result,) = asked.results
    return Turn(text=f"{result.name}={result.text}, thoughts={min(asked.own_thoughts, 1)}")


def moved(asked: Asked) -> Turn:
    """As the second turn of reasoning_loop, whose first somebody else has answered."""
    return reasoning_loop(asked)


def custom(asked: Asked) -> Turn:
    """A tool that takes bare text, or what has been made of it for who may have none."""
    if not asked.results:
        expect(set(asked.offered) == {"apply_patch"}, "apply_patch")
        return Turn(calls=(PATCH,), finish="tools")
    return Turn(text="; ".join(f"{result.name}={result.text}" for result in asked.results))


def wrong(asked: Asked) -> Turn:
    raise RefusedError("The vendor does not like this request.")


def limited(asked: Asked) -> Turn:
    raise RefusedError("Rate limit reached.", status=429, code="rate_limit_exceeded")


def down(asked: Asked) -> Turn:
    raise RefusedError("Overloaded", status=529 if asked.vendor == "messages" else 503)


def stop(asked: Asked) -> Turn:
    """Where there is no such field, the model knows of no stop string, and goes on."""
    if asked.vendor == "responses":
        return Turn(text=f"one two {STOP} three")
    expect(asked.stop == (STOP,), f"the stop string, not {asked.stop}")
    return Turn(text="one two ", finish="stop_string", matched=STOP)


def length(asked: Asked) -> Turn:
    expect(asked.max_tokens == 16, f"max tokens of 16, not {asked.max_tokens}")
    return Turn(text="This is where it en", finish="length", counts=Counts(output=16))


def refusal(asked: Asked) -> Turn:
    return Turn(text="I cannot help with that.", finish="refusal")


def unicode(asked: Asked) -> Turn:
    expect(asked.texts[-1:] == (UNICODE,), f"the text {UNICODE!r}, not {asked.texts!r}")
    return Turn(text=UNICODE)


def usage(asked: Asked) -> Turn:
    return Turn(text="Counted.", counts=SPENT)


def knobs(asked: Asked) -> Turn:
    """What a caller's protocol has and others have not; told by x-switchyard-dropped."""
    return Turn(text="Turned.")


SCENES: dict[str, Callable[[Asked], Turn]] = {
    scene.__name__: scene
    for scene in (
        text, system, image, parallel, round_trip, tool_error, forced, schema, reasoning,
        reasoning_loop, moved, custom, stop, length, refusal, unicode, usage, knobs, wrong, limited,
        down,
    )
}  # fmt: skip


def play(asked: Asked) -> Turn:
    """The answer to a request."""
    if asked.scene == "agent":
        return work(asked)
    if asked.scene not in SCENES:
        raise RefusedError(f"The model `{asked.model}` does not exist", status=404)
    return SCENES[asked.scene](asked)
