"""The faults that a simulated provider can be told to have, and how operators write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

FAULTS: Final = (
    "status:503, status:429:retry_after=7, stall, slow:ttft_ms=500:gap_ms=50, cut:3, "
    "clean_cut:3, empty, error_event, error_event:3, flaky:0.3"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFault:
    """
    What goes wrong. `after`: how many chunks with content come first (cut, clean_cut,
    error_event). `share`: how many calls of all fail (flaky). `text` is how it was written.
    """

    kind: str
    status: int = 503
    retry_after_s: float | None = None
    ttft_ms: float = 0
    gap_ms: float = 0
    after: int = 0
    share: float = 1
    text: str = field(default="", compare=False)

    @property
    def comes_late(self) -> bool:
        """Whether a stream begins well, and the fault comes after some of it."""
        return self.kind in ("cut", "clean_cut") or (self.kind == "error_event" and self.after > 0)

    def rolled(self, dice: Callable[[], float]) -> SimulatedFault | None:
        """The fault of one call: of a flaky provider each has its own luck."""
        if self.kind != "flaky":
            return self
        return replace(self, kind="status") if dice() < self.share else None


def parse_fault(text: str) -> SimulatedFault:
    """The fault that `text` describes. Raises ValueError saying what is allowed."""
    try:
        return replace(_parsed(text.strip()), text=text.strip())
    except ValueError:
        # One message for all, which shows every form.
        raise ValueError(
            f"{text!r} is no fault; allowed are, with numbers of your own: {FAULTS}"
        ) from None


def _parsed(text: str) -> SimulatedFault:
    kind, *rest = text.split(":")
    match kind, rest:
        case "stall" | "empty", []:
            return SimulatedFault(kind=kind)
        case "error_event", []:
            return SimulatedFault(kind=kind)
        case "cut" | "clean_cut" | "error_event", [after]:
            return SimulatedFault(kind=kind, after=int(_number(after, 0, 10_000)))
        case "flaky", [share]:
            return SimulatedFault(kind=kind, share=_number(share, 0, 1))
        case "status", [status]:
            return SimulatedFault(kind=kind, status=int(_number(status, 201, 599)))
        case "status", [status, option]:
            wait = _options([option], "retry_after")["retry_after"]
            code = int(_number(status, 201, 599))
            return SimulatedFault(kind=kind, status=code, retry_after_s=wait)
        case "slow", [_, *_]:
            options = _options(rest, "ttft_ms", "gap_ms")
            return SimulatedFault(
                kind=kind,
                ttft_ms=options.get("ttft_ms", 0),
                gap_ms=options.get("gap_ms", 0),
            )
    raise ValueError(text)


def _options(parts: list[str], *names: str) -> dict[str, float]:
    """The numbers of "name=1" parts, each name at most once."""
    options: dict[str, float] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if name not in names or name in options:
            raise ValueError(part)
        options[name] = _number(value, 0, 3_600_000)
    return options


def _number(text: str, least: float, most: float) -> float:
    value = float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text) else -1.0
    if not least <= value <= most:
        raise ValueError(text)
    return value
