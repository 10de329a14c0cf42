"""What OpenAI's protocols share: the headers that go along, errors, and how usage is stated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from providers.protocols import halves
from providers.protocols.protocol import Header, Problem
from providers.protocols.usage import Count, Usage, count, members

# Everything that these families will ever name goes on; the rest stays here: credentials,
# cookies, hop-by-hop and forwarding headers, our own x-switchyard-*, and what we set ourselves.
FAMILIES: Final = (b"openai-", b"x-stainless-")
# These choose an account, and the account is ours: a caller's own would make the provider refuse
# our key with a 401, and so bench it. Operators set them in a provider's `headers`.
_ACCOUNT: Final = frozenset({b"openai-organization", b"openai-project"})


def forwarded(headers: Iterable[Header], families: tuple[bytes, ...] = FAMILIES) -> list[Header]:
    """Those of `headers` (lower-case names) that an OpenAI-shaped request takes along."""
    return [
        (name, value)
        for name, value in headers
        if name.startswith(families)
        and name not in _ACCOUNT
        and not (b"\n" in value or b"\r" in value or b"\0" in value)
    ]


def error(problem: Problem) -> tuple[int, bytes]:
    """An OpenAI error, which does not repeat the status. `extra` goes inside `error`."""
    told = {
        "message": problem.message,
        "type": problem.type,
        "param": problem.param,
        "code": problem.code,
        **(problem.extra or {}),
    }
    return problem.status, halves.encode({"error": told})  # it may repeat a caller's odd words


def error_event(problem: Problem) -> bytes:
    """The last event of a stream that broke; no [DONE] follows, or the caller would believe it."""
    return b"data: " + error(problem)[1] + b"\n\n"


class _Details(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


_NO_DETAILS = _Details()


class StatedUsage(Struct, gc=False):
    """A plain `usage` member of an OpenAI reply, for a decoder; odd ones take `usage_of`."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Count | None = None

    def usage(self) -> Usage:
        prompt = self.prompt_tokens_details or _NO_DETAILS
        completion = self.completion_tokens_details or _NO_DETAILS
        cached = prompt.cached_tokens
        reasoning = completion.reasoning_tokens
        output = self.completion_tokens
        if reasoning:
            output = output_of(self.prompt_tokens, output, reasoning, self.total_tokens)
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=output,
            # DeepSeek counts cache hits beside prompt_tokens, not inside its details.
            cached_tokens=self.prompt_cache_hit_tokens if cached is None else cached,
            cache_write_tokens=prompt.cache_write_tokens,
            reasoning_tokens=reasoning,
        )


def usage_of(stated: Any) -> Usage | None:
    """The `usage` member of an OpenAI reply or chunk; None if it is not an object."""
    if not isinstance(stated, dict):
        return None
    prompt = members(stated.get("prompt_tokens_details"))
    completion = members(stated.get("completion_tokens_details"))
    cached = count(prompt.get("cached_tokens"))
    if cached is None:
        cached = count(stated.get("prompt_cache_hit_tokens"))
    input_tokens = count(stated.get("prompt_tokens"))
    output_tokens = count(stated.get("completion_tokens"))
    reasoning = count(completion.get("reasoning_tokens"))
    if reasoning:
        total = count(stated.get("total_tokens"))
        output_tokens = output_of(input_tokens, output_tokens, reasoning, total)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached,
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
    )


def output_of(
    prompt: int | None, completion: int | None, reasoning: int, total: int | None
) -> int | None:
    """
    All output tokens. OpenAI counts reasoning inside `completion`, xAI beside it; `total` tells.

    Where nothing adds up, reasoning is taken to be inside, unless there is more of it than of all.
    """
    if completion is None:
        return None
    beside = completion + reasoning
    if total is not None and prompt is not None:
        if total == prompt + completion:
            return completion
        if total == prompt + beside:
            return beside
    return beside if reasoning > completion else completion
