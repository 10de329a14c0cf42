"""
One message to one address: posted or mailed, within SEND_S, no redirect followed.

Each kind of address has one sender; what it answered is what an operator needs to know of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.core.mail import EmailMessage

from controlplane.alerts.addresses import EMAIL, mailed, posted
from controlplane.validation import SIGNED, SLACK
from providers.adapters.address import address_of
from providers.errors import ProviderError
from providers.secrets.redaction import known, safe_text
from providers.transport.outside import exchange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from controlplane.alerts.addresses import AlertAddress, Message

SEND_S: Final = 5.0
CONNECT_S: Final = 3.0
KEPT: Final = 200  # characters of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Whether it was taken, and what the receiver said, in words without secrets."""

    is_taken: bool
    said: str


async def send(address: AlertAddress, message: Message, within_s: float = SEND_S) -> Receipt:
    """Never raises for what a receiver does."""
    if address.problem:
        return Receipt(is_taken=False, said=address.problem)
    try:
        async with asyncio.timeout(within_s):
            return await SENDERS[address.kind](address, message)
    except TimeoutError:
        return Receipt(is_taken=False, said=f"no answer within {within_s:g} s")


async def _post(address: AlertAddress, message: Message) -> Receipt:
    try:
        status, body = await _exchange(address, message)
    except (ProviderError, ValueError) as error:
        said = str(error) or type(error).__name__
        return Receipt(is_taken=False, said=_safe(said, address))
    said = _safe(body.decode("utf-8", "replace").strip(), address)
    words = f"answered {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        words = f"answered {status}; redirects are not followed"
    return Receipt(is_taken=200 <= status < 300, said=words)


async def _exchange(address: AlertAddress, message: Message) -> tuple[int, bytes]:
    known.remember(address.target, address.secret)
    # A proxy would connect to what it likes: with a guard there is none.
    trusts_proxy = not address.is_guarded
    to = address_of(address.target, proxy="", trust_env_proxy=trusts_proxy, environ=os.environ)
    path = to.path or b"/"
    if address.target.partition("?")[0].endswith("/") and not path.endswith(b"/"):
        path += b"/"
    headers, body = posted(address, message, int(time.time()))
    deadline = asyncio.get_running_loop().time() + SEND_S
    async with exchange(
        to.endpoint,
        b"POST " + path + to.query,
        {"host": to.host.decode(), "content-type": "application/json", **headers},
        body,
        is_guarded=address.is_guarded,
        connect_s=CONNECT_S,
        deadline=deadline,
    ) as response:
        try:
            first = await response.read(deadline)
        except ProviderError:
            first = b""  # the status says enough
        return response.status, first[: 4 * KEPT]


async def _mail(address: AlertAddress, message: Message) -> Receipt:
    subject, text = mailed(message)
    mail = EmailMessage(subject, text, to=[address.target])
    try:
        # The mail server has as long as EMAIL_TIMEOUT; what is late is not waited for.
        await asyncio.to_thread(mail.send)
    except Exception as error:  # noqa: BLE001 - whatever a mail library raises
        said = f"{type(error).__name__}: {error}"
        return Receipt(is_taken=False, said=_safe(said, address))
    return Receipt(is_taken=True, said="handed to the mail server")


def _safe(said: str, address: AlertAddress) -> str:
    return safe_text(known.redact(said), [address.target, address.secret])[:KEPT]


SENDERS: Final[Mapping[str, Callable[[AlertAddress, Message], Awaitable[Receipt]]]] = {
    SIGNED: _post,
    SLACK: _post,
    EMAIL: _mail,
}
