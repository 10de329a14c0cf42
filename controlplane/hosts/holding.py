"""What a row holds of a secret once a text has given it: the stored token, as long as it may."""

from __future__ import annotations

from controlplane.hosts.peers import refuse_to_take_secrets
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import EncryptedText, keyring


def kept_or_new(stored: EncryptedText | None, text: str, to: str) -> EncryptedText | str:
    """
    What the row shall hold: the stored token, as long as it stands for the same text.

    Where the text stands, it is entered: it is bound anew if its destination is another now.
    """
    if not text:
        return EncryptedText("")
    if not stored or not holds(stored, text) or stored.bound is None:
        return text
    return stored if stored.bound.destination == to else text


def holds(token: EncryptedText, text: str) -> bool:
    """Whether a stored secret is that text."""
    try:
        return bool(token.reveal() == text)
    except CannotDecrypt:
        refuse_to_take_secrets(keyring().fingerprint)
        return False  # made with a key that is lost: encrypt the text anew
