"""Bodies that are sound, or nearly, and cost as much as can be to read; by protocol and size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS: Final = {
    "openai_chat": "/v1/chat/completions",
    "openai_completions": "/v1/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "anthropic_count_tokens": "/v1/messages/count_tokens",
    "openai_embeddings": "/v1/embeddings",
    "gemini_generate": "/v1beta/models/m:generateContent",
    "gemini_count_tokens": "/v1beta/models/m:countTokens",
}
# Of a string, which is the prompt.
TEXTS: Final[dict[str, bytes]] = {
    "text": b"hello world, ",
    "text beyond ASCII": "žluťoučký kůň ".encode(),
    "markers of base64": b";base64,",
    "line breaks": b"\\n",
    "escaped letters": b"\\u0041",
    "escaped quotes": b'\\"',
    "backslashes": b"\\\\",
    "halves of pairs": b"\\ud800",
    "seals": b'\\"Z3cxL',
}
# Of a list, which stands where the prompt should.
LISTS: Final[dict[str, bytes]] = {
    "numbers": b"1,",
    "short strings": b'"",',
    "marked strings": b'";base64,",',
    "short parts": b'{"type":"text","text":"x"},',
    "pictures": b'{"type":"image_url","image_url":{"url":"data:image/png;base64,x"}},',
    "sources": b'{"type":"image","source":{"type":"base64","data":"x"}},',
    "brackets": b"[],",
    "deep brackets": b"[" * 40 + b"]" * 40 + b",",
}
OTHERS: Final = (
    "turns", "space", "never closed", "a number", "a name", "members", "members of a member",
)  # fmt: skip
NAMES: Final = (*TEXTS, *LISTS, *OTHERS)


def bodies_of(protocol: str, size: int) -> Iterator[tuple[str, bytes]]:
    """(what it is, the body), about `size` bytes each."""
    for name in NAMES:
        yield name, body_of(protocol, name, size)


def body_of(protocol: str, name: str, size: int) -> bytes:
    """The body of this name."""
    if (unit := TEXTS.get(name)) is not None:
        return _with(protocol, b'"' + unit * (size // len(unit)) + b'"')
    if (unit := LISTS.get(name)) is not None:
        return _with(protocol, b"[" + unit * (size // len(unit)) + unit[:-1] + b"]")
    if name == "turns":
        return _with(protocol, b"", turns=size // 32)
    if name == "space":
        return _with(protocol, b" " * size + b'"x"')
    if name == "never closed":
        return _with(protocol, b'"' + b"x" * size)
    if name == "a number":
        return _with(protocol, b'"x"', b',"n":' + b"1" * size)
    if name == "a name":
        return _with(protocol, b'"x"', b',"' + b"x" * size + b'":1')
    many = b",".join(b'"%07d":1' % number for number in range(size // 12))
    return _with(protocol, b'"x"', b"," + many if name == "members" else b',"metadata":{%b}' % many)


def _with(protocol: str, prompt: bytes, more: bytes = b"", turns: int = 0) -> bytes:
    """A body of `protocol` whose prompt, or first turn, is this JSON."""
    if protocol in ("openai_completions", "openai_embeddings"):
        name = b"prompt" if protocol == "openai_completions" else b"input"
        said = (
            b"[%b]" % b",".join([b'"some words to embed, as it is"'] * turns) if turns else prompt
        )
        return b'{"model":"m","%b":%b%b}' % (name, said, more)
    if protocol.startswith("gemini"):
        turn = b'{"role":"user","parts":[{"text":%b}]}'
        head = b'{"contents":'
    else:
        turn = b'{"role":"user","content":%b}'
        name = b"input" if protocol == "openai_responses" else b"messages"
        head = b'{"model":"m","max_tokens":9,"%b":' % name
    said = turn % (prompt or b'"hi"')
    return b"%b[%b]%b}" % (head, b",".join([said] * max(turns, 1)), more)
