"""Every caller at every upstream in every scene, plain and streamed; and a page that says it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.sdk.expected import ERRORS, VENDORS, mistakes, refusal_of, scenes_of
from tests.sdk.running import Caller, Job, ask
from tests.support.vendors.scenes import SCENES
from tests.support.vendors.server import spoken_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMES = {
    "chat": "OpenAI Chat Completions", "responses": "OpenAI Responses",
    "messages": "Anthropic Messages", "gemini": "Gemini generateContent",
}  # fmt: skip
WORDS = {
    "text": "text", "system": "system prompt", "image": "image",
    "parallel": "two tools called in parallel", "round_trip": "their results, and the answer",
    "tool_error": "a tool's error", "forced": "a forced tool", "schema": "JSON schema",
    "reasoning": "reasoning", "reasoning_loop": "reasoning, a tool, and on with both",
    "stop": "stop string", "length": "cut by length", "refusal": "refusal", "unicode": "Unicode",
    "usage": "usage with cached and reasoning tokens", "knobs": "the protocol's own parameters",
    "moved": "the same, begun with the caller's own vendor",
    "custom": "a tool that takes bare text", "wrong": "a refused request",
    "limited": "a rate limit", "down": "an outage",
}  # fmt: skip
HEAD = (
    "# What works between protocols\n\n"
    "Made by `make sdk`: the official SDKs ({versions}) as callers of a running gateway, and real"
    " HTTP servers as providers, which speak the vendors' formats and refuse what the vendors"
    " refuse; every scene plain and streamed. A cell names what is left out because the provider's"
    " protocol has no place for it (`x-switchyard-dropped`), or why nobody is asked.\n"
)
IN_CHAT = (
    "Who speaks both of OpenAI's protocols is asked in Chat by those who call in neither; so it was"
    " here, in the column of Responses."
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    caller: Caller
    job: Job
    outcome: dict[str, Any]

    @property
    def wrong(self) -> list[str]:
        return mistakes(self.outcome, self.caller.protocol, self.job.vendor, self.job.scene)

    @property
    def dropped(self) -> list[str]:
        names = self.outcome.get("headers", {}).get("dropped", "")
        return sorted(name for name in names.split(",") if name)


def all_jobs() -> list[Job]:
    """For the configuration: every vendor in every scene."""
    return [
        Job(vendor=v, scene=scene, stream=False) for v in VENDORS for scene in [*SCENES, "agent"]
    ]


def jobs_of(caller: Caller) -> list[Job]:
    return [
        Job(vendor=vendor, scene=scene, stream=stream)
        for vendor in VENDORS
        for scene in scenes_of(caller.protocol)
        for stream in (False, True)
    ]


def cells_of(
    caller: Caller, jobs: Sequence[Job], *, url: str, key: str, direct: bool = False
) -> list[Cell]:
    outcomes = ask(caller, jobs, url=url, key=key, direct=direct)
    return [
        Cell(caller=caller, job=job, outcome=outcome)
        for job, outcome in zip(jobs, outcomes, strict=True)
    ]


def page(cells: Sequence[Cell], versions: Iterable[str]) -> str:
    """The page as Markdown."""
    by_place: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        by_place[cell.caller.protocol, cell.job.scene, cell.job.vendor].append(cell)
    parts = [HEAD.format(versions=", ".join(versions))]
    for caller in VENDORS:
        rows = [
            [WORDS[scene], *(_told(by_place[caller, scene, vendor]) for vendor in VENDORS)]
            for scene in scenes_of(caller)
        ]
        names = [f"to {NAMES[vendor]}" for vendor in VENDORS]
        lines = [["", *names], ["---"] * 5, *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        if any(spoken_to(vendor, caller) != vendor for vendor in VENDORS):
            table += f"\n\n{IN_CHAT}"
        parts.append(f"## Callers of {NAMES[caller]}\n\n{table}\n")
    return "\n".join(parts)


def _told(cells: Sequence[Cell]) -> str:
    wrong = [cell for cell in cells if cell.wrong]
    if wrong:
        ways = sorted({
            f"{cell.caller.sdk} {cell.caller.home} {'streamed' if cell.job.stream else 'plain'}"
            for cell in wrong
        })  # fmt: skip
        return f"**fails** ({', '.join(ways)})"
    first = cells[0]
    if scene_error := ERRORS.get(first.job.scene):
        name, status = scene_error[first.caller.protocol]
        return f"`{name}` {status}"
    if reason := refusal_of(first.caller.protocol, first.job.vendor, first.job.scene):
        return f"no: {reason}"
    dropped = sorted({name for cell in cells for name in cell.dropped})
    return f"yes, without {', '.join(f'`{name}`' for name in dropped)}" if dropped else "yes"
