"""An operator's word that stored secrets may go where their provider is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

if TYPE_CHECKING:
    from providers.models import Provider

# Why a provider cannot be called, as a part of a sentence.
UNCONFIRMED: Final = (
    "its key or headers were entered for another address or proxy, and have to be confirmed"
)


@transaction.atomic
def confirm(row: Provider, destination: str | None = None) -> None:
    """
    Let its keys and headers go where it is now.

    Raises ValueError with words if that is not `destination`, or if one cannot be decrypted.
    """
    if destination is not None and destination != row.destination:
        raise ValueError(f"its address is {row.destination} now, so nothing was confirmed")
    if names := row.unconfirmed_headers:
        anew = {name: row.headers[name].bound_anew() for name in names}
        row.headers = {**row.headers, **anew}
        row.save()
    for credential in row.credentials.all():
        if not credential.is_confirmed:
            credential.secret = credential.secret.bound_anew()
            credential.save()
