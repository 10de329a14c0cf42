"""A text column that holds Fernet tokens, and the value that stands for one in Python."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from providers.secrets.encryption import Keyring, load_keyring

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@cache
def keyring() -> Keyring:
    """This process's keyring."""
    return load_keyring(os.environ, settings.DATA_DIR)


class EncryptedText:
    """
    A secret as it is stored: `token` is its Fernet token ("" for none); `reveal()` opens it.

    It never shows its content by accident: str() and repr() say nothing. It is opened only on
    demand, so a row whose key is lost can still be listed, replaced and deleted.
    """

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        self.token = token

    @classmethod
    def of(cls, text: str) -> EncryptedText:
        """`text`, encrypted with the newest key."""
        return cls(keyring().encrypt(text) if text else "")

    def reveal(self) -> str:
        """The plain text. Raises CannotDecrypt."""
        return keyring().decrypt(self.token) if self.token else ""

    def __bool__(self) -> bool:
        return bool(self.token)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncryptedText) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)

    def __str__(self) -> str:
        return "••••••••" if self.token else ""

    def __repr__(self) -> str:
        return "EncryptedText(…)" if self.token else "EncryptedText('')"


class _EncryptOnAssignment:
    """Turns a plain string into an EncryptedText at the moment it is assigned to the row."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, row: models.Model | None, owner: type[models.Model] | None = None) -> Any:
        if row is None:
            return self
        if self.name not in row.__dict__:  # deferred, as after .only()
            row.refresh_from_db(fields=[self.name])
        return row.__dict__[self.name]

    def __set__(self, row: models.Model, value: str | EncryptedText | None) -> None:
        row.__dict__[self.name] = EncryptedText.of(value) if isinstance(value, str) else value


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """
    Assign plain text; read an EncryptedText (`.token`, `.reveal()`); the database holds the token.

    Saving an untouched row writes the same token again. Fixtures carry tokens.
    """

    empty_values = [None, "", EncryptedText("")]  # noqa: RUF012 - as Django declares it

    def contribute_to_class(
        self,
        cls: type[models.Model],
        name: str,
        private_only: bool = False,
    ) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _EncryptOnAssignment(self.attname))

    def from_db_value(
        self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper
    ) -> EncryptedText | None:
        return None if value is None else EncryptedText(value)

    def to_python(self, value: Any) -> Any:
        return EncryptedText(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, str):
            value = EncryptedText.of(value)
        return value.token if isinstance(value, EncryptedText) else value

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return value.token if isinstance(value, EncryptedText) else ""
