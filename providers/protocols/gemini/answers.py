"""Whole replies of Gemini to and from the canonical form."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from providers.errors import Failure
from providers.protocols import bodies
from providers.protocols.canonical import (
    Answer,
    Finish,
    Media,
    Part,
    Raw,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from providers.protocols.gemini.parts import (
    BYPASS,
    ORIGIN,
    call_told,
    media_told,
    parts_of,
    thought_told,
)
from providers.protocols.gemini.reply import (
    block_reason,
    missing,
    parts_in,
    usage_of,
    usage_told,
)
from providers.protocols.protocol import Blame, Judge
from providers.protocols.reading import new_call_id, text_of
from providers.protocols.usage import Usage
from providers.protocols.whole import no_answer

_FINISH_OF: Final = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "CONTINUATION": Finish.LENGTH,
}
WORD_OF: Final = {
    Finish.STOP: "STOP",
    Finish.STOP_STRING: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTEXT: "MAX_TOKENS",
    Finish.TOOL_CALLS: "STOP",
    Finish.FILTERED: "SAFETY",
    Finish.REFUSED: "SAFETY",
    Finish.PAUSED: "STOP",
}


def answer_of(document: dict[str, Any], judge: Judge) -> Answer | Failure:
    """What a decoded 200 says, or why it is no answer."""
    problem = missing(document, judge)
    if problem is not None:
        return no_answer(problem)
    usage = usage_of(document.get("usageMetadata")) or Usage()
    candidates = document.get("candidates")
    parts: list[Part] = []
    finish = Finish.FILTERED if block_reason(document) else Finish.STOP
    if candidates:
        first = candidates[0]
        stated = first.get("finishReason")
        if isinstance(stated, str) and judge.blame(stated) is Blame.PROVIDER:
            return no_answer(f"a candidate ended with finish reason {stated}")
        for number, part in enumerate(parts_in(first)):
            parts += parts_of(part, partial(new_call_id, number))
        has_calls = any(isinstance(part, ToolCall) for part in parts)
        finish = finish_of(stated, judge, has_calls=has_calls)
    return Answer(
        id=text_of(document.get("responseId")),
        model=text_of(document.get("modelVersion")),
        created_at=created_at(document.get("createTime")),
        parts=tuple(parts),
        finish=finish,
        usage=usage,
    )


def finish_of(stated: Any, judge: Judge, *, has_calls: bool) -> Finish:
    """STOP with a call is a call of tools; what the caller is to blame for was filtered."""
    finish = _FINISH_OF.get(stated) if isinstance(stated, str) else Finish.STOP
    if finish is None:
        is_callers = judge.blame(stated) is Blame.CALLER
        finish = Finish.FILTERED if is_callers else Finish.STOP
    return Finish.TOOL_CALLS if has_calls and finish is Finish.STOP else finish


def created_at(stated: Any) -> int:
    """Unix time of a `createTime`, 0 for none."""
    try:
        return int(datetime.fromisoformat(stated).timestamp()) if isinstance(stated, str) else 0
    except (ValueError, OverflowError):
        return 0


# To a caller


def reply_of(answer: Answer) -> bytes:
    candidate = {
        "content": {"parts": _told(answer.parts), "role": "model"},
        "finishReason": word_of(answer.finish, answer.parts),
        "index": 0,
    }
    document = {
        "candidates": [candidate],
        "usageMetadata": usage_told(answer.usage),
        **head_of(answer.id, answer.model, answer.created_at),
    }
    return bodies.encode(document)


def head_of(answer_id: str, model: str, created: int) -> dict[str, Any]:
    """What every piece of an answer says of the whole."""
    head = {"modelVersion": model, "responseId": answer_id}
    if created:
        made = datetime.fromtimestamp(min(max(created, 0), 2**37), UTC)
        head["createTime"] = made.isoformat().replace("+00:00", "Z")
    return head


def word_of(finish: Finish, parts: tuple[Part, ...] = ()) -> str:
    """A refusal in words has ended well for other protocols; here it is the filter's doing."""
    if finish is Finish.STOP and any(isinstance(part, Refusal) for part in parts):
        finish = Finish.REFUSED
    return WORD_OF[finish]


def _told(parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    signs = Signatures()
    for part in parts:
        told += part_told(part, signs)
    return told or [{"text": ""}]


class Signatures:
    """
    The first call of an answer has a signature, the others beside it need none.

    One that Gemini has not made gets the word that Gemini takes instead, so that the caller may
    go on with Gemini itself.
    """

    def __init__(self) -> None:
        self._is_first = True

    def of(self, call: ToolCall) -> str:
        signature = call.signature or (BYPASS if self._is_first else "")
        self._is_first = False
        return signature


def part_told(part: Part, signs: Signatures) -> list[dict[str, Any]]:
    match part:
        case Text() | Refusal():
            return [{"text": part.text}] if part.text else []
        case Reasoning():
            return thought_told(part)
        case ToolCall():
            return [call_told(part, signs.of(part))]
        case Media():
            media = media_told(part)
            return [media if media is not None else {"text": part.url or part.file_id}]
        case Raw(origin=origin) if origin == ORIGIN:
            return [part.value]
    return []
