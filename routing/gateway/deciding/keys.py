"""Keys of callers, compiled: what they may use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from routing.gateway.deciding.snapshot import KeySpec


@dataclass(frozen=True, slots=True)
class Key:
    """
    A key, compiled. `pattern` is None where every model is allowed; `is_limited` if it may only
    make so many requests. `owner` is whose that is which providers keep for it: its team's, else
    its own. Keys that are no objects, such as the master key, are their own owners.
    """

    spec: KeySpec
    pattern: re.Pattern[str] | None
    is_limited: bool = False
    owner: str = ""

    def __post_init__(self) -> None:
        if not self.owner:
            object.__setattr__(self, "owner", f"apart\0{self.spec.name}")

    @classmethod
    def compile(cls, spec: KeySpec) -> Key:
        pattern = "|".join(map(_expression, spec.models))
        limits = (spec.rpm, spec.tpm, spec.max_parallel)
        is_limited = any(limit is not None for limit in limits)
        owner = f"team\0{spec.team}" if spec.team else f"key\0{spec.name}"
        return cls(spec, re.compile(pattern, re.DOTALL) if pattern else None, is_limited, owner)

    def allows(self, *names: str) -> bool:
        """Whether one of `names` matches the key's patterns."""
        return self.pattern is None or any(map(self.pattern.fullmatch, names))


def _expression(pattern: str) -> str:
    """A pattern of names, in which `*` is the only wildcard, as a regular expression."""
    first, *others = (re.escape(text) for text in pattern.split("*"))
    if not others:
        return first
    *middle, last = others
    # What is found first is kept (atomic groups): nothing else could match more of the rest.
    return first + "".join(f"(?>.*?{text})" for text in middle) + ".*" + last


MASTER: Final = Key(KeySpec(name="master", digest=b"", scopes=("inference", "admin")), None)
