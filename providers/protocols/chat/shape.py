"""What differs between chat completions and the older text completions."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct


class Shape(Struct, frozen=True, kw_only=True):
    """
    `input` is the member that holds the input, which must match `beginning`: `allowed` in words.

    `whole` and `piece` are what an answer and an event of its stream call themselves.
    """

    is_chat: bool
    input: str
    beginning: re.Pattern[bytes]
    allowed: str
    whole: str
    piece: str


CHAT: Final = Shape(
    is_chat=True,
    input="messages",
    beginning=re.compile(rb"\[\s*[^\s\]]"),
    allowed="a non-empty list",
    whole="chat.completion",
    piece="chat.completion.chunk",
)
TEXT: Final = Shape(
    is_chat=False,
    input="prompt",
    beginning=re.compile(rb'["\[]'),
    allowed="a string or a list",
    whole="text_completion",
    piece="text_completion",
)
