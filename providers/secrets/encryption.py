"""
Secrets at rest: tokens of AES-256-GCM under a list of keys, and the files that hold such keys.

A token is bound to its row and destination (providers.secrets.binding). What versions up to 0.1
stored are Fernet tokens, bound to nothing: they are opened, and never made.

Pure Python: the inference workers open tokens with it as well.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from providers.files import write_first
from providers.secrets.binding import HEADER, PROXY, UNBOUND, Binding, BoundToken
from providers.secrets.redaction import UNMISTAKABLE, is_secret_name, known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

KEYS_VARIABLE = "ENCRYPTION_KEYS"
KEYS_FILE = "encryption_keys"
# Of what the keys of tokens are derived for: the same key never serves two purposes.
_PURPOSE: Final = b"switchyard secrets at rest, v2"
_NONCE: Final = 12  # bytes, NIST SP 800-38D section 8.2


class CannotDecrypt(ValueError):
    """The token is damaged, another row's, or was made with a key that is not among ours."""


class Keyring:
    """
    Encrypts with the first key and decrypts with any. Keys are urlsafe base64, newest first.

    `fingerprint` is for comparing hosts: it tells nothing of the keys but whether they are equal.
    """

    __slots__ = ("_ciphers", "_fernet", "_newest", "fingerprint")

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError(f"{KEYS_VARIABLE} holds no key")
        known.remember(*keys)
        self.fingerprint = _fingerprint(keys)
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise ValueError(
                f"{KEYS_VARIABLE} holds something that is no Fernet key"
                " (32 bytes in urlsafe base64)"
            ) from error
        self._ciphers = {_id_of(key)[:8]: _cipher(key) for key in keys}
        self._newest = _id_of(keys[0])[:8]

    def __repr__(self) -> str:
        return "Keyring()"

    def encrypt(self, text: str, binding: Binding = UNBOUND) -> str:
        """A token of `text` that opens only as what it is bound to."""
        _remember(text, binding)
        nonce = secrets.token_bytes(_NONCE)
        raw = self._ciphers[self._newest].encrypt(nonce, text.encode(), binding.authenticated)
        sealed = base64.urlsafe_b64encode(nonce + raw).decode("ascii")
        return str(BoundToken(key_id=self._newest, sealed=sealed, binding=binding))

    def decrypt(self, token: str) -> str:
        """The text in `token`, whatever it is bound to: that is its reader's to compare."""
        bound = BoundToken.read(token)
        try:
            if bound is None:
                text = self._fernet.decrypt(token.encode()).decode()
            else:
                raw = base64.urlsafe_b64decode(bound.sealed)
                cipher = self._ciphers[bound.key_id]
                opened = cipher.decrypt(raw[:_NONCE], raw[_NONCE:], bound.binding.authenticated)
                text = opened.decode()
        except (InvalidToken, InvalidTag, KeyError, ValueError, binascii.Error) as error:
            raise CannotDecrypt(
                f"a secret cannot be decrypted with this host's {KEYS_VARIABLE}"
            ) from error
        _remember(text, bound.binding if bound is not None else UNBOUND)
        return text

    def is_newest(self, token: str) -> bool:
        """Whether `token` was made with the first key."""
        bound = BoundToken.read(token)
        return bound is not None and bound.key_id == self._newest


def opened(token: str, owner: str, decrypt: Callable[[str], str]) -> str:
    """
    The text in `token`, which has to be that of `owner`, or older than bindings.

    Raises CannotDecrypt, and what `decrypt` raises.
    """
    bound = BoundToken.read(token)
    if bound is not None and bound.binding.owner != owner:
        theirs, wanted = (" ".join(b.words) for b in (bound.binding, Binding(owner)))
        raise CannotDecrypt(f"a secret of {theirs or 'nobody'} stands in the place of {wanted}'s")
    return decrypt(token)


def _cipher(key: str) -> AESGCM:
    raw = base64.urlsafe_b64decode(key)
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(raw))


def _remember(text: str, binding: Binding) -> None:
    """Keep `text` out of what is said; an ordinary word in a header would take sense out of it."""
    words = binding.words
    if HEADER in words[3:4]:
        if is_secret_name(words[-1]) or len(text) >= UNMISTAKABLE:
            known.remember(text)
    elif PROXY in words[3:4]:
        known.remember_url(text)
    else:
        known.remember(text)


def _id_of(key: str) -> str:
    return hashlib.sha256(b"switchyard key " + key.encode()).hexdigest()[:16]


def _fingerprint(keys: Sequence[str]) -> str:
    """Of the ids of `keys`, in their order; an id is the key's own digest, cut short."""
    return hashlib.sha256(" ".join(map(_id_of, keys)).encode()).hexdigest()[:12]


def load_keyring(environ: Mapping[str, str], data_dir: Path) -> Keyring:
    """The keyring of ENCRYPTION_KEYS, else of DATA_DIR/encryption_keys, made on first use."""
    text = environ.get(KEYS_VARIABLE, "").strip()
    if not text:
        text = read_or_create(data_dir / KEYS_FILE, lambda: Fernet.generate_key().decode("ascii"))
    return Keyring([key.strip() for key in text.replace("\n", ",").split(",") if key.strip()])


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """
    The stripped text of `path`; if there is no such file, make it with mode 0600.

    Several processes may start at once: exactly one of them makes it, the others read what it
    wrote.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass  # made below
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_first(path, f"{make()}\n".encode())
    return path.read_text(encoding="utf-8").strip()
