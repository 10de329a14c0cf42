"""
Bodies of JSON as callers and providers send them: read as RFC 8259 allows, kept as they came.

Long ones are read in slices (slices.py), half of a surrogate pair is taken (halves.py).
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from providers.errors import ProtocolError
from providers.protocols import slices
from providers.protocols.halves import SLOW, decode, encode, may_hold_one
from providers.protocols.nesting import MAX_DEPTH, is_too_deep
from providers.protocols.slices import LONG, MAX_MEMBERS, SLICE, NoObject

__all__ = ["LONG", "decode", "encode"]

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_SHOWN = 60
_SPACE: Final = " \t\n\r"
_BASE64: Final = re.compile(rb';base64,|"data"\s*:\s*"')
_IS_DATA: Final = re.compile(rb'"data"\s*:\s*"\Z')
_STEP: Final = 64 << 10
_HEAD: Final = 128  # bytes, within which a string says that it is base64
# An image or a page costs hundreds of tokens, not a quarter of its bytes.
_MEDIA_TOKENS = 1000
_MOST_MEDIA: Final = 2000  # nobody sends more: the rest counts as text
_QUOTE: Final = re.compile(b'"')
_WORD: Final = 64 << 10
_PLAIN_NAME: Final = re.compile(rb'"([ !#-\[\]-~]{1,512})"')  # what it looks like: no escapes
# The beginning of a list that is not empty; after so much space nobody looks further.
FILLED: Final = rb"\[(?:[ \t\n\r]{0,4096}+[^ \t\n\r\]]|[ \t\n\r]{4096})"


def decode_text(text: str) -> Any:
    """The same for JSON that came in a string of JSON, pieces of it maybe."""
    try:
        return decode(text.encode())
    except UnicodeEncodeError:
        return SLOW.decode(text)


def values_of(fields: dict[str, Raw]) -> dict[str, Any]:
    """A caller's members that are not null. Raises ProtocolError for a number that none holds."""
    found: dict[str, Any] = {}
    for name, raw in fields.items():
        try:
            value = decode_whole(raw)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"'{name}' is not JSON: {error}.", param=name) from error
        if value is not None:
            found[name] = value
    return found


def decode_whole(text: bytes | Raw | memoryview) -> Any:
    """A sound body, or a part of one, which may be long. Raises ValueError for odd numbers."""
    if slices.is_apart():
        return slices.decode(text)
    return decode(bytes(text) if isinstance(text, memoryview) else text)


def encode_whole(value: Any) -> bytes:
    """A body as JSON, which may be a long one."""
    return slices.encode(value) if slices.is_apart() else encode(value)


def encode_members(fields: dict[str, Raw]) -> bytes:
    """An object of members that stay as they are."""
    if slices.is_apart():
        return _joined_members(fields)
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:
        pairs = (json.dumps(name).encode() + b":" + bytes(raw) for name, raw in fields.items())
        return b"{" + b",".join(pairs) + b"}"


def _joined_members(fields: dict[str, Raw]) -> bytes:
    pieces = list[bytes | memoryview]()
    for name, raw in fields.items():
        pieces += (b"," if pieces else b"{", encode(name), b":", memoryview(raw))
    return slices.joined([*pieces, b"}" if pieces else b"{}"])


def is_sound(text: bytes) -> bool:
    """Whether `text` is JSON."""
    try:
        decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def members_of(body: bytes) -> dict[str, Raw]:
    """
    The members of an object, each as the bytes that were sent. Raises ProtocolError.
    """
    # msgspec does not look into the bytes of strings that it skips.
    if not body.isascii():
        _check_utf8(body)
    is_long = len(body) > LONG
    if not is_long and is_too_deep(body):
        raise _too_deep()
    try:
        return slices.members_of(body) if is_long else _members(body)
    except RecursionError as error:
        raise _too_deep() from error
    except (msgspec.ValidationError, NoObject) as error:
        message = f"The request body must be a JSON object, not {_kind(body.lstrip())}."
        raise ProtocolError(message, code="invalid_json") from error
    except ValueError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if not body.strip():
            reason = "it is empty"
        elif "truncated" in reason:
            reason = "it ends too early"
        message = f"The request body must be a JSON object, but is not JSON: {reason}."
        raise ProtocolError(message, code="invalid_json") from error


