"""How headers and proxies that hold secrets are shown, and taken back from who was shown them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from providers.destinations import origin_of
from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import MASK, EncryptedText

if TYPE_CHECKING:
    from collections.abc import Mapping

UNREADABLE: Final = "cannot be read"


def unmasked(given: Any, stored: Mapping[str, EncryptedText]) -> Any:
    """
    Headers as they were given, with what is stored in place of each mask.

    Raises ValueError with words if nothing is stored there. What is no object is left as it is.
    """
    if not isinstance(given, dict):
        return given
    if lost := [name for name, text in given.items() if text == MASK and name not in stored]:
        names = ", ".join(map(str, lost))
        raise ValueError(f"{names}: {MASK} keeps a stored value, and none is stored; enter it")
    return {name: stored[name] if text == MASK else text for name, text in given.items()}


def shown_proxy(stored: Any) -> str:
    """A stored proxy's address without its password."""
    if not isinstance(stored, EncryptedText):
        return ""
    try:
        return masked_proxy(stored.reveal())
    except CannotDecrypt:
        return UNREADABLE


def masked_proxy(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
    except ValueError:
        return MASK
    user, host = parts.netloc.rpartition("@")[0].partition(":")[0], parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{MASK}@{host}"))


def kept_proxy(given: str, stored: EncryptedText | None) -> EncryptedText | str:
    """
    What the row shall hold after somebody was shown `stored` and gave `given`.

    Raises ValueError with words where the mask stands for another user's password, or would go to
    another proxy.
    """
    if stored and given == shown_proxy(stored):
        return stored
    try:
        parts = urlsplit(given)
        if parts.password != MASK:
            return given
        known = urlsplit(stored.reveal() if stored else "")
    except ValueError:
        return given  # no address: the model says so
    is_same = known.username == parts.username and origin_of(known.geturl()) == origin_of(given)
    if known.password is None or not is_same:
        raise ValueError(
            f"{MASK} keeps the password of the same user at the same proxy: enter the password"
        )
    user, host = known.netloc.rpartition("@")[0], parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))
