"""The parts of Gemini's contents, in requests and answers alike, to and from the canonical form."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from string import ascii_letters, digits
from typing import Any, Final

from providers.protocols import bodies, sealing
from providers.protocols.canonical import Media, Part, Raw, Reasoning, Text, ToolCall
from providers.protocols.nesting import is_too_deep
from providers.protocols.reading import dict_of, dicts_of, text_of, without_spaces

ORIGIN: Final = "gemini_generate"
# What Google documents for calls that none of its models has made, which have no signature.
BYPASS: Final = b64encode(b"skip_thought_signature_validator").decode()
_ALPHABET: Final = (ascii_letters + digits + "+/").encode()
_JUDGED: Final = 64 << 10
_URL_SAFE: Final = str.maketrans("-_", "+/")
# Uploaded files belong to one account; buckets to whoever may read them.
_OWN_FILES: Final = ("https://generativelanguage.googleapis.com/", "gs://")
_FILMS: Final = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_KINDS: Final = ("image", "audio", "video")
# How the first bytes of a file look in base64. What a name or a caller says may be wrong.
_STARTS: Final = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "JVBERi0": "application/pdf",
}


@lru_cache(maxsize=256)
def snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def pick(held: dict[str, Any], name: str) -> Any:
    """A member by its name, which Google takes in snake case too."""
    found = held.get(name)
    return held.get(snake(name)) if found is None else found


def picked(held: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The same where it is an object; None for what is none."""
    return dict_of(pick(held, name))


def listed(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, or a single one, which Google takes for a list of one."""
    return [value] if isinstance(value, dict) else dicts_of(value)


# From Gemini


def parts_of(part: dict[str, Any], new_id: Callable[[], str]) -> list[Part]:
    """What one part says; a call without an id gets a `new_id`."""
    signature = text_of(pick(part, "thoughtSignature"))
    text = part.get("text")
    if isinstance(text, str):
        if part.get("thought") is True:
            return [thought_of(text, signature, part)]
        said: list[Part] = [Text(text=text)] if text else []
        # The signature of a text stands behind it; it has no other place.
        return [*said, thought_of("", signature, None)] if signature else said
    if (call := picked(part, "functionCall")) is not None and text_of(call.get("name")):
        return [call_of(call, signature, new_id)]
    if (blob := picked(part, "inlineData")) is not None:
        return [media_of_blob(blob)]
    if (file := picked(part, "fileData")) is not None:
        return [media_of_file(file)]
    if signature and len(part) == 1:
        return [thought_of("", signature, None)]
    return [Raw(origin=ORIGIN, value=part)]


def thought_of(text: str, signature: str, raw: dict[str, Any] | None) -> Reasoning:
    """What a model thought; the seal of another protocol's is opened."""
    sealed = unsealed(signature, text)
    if sealed is not None:
        return sealed
    return Reasoning(text=text, signature=signature, origin=ORIGIN, raw=raw)


def call_of(call: dict[str, Any], signature: str, new_id: Callable[[], str]) -> ToolCall:
    args = call.get("args")
    try:
        arguments = bodies.encode(args).decode() if isinstance(args, dict) else "{}"
    except RecursionError:  # it was decoded with a little more room on the stack
        arguments = "null"
    return ToolCall(
        id=text_of(call.get("id")) or new_id(),
        name=text_of(call.get("name")),
        arguments=arguments,
        signature="" if signature == BYPASS else signature,  # nobody's: our own, come back
    )


def media_of_blob(blob: dict[str, Any]) -> Media:
    """Its data is "" where it is no base64."""
    media_type = text_of(pick(blob, "mimeType"))
    return Media(
        kind=kind_of(media_type),
        media_type=media_type,
        data=plain_base64(text_of(blob.get("data"))) or "",
        name=text_of(pick(blob, "displayName")),
    )


def media_of_file(file: dict[str, Any]) -> Media:
    media_type, uri = text_of(pick(file, "mimeType")), text_of(pick(file, "fileUri"))
    kind = kind_of(media_type) if media_type or not uri.startswith(_FILMS) else "video"
    is_own = uri.startswith(_OWN_FILES)
    return Media(
        kind=kind,
        media_type=media_type,
        file_id=uri if is_own else "",
        url="" if is_own else uri,
        name=text_of(pick(file, "displayName")),
    )


def kind_of(media_type: str) -> str:
    kind = media_type.partition("/")[0]
    return kind if kind in _KINDS else "file"


def plain_base64(data: str) -> str | None:
    """
    `data` in the common alphabet with its padding, without line ends; None if it is no base64.

    Google's JSON takes both alphabets, with and without padding. The end of what is longer than any
    signature is for the provider to judge: for an image of 5 MB looking at all takes 6 ms.
    """
    found = without_spaces(data)
    found = found.translate(_URL_SAFE) if "-" in found or "_" in found else found
    found = found.rstrip("=") if found.endswith("=") else found
    if not found.isascii() or len(found) % 4 == 1:
        return None
    if found[:_JUDGED].encode().translate(None, _ALPHABET):
        return None
    return found + "=" * (-len(found) % 4)


# To Gemini


def media_told(media: Media) -> dict[str, Any] | None:
    """A part that holds `media`; None if Gemini cannot take it as it is."""
    if media.data:
        blob = {"mimeType": type_of(media), "data": media.data}
        return {"inlineData": blob}
    uri = media.file_id or media.url
    if uri.startswith(_OWN_FILES) or (media.url and uri.startswith(_FILMS)):
        typed = {"mimeType": media.media_type} if media.media_type else {}
        return {"fileData": {"fileUri": uri, **typed}}
    return {"text": media.text} if media.text else None


def type_of(media: Media) -> str:
    """The MIME type that the bytes themselves show, or else what was said of them."""
    shown = next((kind for start, kind in _STARTS.items() if media.data.startswith(start)), "")
    if media.data.startswith("UklGR") and media.kind == "image":
        shown = "image/webp"
    usual = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}
    return shown or media.media_type or usual.get(media.kind, "application/pdf")


