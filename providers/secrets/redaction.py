"""
Keeps secrets out of what this process says: by value where it knows them, by shape otherwise.

Whoever decrypts, encrypts or reads a secret has it remembered; routing.gateway.telemetry.logs takes
all of them out of every log record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

from providers.errors import MESSAGE_LIMIT

REDACTED: Final = "[redacted]"
# Keys of the common vendors, masked ones ("sk-ab****cd") too, JSON web tokens, and bearer words.
KEY_SHAPES: Final = re.compile(
    r"\b(?:(?:sk|rk|pk|xai|nvapi|pplx|csk|sess)-|(?:gsk|hf|sy|tgp|fw)_)[\w*.\u2026-]{8,}"
    r"|\bAIza[\w-]{10,}|\beyJ[\w-]{8,}\.[\w.-]+|(?<=[Bb]earer )[^\s\"']{6,}"
)
# In a long text this is looked for first: the pattern takes a hundred times as long.
_SHAPE_SIGNS: Final = (
    *[f"{prefix}-" for prefix in ("sk", "rk", "pk", "xai", "nvapi", "pplx", "csk", "sess")],
    *[f"{prefix}_" for prefix in ("gsk", "hf", "sy", "tgp", "fw")],
    "AIza", "eyJ", "earer ",
)  # fmt: skip
SHORTEST: Final = 6  # less is a word like "none", which would take sense out of the logs
UNMISTAKABLE: Final = 16  # no part of another word
LONG_ENOUGH: Final = 8  # for a provider's key to be looked for in what the provider says
REMEMBERED: Final = 200_000
# Where a key may begin and end: ours hold only these characters, configured ones may hold more.
_TOKENS: Final = tuple(
    re.compile(pattern) for pattern in (r"[\w-]{12,}", r"[^\s\"',;=]{8,}", r"[^\s\"',;=/?&:]{8,}")
)
_SECRET_NAMES: Final = re.compile(r"auth|cookie|key|pass|secret|token", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a name, such as that of a header, says that its value is a secret."""
    return bool(_SECRET_NAMES.search(name))


class Secrets:
    """
    Every secret that this process has met.

    A text is searched once, however many there are: by the first characters of each. `digests`
    are SHA-256 of keys that are known by their digest alone (the callers' keys).
    """

    def __init__(self) -> None:
        self.digests: Container[bytes] = frozenset()
        self._by_head: dict[str, tuple[str, ...]] = {}
        self._count = 0

    def remember(self, *texts: str) -> None:
        """Take each of `texts` out of what is said from now on, and its usual escapes as well."""
        for text in texts:
            for form in {text, quote(text, safe=""), repr(text)[1:-1]}:
                self._add(form)

    def remember_url(self, url: str) -> None:
        """The password in `url`, if there is one."""
        try:
            password = urlsplit(url).password
        except ValueError:
            return  # no URL: whoever needs it will say so
        if password:
            self.remember(password)

    def remember_named(self, values: Iterable[tuple[str, str]]) -> None:
        """The values whose names say that they are secret, such as a header `x-api-key`."""
        self.remember(*(value for name, value in values if is_secret_name(name)))

    def _add(self, text: str) -> None:
        found = self._by_head.get(text[:SHORTEST], ())
        if len(text) < SHORTEST or text in found or self._count >= REMEMBERED:
            return
        self._by_head[text[:SHORTEST]] = tuple(sorted((*found, text), key=len, reverse=True))
        self._count += 1

    def redact(self, text: str) -> str:
        """`text` without secrets."""
        if self._by_head:
            text = self._without_known(text)
        if self.digests:
            for tokens in _TOKENS:
                text = tokens.sub(self._unless_a_key, text)
        if any(sign in text for sign in _SHAPE_SIGNS):
            text = KEY_SHAPES.sub(REDACTED, text)
        return text

    def _without_known(self, text: str) -> str:
        heads = self._by_head
        # Mostly none is there, and to look for some hundred takes less time than what follows.
        if len(heads) < 400 and not any(head in text for head in heads):
            return text
        pieces: list[str] = []
        start = at = 0
        while at <= len(text) - SHORTEST:
            candidates = heads.get(text[at : at + SHORTEST])
            secret = candidates and next((s for s in candidates if text.startswith(s, at)), None)
            if secret:
                pieces += (text[start:at], REDACTED)
                start = at = at + len(secret)
            else:
                at += 1
        return "".join((*pieces, text[start:])) if pieces else text

    def _unless_a_key(self, found: re.Match[str]) -> str:
        token = found[0]
        is_key = sha256(token.encode("utf-8", "replace")).digest() in self.digests
        return REDACTED if is_key else token


known: Final = Secrets()


def safe_text(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` for operators and callers: no keys, no control characters, at most 500 characters."""
    text = without(text, forms_of(secrets))
    # Bounded before the pattern runs, with room for what the pattern shortens.
    text = KEY_SHAPES.sub(REDACTED, text[: 4 * MESSAGE_LIMIT])
    if not text.isprintable():
        text = "".join(map(_escaped, text))
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


def forms_of(secrets: Sequence[str]) -> list[str]:
    """How `secrets` may stand in a text, the longest first; shorter ones would be mere words."""
    long = [secret for secret in secrets if len(secret) >= LONG_ENOUGH]
    return sorted({f for s in long for f in (s, quote(s, safe=""))}, key=len, reverse=True)


def places(text: str, forms: Sequence[str]) -> list[tuple[int, int]]:
    """Where one of `forms` stands: a long one anywhere, a shorter one as a whole token."""
    if not any(form in text for form in forms):
        return []
    either = "|".join(map(_expression, forms))
    return [found.span() for found in re.finditer(either, text)]


def _expression(form: str) -> str:
    found = re.escape(form)
    return found if len(form) >= UNMISTAKABLE else rf"(?<![\w-]){found}(?![\w-])"


def without(text: str, forms: Sequence[str]) -> str:
    """`text` without `forms`."""
    for start, end in reversed(places(text, forms)):
        text = text[:start] + REDACTED + text[end:]
    return text


def _escaped(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
