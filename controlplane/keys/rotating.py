"""Another text for a key, while the one before goes on opening for some time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from controlplane.access.reach import gain_problems
from controlplane.models import ApiKey
from routing.gateway.auth import new_key

if TYPE_CHECKING:
    from providers.managed.rights import Rights

LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=1)


def rotate(row: ApiKey, overlap: timedelta, rights: Rights, reason: str = "") -> str:
    """
    The new text of `row`, which opens from now on, as the one before does for `overlap` more.

    Who gets a key's text may do what the key may: it takes the rights of who makes such a key.
    Raises PermissionDenied.
    """
    if problems := gain_problems(rights, None, row):
        said = "; ".join(f"{field}: {' '.join(p)}" for field, p in problems.items())
        raise PermissionDenied(said)
    text = new_key()
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().get(pk=row.pk)
        locked.former_digest = locked.digest if overlap else ""
        locked.former_until = timezone.now() + overlap if overlap else None
        locked.set_key(text)
        locked._change_reason = reason or "rotated"  # type: ignore[attr-defined] # noqa: SLF001 - simple_history's
        locked.save()
    row.refresh_from_db()
    return text