def call_told(call: ToolCall, signature: str) -> dict[str, Any]:
    told: dict[str, Any] = {"name": call.name, "args": args_of(call)}
    if call.id:
        told = {"id": call.id, **told}
    part: dict[str, Any] = {"functionCall": told}
    return {**part, "thoughtSignature": signature} if signature else part


def args_of(call: ToolCall) -> dict[str, Any]:
    """The arguments as the object that they have to be here, with what is none inside."""
    if call.is_custom:
        return {"input": call.arguments}
    args = None
    if not is_too_deep(call.arguments.encode(errors="surrogatepass")):
        with suppress(ValueError):
            args = bodies.decode_text(call.arguments)
    if isinstance(args, dict):
        return args
    return {"arguments": call.arguments} if call.arguments.strip() else {}


# Seals: Gemini's signatures are bytes, and so base64 where others keep text.


def sealed(thought: Reasoning) -> str:
    return b64encode(sealing.seal(thought).encode()).decode()


def unsealed(signature: str, text: str) -> Reasoning | None:
    """The thought of another protocol that a signature holds; None if it is Google's own."""
    plain = plain_base64(signature) if signature else None
    if plain is None:
        return None
    try:
        opaque = b64decode(plain).decode("ascii")
    except ValueError:
        return None
    return sealing.unseal(opaque, text)


def thought_told(thought: Reasoning) -> list[dict[str, Any]]:
    """Reasoning to a caller: text, and what its maker needs to read it again."""
    if thought.origin == ORIGIN:
        if thought.raw is not None:
            return [thought.raw]
        part: dict[str, Any] = {"text": thought.text}
        if thought.text:
            part["thought"] = True
        if thought.signature:
            part["thoughtSignature"] = thought.signature
        return [part] if len(part) > 1 else []
    if not (thought.text or thought.signature or thought.encrypted):
        return []
    return [{"text": thought.text, "thought": True, "thoughtSignature": sealed(thought)}]
