"""
One look at a provider, by the very adapter, credential, proxy and connection of traffic.

`look` reads its list of models, which costs nothing; `probe` makes one short call, which does.
Health checks, discovery and *Test this provider* all look in this way. Neither raises for what a
provider does, and what they say holds no key.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from providers.adapters.listing import Page, further, page_of
from providers.errors import BadFraming, Failure, Fault, ProviderError, UpstreamTimedOut
from providers.protocols import PROTOCOLS
from providers.protocols.canonical import Unfit
from providers.protocols.protocol import Target
from providers.protocols.translating import Translated
from providers.saying.counting import counted
from providers.secrets.redaction import known
from providers.transport import unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.adapters.upstream import Credential, Header, Upstream
    from providers.transport import Response, Transport

TOTAL_S: Final = 10.0  # for each page; for a call as a whole
CONNECT_S: Final = 5.0
MOST_BYTES: Final = 4 << 20
MOST_PAGES: Final = 20
SAID: Final = 300  # characters of a provider's own words
MESSAGE_LIMIT: Final = 500
# Responses refuses fewer than 16.
PROBE: Final = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 16}
# Many serve models and list none: no verdict is more honest than a wrong one.
_LISTS_NOTHING: Final = frozenset({403, 404, 405})


class Finding(StrEnum):
    """What a look came to. Of the first four each was an answer."""

    ANSWERS = "answers"
    REFUSES_KEY = "refuses_key"
    LISTS_NOTHING = "lists_nothing"
    LIMITS = "limits"
    ANSWERS_ODDLY = "answers_oddly"
    FAILS = "fails"  # 5xx
    UNREACHABLE = "unreachable"

    @property
    def is_down(self) -> bool:
        return self in {Finding.FAILS, Finding.UNREACHABLE}

    @property
    def refuses_to_list(self) -> bool:
        return self in {Finding.REFUSES_KEY, Finding.LISTS_NOTHING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    What one look showed, `message` in a sentence.

    `status` is None if there was no answer, `models` if there was no list. `entries` counts all
    that is listed, `is_whole` says whether the list was read to its end.
    """

    finding: Finding
    message: str
    status: int | None = None
    latency_ms: float = 0.0
    models: tuple[str, ...] | None = None
    entries: int | None = None
    is_whole: bool = True
    credential: str = ""


async def look(
    upstream: Upstream,
    transport: Transport,
    *,
    credential: Credential,
    connect_s: float = CONNECT_S,
    pages: int = MOST_PAGES,
) -> Look:
    """What `upstream` lists as its models, up to so many pages."""
    started = time.perf_counter()
    path = upstream.adapter.models_path
    try:
        reply = await _get(upstream, transport, path, credential, connect_s)
    except ProviderError as error:
        return _unreachable(error, started, credential)
    latency_ms = _since(started)
    page = page_of(reply.body) if reply.status == 200 else None
    if page is None:
        finding, message = _refusal(upstream, reply)
        return Look(
            finding=finding,
            message=message,
            status=reply.status,
            latency_ms=latency_ms,
            credential=credential.label,
        )
    found, entries, is_whole = dict.fromkeys(page.ids), page.entries, not page.next_query
    for _page in range(1, pages):
        if is_whole or not page.next_query:
            break
        following = await _following(upstream, transport, page, credential, connect_s)
        if following is None:
            break
        is_new = bool(following.ids) and not found.keys() >= set(following.ids)
        found |= dict.fromkeys(following.ids)
        entries += following.entries if is_new else 0
        # A server that does not know the question sends its first page again.
        is_whole = not following.next_query or not is_new
        page = following
    return Look(
        finding=Finding.ANSWERS,
        message=f"It answers, and lists {counted(entries, 'model')}.",
        status=reply.status,
        latency_ms=latency_ms,
        models=tuple(found),
        entries=entries,
        is_whole=is_whole,
        credential=credential.label,
    )