def _check_utf8(body: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), SLICE):
        try:
            decoder.decode(body[start : start + SLICE], final=start + SLICE >= len(body))
        except UnicodeDecodeError as error:
            place = start + error.start - (len(error.object) - len(body[start : start + SLICE]))
            message = f"The request body is not UTF-8: byte {place} is not valid."
            raise ProtocolError(message, code="invalid_json") from error
        slices.breathe()


def _members(body: bytes | Raw) -> dict[str, Raw]:
    """Raises ValueError, or TooMany."""
    try:
        members = _MEMBERS.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        text = bytes(body)
        if not may_hold_one(text) or text.lstrip()[:1] != b"{":
            raise
        members = _members_slowly(text.decode())
    if len(members) > MAX_MEMBERS:
        raise slices.too_many(MAX_MEMBERS)
    return members


def _members_slowly(text: str) -> dict[str, Raw]:
    """The same where half a surrogate pair is somewhere. Raises ValueError."""
    found: dict[str, Raw] = {}
    SLOW.decode(text)  # from here on it is known to be sound
    position = _past_space(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = SLOW.raw_decode(text, position)
        position = _past_space(text, _past_space(text, position) + 1)  # the colon
        _, end = SLOW.raw_decode(text, position)
        found[name] = Raw(text[position:end].encode())
        position = _past_space(text, end)
        if text[position] == ",":
            position = _past_space(text, position + 1)
    return found


def _past_space(text: str, position: int) -> int:
    while text[position] in _SPACE:
        position += 1
    return position


def model_of(fields: dict[str, Raw]) -> str:
    """The model that is asked for. Raises ProtocolError."""
    raw = fields.get("model")
    if raw is not None and (plain := _PLAIN_NAME.fullmatch(raw)):
        return plain[1].decode()
    if raw is not None and memoryview(raw).nbytes > _WORD:
        raise refusal("model", raw, f"a string of at most {_WORD} bytes")
    model = string(raw)
    if not model or not is_text(model):
        raise refusal("model", raw, "a non-empty string")
    return model


def stream_of(fields: dict[str, Raw]) -> bool:
    """Whether a stream is asked for. Raises ProtocolError."""
    raw = fields.get("stream")
    if raw is None:
        return False
    word = bytes(raw)
    if word not in (b"true", b"false", b"null"):
        raise refusal("stream", raw, "true or false")
    return word == b"true"


def refusal(name: str, raw: Raw | None, allowed: str) -> ProtocolError:
    if raw is None:
        return ProtocolError(f"'{name}' is missing; it must be {allowed}.", param=name)
    shown = bytes(memoryview(raw)[: 4 * _SHOWN]).decode(errors="ignore")
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "…"
    return ProtocolError(f"'{name}' must be {allowed}, not {shown}.", param=name)


def object_of(raw: Raw | None) -> dict[str, Raw] | None:
    """The members of an object that is a member itself; None for what is no object."""
    if raw is None or first(raw) != b"{":
        return None
    if memoryview(raw).nbytes > LONG:
        return slices.members_of(raw)
    return _members(raw)


def small_object_of(raw: Raw | None) -> dict[str, Raw] | None:
    """The same; None, too, for what is longer than a few names and ids are."""
    if raw is None or memoryview(raw).nbytes > _WORD:
        return None
    return object_of(raw)


def string(raw: Raw | None) -> str | None:
    """A word: None for what is no string, or a longer one than any name, id or kind."""
    if raw is None or first(raw) != b'"' or memoryview(raw).nbytes > _WORD:
        return None
    text: str = decode(bytes(raw))
    return text


def holds(pattern: re.Pattern[bytes], text: bytes | Raw | memoryview) -> bool:
    """Whether `pattern`, which matches 1 KiB at most, is somewhere in a member."""
    if memoryview(text).nbytes > LONG:
        return slices.search(pattern, text)
    return pattern.search(text) is not None


def with_strings_replaced(text: bytes, pattern: re.Pattern[bytes], by: bytes) -> bytes:
    """`text` with `by` in the members of a name whose beginning `pattern` matches."""
    view = memoryview(text)
    pieces, position = list[bytes | memoryview](), 0
    for match in slices.found_in(pattern, view, (0, len(view))):
        if match.start() >= position:
            pieces += (view[position : match.start()], b'"%b":"%b' % (match[1], by))
            position = text.index(b'"', match.end())
    return slices.joined([*pieces, view[position:]])


def words_in(raw: Raw | bytes, pattern: re.Pattern[bytes]) -> set[bytes]:
    """What the group of `pattern` is wherever that matches, but for the insides of long base64."""
    if memoryview(raw).nbytes > LONG:
        return slices.words_of(raw, pattern)
    return set(pattern.findall(shortened(raw)))


def whole_number(raw: Raw | None) -> int | None:
    """A count that a request states; None for anything else."""
    if raw is not None and len(digits := bytes(raw)) < 16 and digits.isdigit():
        return int(digits)
    return None


def is_text(text: str) -> bool:
    """Whether `text` can be written as UTF-8: it holds no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def first(raw: Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def estimate(raw: bytes | Raw) -> int:
    """
    A rough count of tokens in a piece of JSON, four bytes to one; base64 media count 1,000 each.

    The same text counts the same however it is escaped.
    """
    if len(view := memoryview(raw)) > LONG:
        return _estimate_of_long(view)
    text = bytes(raw)
    if b"\\" in text and b"\\u" in text:  # one byte is found 20 times as quickly as two
        text = _unescaped(text)
    if len(text) >= 2 * _STEP:
        text = shortened(text)
    size, media, position = len(text), 0, 0
    # 100 times as quick as the pattern, and `in` takes half as long again as `find`
    if text.find(b";base64,") < 0 and text.find(b'"data"') < 0:
        return size // 4
    while media < _MOST_MEDIA and (found := _BASE64.search(text, position)):
        position = text.index(b'"', found.end())
        size -= position - found.end()
        media += 1
    return size // 4 + media * _MEDIA_TOKENS


def _estimate_of_long(view: memoryview) -> int:
    size, media, position = 0, 0, 0
    for begin, end in slices.kept(view):
        size += slices.size_of(view, (begin, end))
        for found in slices.found_in(_BASE64, view, (begin, end)):
            if found.start() < position:
                continue  # inside of what has been counted
            if media == _MOST_MEDIA:
                break
            quote = _QUOTE.search(view, found.end(), end)
            position = end if quote is None else quote.start()
            size -= position - found.end()
            media += 1
    return max(size, 0) // 4 + media * _MEDIA_TOKENS


def shortened(text: bytes | Raw) -> bytes:
    """
    JSON with only the beginnings of its long base64, to look for words and to count tokens in.

    Looking for the next quote is quick; looking for words in an image of 5 MB takes 8 ms each.
    """
    text = bytes(text)
    if len(text) < 2 * _STEP:
        return text
    pieces: list[bytes] = []
    begun, position = 0, _STEP
    while position < len(text):
        if text.find(b'"', position - _STEP, position) >= 0:
            position += _STEP
            continue
        start = text.rfind(b'"', 0, position) + 1
        end = text.find(b'"', position)
        if end < 0:
            break
        head = start + _HEAD
        if _IS_DATA.search(text, max(start - _HEAD, 0), start) or b";base64," in text[start:head]:
            pieces.append(text[begun:head])
            begun = end
        position = end + _STEP
    return b"".join([*pieces, text[begun:]])


def _unescaped(text: bytes) -> bytes:
    try:
        value = decode(text)
    except ValueError:  # a number that only its provider can judge
        return text
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _too_deep() -> ProtocolError:
    message = f"The request body is nested too deeply; {MAX_DEPTH} levels are allowed."
    return ProtocolError(message, code="invalid_json")


def _kind(text: bytes) -> str:
    match text[:1]:
        case b"[":
            return "a list"
        case b'"':
            return "a string"
        case b"t" | b"f":
            return "a boolean"
        case b"n":
            return "null"
    return "a number"
