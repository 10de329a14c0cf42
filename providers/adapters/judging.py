"""What an answer that says 200 tells of its provider: the Judge that wire protocols ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from providers.adapters.classify import failure_in_reply
from providers.adapters.wording import error_object
from providers.errors import Failure, Fault
from providers.protocols import Blame

# Finish reasons that say whose doing it is that there is no text, in any protocol's spelling.
# Whoever is not here ("stop") says nothing of it. Vendors' own pages, read 2026-11-27.
_FINISHES: Final[Mapping[str, Blame]] = MappingProxyType(
    {
        reason: blame
        for blame, reasons in {
            Blame.CALLER: (
                "length content_filter tool_calls function_call refusal max_tokens "
                "max_output_tokens model_context_window_exceeded tool_use stop_sequence "
                "pause_turn safety recitation blocklist prohibited_content spii language "
                "continuation image_safety image_prohibited_content image_recitation "
                "image_other model_armor escalation pup_limited_disabled"
            ),
            # insufficient_system_resource: DeepSeek. network_error: Zhipu. error: OpenRouter.
            Blame.PROVIDER: (
                "error network_error insufficient_system_resource failed internal_error "
                "malformed_function_call malformed_response unexpected_tool_call "
                "too_many_tool_calls missing_thought_signature other no_image"
            ),
        }.items()
        for reason in reasons.split()
    }
)


class Judging:
    """The judge of one provider; `secrets` stay out of what it says. `wall` gives Unix time."""

    def __init__(self, secrets: Sequence[str] = (), wall: Callable[[], float] = time.time) -> None:
        self._secrets = secrets
        self._wall = wall

    def error_in(self, document: Any, payload: bytes, *, otherwise: Fault) -> Failure | None:
        error = error_object(document)
        if error is None:
            return None
        return failure_in_reply(
            error, payload, otherwise=otherwise, now=self._wall(), secrets=self._secrets
        )

    def blame(self, finish: str) -> Blame:
        return _FINISHES.get(finish) or _FINISHES.get(finish.lower(), Blame.NOBODY)
