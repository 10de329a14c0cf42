"""
Every stored secret encrypted anew with the first of this host's keys, so that the others may go.

What it is bound to stays as it is, and so does its text: nothing becomes confirmed by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction

from providers.secrets.encryption import CannotDecrypt
from providers.secrets.fields import (
    EncryptedText,
    EncryptedTextField,
    EncryptedTexts,
    EncryptedTextsField,
    keyring,
)

if TYPE_CHECKING:
    from django.db.models import Model


@dataclass(slots=True, kw_only=True)
class Renewed:
    """How many were renewed or new already; `lost`: what none of the keys opens, by its place."""

    renewed: int = 0
    current: int = 0
    lost: list[str] = field(default_factory=list)


@transaction.atomic
def renew() -> Renewed:
    told = Renewed()
    for model in apps.get_models():
        names = [
            column.attname
            for column in model._meta.concrete_fields  # noqa: SLF001 - Django documents it
            if isinstance(column, EncryptedTextField | EncryptedTextsField)
        ]
        if names:
            _renew_rows(model, names, told)
    return told


def _renew_rows(model: type[Model], names: list[str], told: Renewed) -> None:
    # Not by save(): nobody has edited anything, so there is nothing to note or to keep.
    rows = model._default_manager  # noqa: SLF001 - Django documents it
    for row in rows.select_for_update().order_by("pk"):
        place = f"{model._meta.verbose_name} {row}"  # noqa: SLF001 - as above
        anew = {name: _anew(getattr(row, name), f"{place} ({name})", told) for name in names}
        changed = {name: value for name, value in anew.items() if value is not None}
        if changed:
            rows.filter(pk=row.pk).update(**changed)


def _anew(stored: Any, place: str, told: Renewed) -> EncryptedText | EncryptedTexts | None:
    """None where nothing changes."""
    if not isinstance(stored, EncryptedTexts):
        return _text_anew(stored, place, told)
    found = {name: _text_anew(text, f"{place} {name}", told) for name, text in stored.items()}
    if not any(found.values()):
        return None
    return EncryptedTexts({name: found[name] or text for name, text in stored.items()})


def _text_anew(stored: EncryptedText, place: str, told: Renewed) -> EncryptedText | None:
    if not stored:
        return None
    if keyring().is_newest(stored.token):
        told.current += 1
        return None
    if stored.bound is None:
        told.lost.append(place)
        return None
    try:
        text = keyring().decrypt(stored.token)
    except CannotDecrypt:
        told.lost.append(" ".join(stored.bound.words))
        return None
    told.renewed += 1
    return EncryptedText(keyring().encrypt(text, stored.bound))
