"""
Secrets at rest: Fernet tokens under a list of keys, and the files that hold such keys.

Pure Python: the inference workers open tokens with it as well.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from providers.files import write_first
from providers.secrets.redaction import known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

KEYS_VARIABLE = "ENCRYPTION_KEYS"
KEYS_FILE = "encryption_keys"


class CannotDecrypt(ValueError):
    """The token is damaged, or was made with a key that is not among ours."""


class Keyring:
    """
    Encrypts with the first key and decrypts with any. Keys are urlsafe base64, newest first.

    `fingerprint` is for comparing hosts: it tells nothing of the keys but whether they are equal.
    """

    __slots__ = ("_fernet", "fingerprint")

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

    def __repr__(self) -> str:
        return "Keyring()"

    def encrypt(self, text: str) -> str:
        known.remember(text)
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def decrypt(self, token: str) -> str:
        """The text in `token`. Raises CannotDecrypt."""
        try:
            text = self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise CannotDecrypt(
                f"a secret cannot be decrypted with this host's {KEYS_VARIABLE}"
            ) from error
        known.remember(text)
        return text


def _fingerprint(keys: Sequence[str]) -> str:
    """Of the ids of `keys`, in their order; an id is the key's own digest, cut short."""
    ids = [hashlib.sha256(b"switchyard key " + key.encode()).hexdigest()[:16] for key in keys]
    return hashlib.sha256(" ".join(ids).encode()).hexdigest()[:12]


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
