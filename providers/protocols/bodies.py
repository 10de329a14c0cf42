"""
Bodies of JSON as callers and providers send them: read as RFC 8259 allows, kept as they came.

msgspec reads them, and refuses one thing that the grammar allows: half a surrogate pair in a
string, which models do write when an emoji comes in two pieces. Such a text takes the slow way.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Raw

from providers.errors import ProtocolError
from providers.protocols.nesting import MAX_DEPTH, is_too_deep

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_SHOWN = 60
_SPACE: Final = " \t\n\r"
_BASE64: Final = re.compile(rb';base64,|"data"\s*:\s*"')
_IS_DATA: Final = re.compile(rb'"data"\s*:\s*"\Z')
_LONG: Final = 64 << 10
_HEAD: Final = 128  # bytes, within which a string says that it is base64
# An image or a page costs hundreds of tokens, not a quarter of its bytes.
_MEDIA_TOKENS = 1000


def decode(text: bytes | Raw) -> Any:
    """`text` as values. Raises ValueError or RecursionError."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        text = bytes(text)
        if not _may_have_half_a_pair(text):
            raise
        return _SLOW.decode(text.decode())


def decode_text(text: str) -> Any:
    """The same for JSON that came in a string of JSON, pieces of it maybe."""
    try:
        return decode(text.encode())
    except UnicodeEncodeError:
        return _SLOW.decode(text)


def values_of(fields: dict[str, Raw]) -> dict[str, Any]:
    """A caller's members that are not null. Raises ProtocolError for a number that none holds."""
    found: dict[str, Any] = {}
    for name, raw in fields.items():
        try:
            value = decode(raw)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"'{name}' is not JSON: {error}.", param=name) from error
        if value is not None:
            found[name] = value
    return found


def encode(value: Any) -> bytes:
    """`value` as JSON; half a surrogate pair is escaped, as it came."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def encode_members(fields: dict[str, Raw]) -> bytes:
    """An object of members that stay as they are."""
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:
        pairs = (json.dumps(name).encode() + b":" + bytes(raw) for name, raw in fields.items())
        return b"{" + b",".join(pairs) + b"}"


def _may_have_half_a_pair(text: bytes) -> bool:
    """Whether the slow decoder is worth asking for what the quick one has refused."""
    return b"\\ud" in text or b"\\uD" in text


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
        try:
            body.decode()
        except UnicodeDecodeError as error:
            message = f"The request body is not UTF-8: byte {error.start} is not valid."
            raise ProtocolError(message, code="invalid_json") from error
    if is_too_deep(body):
        raise _too_deep()
    try:
        return _members(body)
    except RecursionError as error:
        raise _too_deep() from error
    except msgspec.ValidationError as error:
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


def _members(body: bytes | Raw) -> dict[str, Raw]:
    try:
        return _MEMBERS.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        text = bytes(body)
        if not _may_have_half_a_pair(text) or text.lstrip()[:1] != b"{":
            raise
        return _members_slowly(text.decode())


def _members_slowly(text: str) -> dict[str, Raw]:
    """The same where half a surrogate pair is somewhere. Raises ValueError."""
    found: dict[str, Raw] = {}
    _SLOW.decode(text)  # from here on it is known to be sound
    position = _past_space(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = _SLOW.raw_decode(text, position)
        position = _past_space(text, _past_space(text, position) + 1)  # the colon
        _, end = _SLOW.raw_decode(text, position)
        found[name] = Raw(text[position:end].encode())
        position = _past_space(text, end)
        if text[position] == ",":
            position = _past_space(text, position + 1)
    return found


def _past_space(text: str, position: int) -> int:
    while text[position] in _SPACE:
        position += 1
    return position


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_SLOW: Final = json.JSONDecoder(parse_constant=_no_constant)


def model_of(fields: dict[str, Raw]) -> str:
    """The model that is asked for. Raises ProtocolError."""
    raw = fields.get("model")
    text = b"" if raw is None else bytes(raw)
    if text[:1] == b'"' and len(text) > 2 and b"\\" not in text and text.isascii():
        return text[1:-1].decode()  # nearly every name is what it looks like
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
    return _members(raw) if raw is not None and first(raw) == b"{" else None


def string(raw: Raw | None) -> str | None:
    text: str | None = decode(bytes(raw)) if raw is not None and first(raw) == b'"' else None
    return text


def whole_number(raw: Raw | None) -> int | None:
    """A count that a request states; None for anything else."""
    if raw is not None and (digits := bytes(raw)).isdigit() and len(digits) < 16:
        return int(digits)
    return None


def is_text(text: str) -> bool:
    """Whether `text` can be written as UTF-8: it holds no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def first(raw: Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def estimate(text: bytes) -> int:
    """
    A rough count of tokens in a piece of JSON, four bytes to one; base64 media count 1,000 each.

    The same text counts the same however it is escaped.
    """
    if b"\\" in text and b"\\u" in text:  # one byte is found 20 times as quickly as two
        text = _unescaped(text)
    if len(text) >= 2 * _LONG:
        text = shortened(text)
    size, media, position = len(text), 0, 0
    if b";base64," not in text and b'"data"' not in text:  # 100 times as quick as the pattern
        return size // 4
    while found := _BASE64.search(text, position):
        position = text.index(b'"', found.end())
        size -= position - found.end()
        media += 1
    return size // 4 + media * _MEDIA_TOKENS


def shortened(text: bytes | Raw) -> bytes:
    """
    JSON with only the beginnings of its long base64, to look for words and to count tokens in.

    Looking for the next quote is quick; looking for words in an image of 5 MB takes 8 ms each.
    """
    text = bytes(text)
    if len(text) < 2 * _LONG:
        return text
    pieces: list[bytes] = []
    begun, position = 0, _LONG
    while position < len(text):
        if text.find(b'"', position - _LONG, position) >= 0:
            position += _LONG
            continue
        start = text.rfind(b'"', 0, position) + 1
        end = text.find(b'"', position)
        if end < 0:
            break
        head = start + _HEAD
        if _IS_DATA.search(text, max(start - _HEAD, 0), start) or b";base64," in text[start:head]:
            pieces.append(text[begun:head])
            begun = end
        position = end + _LONG
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
