"""
Sound requests, broken: `mutated(seed, number)` is the same bytes whenever it is asked for.

A mutation changes the draft of a request, in its body or in its head; the last ones break how its
end is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from bench.hostile.sound import SOUND, Fields

UNFRAMED: Final = 0.06  # of all, whose end is told wrongly
NUMBERS: Final = (
    b"0", b"-1", b"1e400", b"-1e-400", b"9223372036854775808", b"1" * 400, b"0.1e", b"NaN",
    b"01", b"-0", b"1e9", b"true", b"null", b"1.5",
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, -1, 2.5, 2**70, "", " ", "\x00", "\ud83d", "a" * 3000, [], {}, [[]], [None],
    {"": 1}, "data:image/png;base64,", "0", "https://localhost/", {"type": "text", "text": []},
)  # fmt: skip
BYTES: Final = (
    b"\x00", b"\r\n", b"\n", b"\xff\xfe", b"%00", b"%", b"\xed\xa0\x80", b" ", b"\t", b'"',
    b"[" * 500, b'{"a":' * 200, b"\\u0000", b"\\ud800", b"..", b"//", b"'", b";", b"=", b"&",
    b"\xc3\x28",
)  # fmt: skip
NAMES: Final = (
    b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection", b"via",
    b"x-request-id", b"x-forwarded-for", b"x-switchyard-session", b"x-switchyard-simulate",
    b"cookie", b"x-switchyard-timeout", b"x-switchyard-provider", b"x-switchyard-gate",
    b"content-encoding",
    b"content-type", b"accept", b"range", b"if-none-match", b"authorization", b"x-api-key",
    b"anthropic-beta", b"openai-organization", b"x-csrftoken", b"accept-language", b"referer",
    b"origin", b"traceparent",
)  # fmt: skip
OF_NAMES: Final = (
    b"", b"x", b"-1", b"\xff", b"a" * 5000, b"gzip, chunked", b"100-continue", b"websocket", b"h2c",
    b"1.1 x, " * 50, b"nan", b"[]", b"\x80=\x01; sessionid",
)  # fmt: skip
PARAMETERS: Final = (
    b"limit", b"offset", b"cursor", b"key", b"o", b"q", b"p", b"e", b"ordering", b"id__in",
    b"status__exact", b"pk__regex", b"_popup", b"format",
)  # fmt: skip
OF_PARAMETERS: Final = (
    b"", b"-1", b"9" * 30, b"%00", b"%ff", b"abc", b"%F0%9F", b"[", b"*", b"a" * 99,
)  # fmt: skip
_DIGITS: Final = re.compile(rb"-?\d+(?:\.\d+)?")


@dataclass(slots=True)
class Draft:
    """`how` are the mutations' names."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    how: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`is_framed` where its end can be found, so that an answer is due."""

    raw: bytes
    how: str
    is_framed: bool


def mutated(seed: int, number: int) -> Mutant:
    rng = Random(f"{seed}:{number}")
    sound = rng.choices(SOUND, [each.weight for each in SOUND])[0]
    draft = Draft(sound.method, sound.target, list(sound.fields), sound.body, [])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(OF_BODY if draft.body and rng.random() < 0.7 else OF_HEAD)
        change(draft, rng)
        draft.how.append(change.__name__)
    is_framed = rng.random() > UNFRAMED
    raw = _framed(draft) if is_framed else _unframed(draft, rng)
    name = f"{sound.method.decode()} {sound.target.decode()}: {', '.join(draft.how)}"
    # Names and line ends that were put into the head may tell another end of the body.
    return Mutant(raw=raw, how=name, is_framed=is_framed and not _OF_ENDS & set(draft.how))


# Bodies


def cut(draft: Draft, rng: Random) -> None:
    draft.body = draft.body[: rng.randrange(len(draft.body) + 1)]


def duplicated(draft: Draft, rng: Random) -> None:
    start, end = _span(draft.body, rng)
    draft.body = draft.body[:end] + draft.body[start:end] * rng.choice((1, 1, 2, 50))
    draft.body += b"" if rng.random() < 0.5 else draft.body[end:]