async def probe(
    upstream: Upstream,
    transport: Transport,
    model: str,
    *,
    credential: Credential,
    connect_s: float = CONNECT_S,
    total_s: float = TOTAL_S,
) -> Look:
    """Whether `upstream` answers one short call to `model`. A simulator answers for nothing."""
    started = time.perf_counter()
    spoken = upstream.spoken("openai_chat")
    if not spoken:
        words = "It speaks nothing that could be asked."
        return Look(finding=Finding.ANSWERS_ODDLY, message=words, credential=credential.label)
    body = msgspec.json.encode({"model": model, **PROBE})
    asked = PROTOCOLS["openai_chat"].parse(body)
    if spoken != "openai_chat":
        adapter = upstream.adapter
        target = Target(model=model, refuses=adapter.refuses, renames=dict(adapter.renames))
        asked = Translated(asked, PROTOCOLS[spoken], target)
    deadline = asyncio.get_running_loop().time() + total_s
    try:
        sent = await upstream.send(
            transport,
            protocol=spoken,
            credential=credential,
            headers=(),
            body=asked.encode(model),
            stream=False,
            connect_s=connect_s,
            deadline=deadline,
            path=asked.upstream_path(model),
        )
        reply = await _whole(sent, deadline)
    except Unfit as error:
        words = f"It cannot be asked this: {error}."
        return Look(finding=Finding.ANSWERS_ODDLY, message=words, credential=credential.label)
    except ProviderError as error:
        return _unreachable(error, started, credential)
    latency_ms = _since(started)
    if reply.status == 200:
        read = asked.read(reply.content_type, reply.body, upstream.judge)
        finding, message = Finding.ANSWERS, "It answers."
        if isinstance(read, Failure):
            finding, message = Finding.ANSWERS_ODDLY, f"Its answer is none: {read.message}"
    else:
        finding, message = _refusal(upstream, reply)
        if finding.refuses_to_list:  # of a call that is no word on lists
            finding, message = Finding.ANSWERS_ODDLY, _with_words(upstream, reply)
    return Look(
        finding=finding,
        message=known.redact(message)[:MESSAGE_LIMIT],
        status=reply.status,
        latency_ms=latency_ms,
        credential=credential.label,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int
    headers: Sequence[Header]
    body: bytes
    content_type: bytes | None


async def _following(
    upstream: Upstream, transport: Transport, page: Page, credential: Credential, connect_s: float
) -> Page | None:
    path = further(upstream.adapter.models_path, page.next_query)
    try:
        reply = await _get(upstream, transport, path, credential, connect_s)
    except ProviderError:
        return None
    return page_of(reply.body) if reply.status == 200 else None


async def _get(
    upstream: Upstream, transport: Transport, path: str, credential: Credential, connect_s: float
) -> _Reply:
    """Redirects are not followed."""
    deadline = asyncio.get_running_loop().time() + TOTAL_S
    try:
        sent = await upstream.look(
            transport,
            path,
            credential=credential,
            connect_s=min(connect_s, TOTAL_S),
            deadline=deadline,
        )
        return await _whole(sent, deadline)
    except UpstreamTimedOut as error:
        raise UpstreamTimedOut(f"its answer took longer than {TOTAL_S:g} s") from error


async def _whole(sent: Response, deadline: float) -> _Reply:
    reply = unpacked(sent)
    try:
        pieces, size = [], 0
        while piece := await reply.read(deadline):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise BadFraming(f"its answer is larger than {MOST_BYTES} bytes")
    finally:
        reply.close()
    return _Reply(
        status=reply.status,
        headers=reply.headers,
        body=b"".join(pieces),
        content_type=reply.header(b"content-type"),
    )


def _unreachable(error: ProviderError, started: float, credential: Credential) -> Look:
    words = known.redact(str(error)) or type(error).__name__
    return Look(
        finding=Finding.UNREACHABLE,
        message=f"It cannot be reached: {words}"[:MESSAGE_LIMIT],
        latency_ms=_since(started),
        credential=credential.label,
    )


def _refusal(upstream: Upstream, reply: _Reply) -> tuple[Finding, str]:
    """What an answer says that holds no list."""
    status = reply.status
    if status == 200:
        words = "It answers 200, but with no list of models: is the address right?"
        return Finding.ANSWERS_ODDLY, words
    if 300 <= status < 400:
        return Finding.ANSWERS_ODDLY, f"It redirects ({status}); redirects are never followed."
    failure, said = _classified(upstream, reply)
    if status == 401 or failure.fault is Fault.AUTH:  # Google says so with 400
        return Finding.REFUSES_KEY, f"It refuses the key ({status}).{said}"
    if status in _LISTS_NOTHING:
        words = f"It answers, but lists no models ({status}); it may serve.{said}"
        return Finding.LISTS_NOTHING, words
    if status == 429:
        return Finding.LIMITS, f"It answers, but is limiting calls ({status}).{said}"
    finding = Finding.FAILS if status >= 500 else Finding.ANSWERS_ODDLY
    return finding, f"It answers with status {status}.{said}"


def _with_words(upstream: Upstream, reply: _Reply) -> str:
    return f"It answers with status {reply.status}.{_classified(upstream, reply)[1]}"


def _classified(upstream: Upstream, reply: _Reply) -> tuple[Failure, str]:
    failure = upstream.classify(reply.status, reply.headers, reply.body, now=time.time())
    said = f" It says: {known.redact(failure.message)[:SAID]}" if failure.message else ""
    return failure, said


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