def flipped(draft: Draft, rng: Random) -> None:
    changed = bytearray(draft.body)
    for _ in range(rng.choice((1, 1, 2, 5, 20)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    draft.body = bytes(changed)


def inserted(draft: Draft, rng: Random) -> None:
    place = rng.randrange(len(draft.body) + 1)
    draft.body = draft.body[:place] + rng.choice(BYTES) + draft.body[place:]


def renumbered(draft: Draft, rng: Random) -> None:
    found = list(_DIGITS.finditer(draft.body))
    if found:
        one = rng.choice(found)
        draft.body = draft.body[: one.start()] + rng.choice(NUMBERS) + draft.body[one.end() :]


def retyped(draft: Draft, rng: Random) -> None:
    """Another value, of another type, in one place of the document."""
    _in_document(draft, rng, lambda holder, key: holder.__setitem__(key, rng.choice(VALUES)))


def recased(draft: Draft, rng: Random) -> None:
    def rename(holder: Any, key: Any) -> None:
        if isinstance(key, str) and key:
            changes = (key.upper(), key.capitalize(), key[:-1] + key[-1].swapcase(), f" {key}")
            holder[rng.choice(changes)] = holder[key] if rng.random() < 0.5 else holder.pop(key)

    _in_document(draft, rng, rename)


def removed(draft: Draft, rng: Random) -> None:
    _in_document(draft, rng, lambda holder, key: holder.__delitem__(key))


def moved(draft: Draft, rng: Random) -> None:
    """A value of the document in the place of another."""
    other: list[Any] = []
    _in_document(draft, rng, lambda holder, key: other.append(holder[key]))
    if other:
        _in_document(draft, rng, lambda holder, key: holder.__setitem__(key, other[0]))


OF_BODY: Final[tuple[Callable[[Draft, Random], None], ...]] = (
    cut, duplicated, flipped, inserted, renumbered, retyped, retyped, recased, removed, moved,
)  # fmt: skip


# Heads


def target_changed(draft: Draft, rng: Random) -> None:
    place = rng.randrange(1, len(draft.target) + 1)
    piece = rng.choice((*(each for each in BYTES if b"\n" not in each), b"?", b"#", b"a" * 9000))
    draft.target = draft.target[:place] + piece + draft.target[place:]


def query_changed(draft: Draft, rng: Random) -> None:
    mark = b"&" if b"?" in draft.target else b"?"
    draft.target += b"%b%b=%b" % (mark, rng.choice(PARAMETERS), rng.choice(OF_PARAMETERS))


def method_changed(draft: Draft, rng: Random) -> None:
    draft.method = rng.choice((b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"POST", b"TRACE"))


def header_added(draft: Draft, rng: Random) -> None:
    value = rng.choice(OF_NAMES)
    place = rng.randrange(len(draft.fields) + 1)
    draft.fields.insert(place, (rng.choice(NAMES), value))


def header_removed(draft: Draft, rng: Random) -> None:
    if draft.fields:
        del draft.fields[rng.randrange(len(draft.fields))]


def header_doubled(draft: Draft, rng: Random) -> None:
    if draft.fields:
        draft.fields.append(rng.choice(draft.fields))


def header_broken(draft: Draft, rng: Random) -> None:
    if draft.fields:
        place = rng.randrange(len(draft.fields))
        name, value = draft.fields[place]
        at = rng.randrange(len(value) + 1)
        value = value[:at] + rng.choice(BYTES) + value[at:]
        draft.fields[place] = (name + rng.choice((b"", b"", b" ", b"\x00", b":")), value)


OF_HEAD: Final[tuple[Callable[[Draft, Random], None], ...]] = (
    target_changed, query_changed, method_changed, header_added, header_removed, header_doubled,
    header_broken,
)  # fmt: skip
_OF_ENDS: Final = {"header_added", "header_broken", "target_changed"}


# What is sent


def _head(draft: Draft, *more: tuple[bytes, bytes]) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % field for field in (*draft.fields, *more))
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (draft.method, draft.target, lines)


def _framed(draft: Draft) -> bytes:
    return _head(draft, (b"content-length", b"%d" % len(draft.body))) + draft.body


def _unframed(draft: Draft, rng: Random) -> bytes:
    """Told in a way from which nobody can say for certain where it ends."""
    length = len(draft.body)
    chunked = (b"transfer-encoding", rng.choice((b"chunked", b"Chunked", b"gzip, chunked", b"x")))
    lengths = (
        b"%d" % (length + 9), b"%d" % max(length - 9, 0), b"-1", b"1e3", b"", b"9" * 25,
        b"%d, %d" % (length, length), b"0x%x" % length,
    )  # fmt: skip
    size = (b"content-length", rng.choice(lengths))
    sizes = (b"%x" % length, b"%x;a=b" % length, b"%x" % (length + 5), b"-1", b"g", b"f" * 20)
    ends = (b"0\r\n\r\n", b"0\r\na: b\r\n\r\n", b"", b"0\r\n" + b"a: b\r\n" * 300, b"00")
    pieces = b"%b\r\n%b\r\n%b" % (rng.choice(sizes), draft.body, rng.choice(ends))
    draft.how.append("unframed")
    roll = rng.random()
    if roll < 0.35:
        return _head(draft, size) + draft.body
    if roll < 0.75:
        return _head(draft, chunked) + pieces
    if roll < 0.85:
        return _head(draft, chunked, size) + pieces
    whole = _framed(draft)
    return whole[: rng.randrange(len(whole))] if roll < 0.95 else whole.replace(b"\r\n", b"\n")


def _span(body: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(body) + 1)
    return start, min(len(body), start + rng.choice((1, 8, 64, 1000)))


def _in_document(draft: Draft, rng: Random, change: Callable[[Any, Any], None]) -> None:
    try:
        document = json.loads(draft.body)
    except (ValueError, RecursionError):
        flipped(draft, rng)
        return
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (dict, list)):
            keys = list(value) if isinstance(value, dict) else range(len(value))
            places += [(value, key) for key in keys]
            waiting += [value[key] for key in keys]
    if places:
        change(*rng.choice(places))
        draft.body = json.dumps(document).encode()
