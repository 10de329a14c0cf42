"""
Columns that hold tokens, and the values that stand for their texts in Python.

What such a column is bound to (providers.secrets.binding), its row says by `binding_for(column)`,
which gives the Binding of a column, or of the column and a name in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.conf import settings
from django.db import models

from providers.secrets.binding import UNBOUND, Binding, binding_of, is_token
from providers.secrets.encryption import CannotDecrypt, Keyring, load_keyring, opened

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

MASK: Final = "•••"


@cache
def keyring() -> Keyring:
    """This process's keyring."""
    return load_keyring(os.environ, settings.DATA_DIR)


class EncryptedText:
    """
    A secret as it is stored: `token` ("" for none); `reveal()` opens it.

    Where it was entered and not saved yet, it has no token: it gets one of its row's. It never
    shows its content by accident: str() and repr() say nothing. It is opened only on demand, so a
    row whose key is lost can still be listed, replaced and deleted.
    """

    __slots__ = ("_name", "_row", "_text", "token")

    def __init__(self, token: str, *, text: str = "") -> None:
        self.token = token
        self._text = text
        self._row: Any = None
        self._name: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> EncryptedText:
        """`text`, which is encrypted when its row is saved."""
        return cls("", text=text)

    def in_row(self, row: models.Model, *name: str) -> EncryptedText:
        """The same as the value of a row's column, which it may be opened as."""
        value = EncryptedText(self.token, text=self._text)
        value._row, value._name = row, name
        return value

    @property
    def is_new(self) -> bool:
        """Whether it was entered and not saved yet."""
        return bool(self._text)

    @property
    def bound(self) -> Binding | None:
        """What it was bound to when it was stored; None for a new one, or one of long ago."""
        return binding_of(self.token)

    def reveal(self) -> str:
        """The plain text. Raises CannotDecrypt."""
        if self._text or not self.token:
            return self._text
        if self._row is None:
            return keyring().decrypt(self.token)
        return opened(self.token, self._own.owner, keyring().decrypt)

    def told(self) -> str:
        """The plain text; "" where it cannot be decrypted."""
        try:
            return self.reveal()
        except CannotDecrypt:
            return ""

    def stored(self) -> EncryptedText:
        """With a token: of its row as it is now, if it is new."""
        if not self._text:
            return self
        binding = UNBOUND if self._row is None else self._own
        return EncryptedText(keyring().encrypt(self._text, binding)).in_row(self._row, *self._name)

    def bound_anew(self) -> EncryptedText:
        """Entered again, as it were: bound to its row as it is now. Raises CannotDecrypt."""
        return EncryptedText.of(self.reveal()).in_row(self._row, *self._name)

    def moved_to(self, owner: str) -> EncryptedText:
        """For its row under another name; it may go where it might before. Raises CannotDecrypt."""
        to = self.bound.destination if self.bound is not None else ""
        return EncryptedText(keyring().encrypt(self.reveal(), Binding(owner, to)))

    @property
    def _own(self) -> Binding:
        binding: Binding = getattr(self._row, "binding_for", lambda *_name: UNBOUND)(*self._name)
        return binding

    def __bool__(self) -> bool:
        return bool(self.token or self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EncryptedText) and (other.token, other._text) == (
            self.token,
            self._text,
        )

    def __hash__(self) -> int:
        return hash(self.token)

    def __str__(self) -> str:
        return "••••••••" if self else ""

    def __repr__(self) -> str:
        return "EncryptedText(…)" if self else "EncryptedText('')"


class EncryptedTexts(Mapping[str, EncryptedText]):
    """Secrets by their names, which are none. str() shows the names."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, EncryptedText]) -> None:
        self._texts = dict(texts)

    @classmethod
    def of(cls, texts: Mapping[str, Any]) -> EncryptedTexts:
        """Of plain strings and of what is stored already, mixed."""
        return cls(
            {
                name: EncryptedText.of(text) if isinstance(text, str) else text
                for name, text in texts.items()
            }
        )

    def in_row(self, row: models.Model, column: str) -> EncryptedTexts:
        return EncryptedTexts(
            {name: text.in_row(row, column, name) for name, text in self._texts.items()}
        )

    def stored(self) -> EncryptedTexts:
        return EncryptedTexts({name: text.stored() for name, text in self._texts.items()})

    def tokens(self) -> dict[str, str]:
        return {name: text.token for name, text in self._texts.items()}

    def revealed(self) -> dict[str, str]:
        """Raises CannotDecrypt."""
        return {name: text.reveal() for name, text in self._texts.items()}

    def masked(self) -> dict[str, str]:
        """As it may be shown."""
        return dict.fromkeys(self._texts, MASK)

    def __getitem__(self, name: str) -> EncryptedText:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._texts == dict(other)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._texts)))

    def __str__(self) -> str:
        return json.dumps(self.masked(), ensure_ascii=False)

    def __repr__(self) -> str:
        return f"EncryptedTexts({sorted(self._texts)})"


class _OnAssignment:
    """Turns what is assigned to a row into the value of its column, at that moment."""

    def __init__(self, field: EncryptedTextField | EncryptedTextsField) -> None:
        self.field, self.name = field, field.attname

    def __get__(self, row: models.Model | None, owner: type[models.Model] | None = None) -> Any:
        if row is None:
            return self
        if self.name not in row.__dict__:  # deferred, as after .only()
            row.refresh_from_db(fields=[self.name])
        return row.__dict__[self.name]

    def __set__(self, row: models.Model, value: Any) -> None:
        row.__dict__[self.name] = self.field.in_row(row, value)


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
        setattr(cls, self.attname, _OnAssignment(self))

    def in_row(self, row: models.Model, value: Any) -> Any:
        if isinstance(value, str):
            value = EncryptedText.of(value)
        return value.in_row(row, self.attname) if isinstance(value, EncryptedText) else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if isinstance(value, EncryptedText) and value.is_new:
            value = value.stored()
            setattr(model_instance, self.attname, value)
        return value

    def from_db_value(
        self, value: str | None, _expression: Any, _connection: BaseDatabaseWrapper
    ) -> EncryptedText | None:
        return None if value is None else EncryptedText(value)

    def to_python(self, value: Any) -> Any:
        return EncryptedText(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, str):
            value = EncryptedText.of(value)
        return value.stored().token if isinstance(value, EncryptedText) else value

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return value.token if isinstance(value, EncryptedText) else ""


class _Masking(json.JSONEncoder):
    """For pages that show the value as JSON."""

    def default(self, o: Any) -> Any:
        return o.masked() if isinstance(o, EncryptedTexts) else super().default(o)


class _MaskedJSON(forms.JSONField):
    """Shows masks; what stands for them, the form's own clean() puts back."""

    def prepare_value(self, value: Any) -> Any:
        return super().prepare_value(value.masked() if isinstance(value, EncryptedTexts) else value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        shown = initial.masked() if isinstance(initial, EncryptedTexts) else initial
        return super().has_changed(shown, data)


class EncryptedTextsField(models.JSONField):
    """
    A JSON object of strings whose values are secrets, and whose names are not.

    Assign plain strings; read EncryptedTexts; the database holds the names with tokens. What is
    no object of strings is kept as it is, for the model to refuse.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.encoder = _Masking

    def deconstruct(self) -> Any:
        name, path, arguments, options = super().deconstruct()
        return name, path, arguments, {n: o for n, o in options.items() if n != "encoder"}

    def contribute_to_class(
        self,
        cls: type[models.Model],
        name: str,
        private_only: bool = False,
    ) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _OnAssignment(self))

    def in_row(self, row: models.Model, value: Any) -> Any:
        if isinstance(value, Mapping) and all(
            isinstance(name, str) and isinstance(text, str | EncryptedText)
            for name, text in value.items()
        ):
            return EncryptedTexts.of(value).in_row(row, self.attname)
        return value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if isinstance(value, EncryptedTexts) and any(text.is_new for text in value.values()):
            value = value.stored()
            setattr(model_instance, self.attname, value)
        return value

    def from_db_value(
        self, value: Any, expression: Any, connection: BaseDatabaseWrapper
    ) -> EncryptedTexts | None:
        found = super().from_db_value(value, expression, connection)
        return None if found is None else _read(found)

    def to_python(self, value: Any) -> Any:
        """Of a fixture, whose values are tokens; anything else is left as it is."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return value
        is_stored = isinstance(value, dict) and all(
            isinstance(text, str) and is_token(text) for text in value.values()
        )
        return _read(value) if is_stored else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Mapping) and not isinstance(value, EncryptedTexts):
            value = EncryptedTexts.of(value)
        return value.stored().tokens() if isinstance(value, EncryptedTexts) else value

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        return super().get_db_prep_value(
            value if prepared else self.get_prep_value(value), connection, prepared=True
        )

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        if not isinstance(value, EncryptedTexts):
            super().validate(value, model_instance)

    def formfield(self, **options: Any) -> Any:
        return super().formfield(**{"form_class": _MaskedJSON, **options})

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return json.dumps(
            value.tokens() if isinstance(value, EncryptedTexts) else value, sort_keys=True
        )


def _read(stored: Any) -> EncryptedTexts:
    """What the database holds; a value of before it was encrypted is none yet."""
    return EncryptedTexts({str(name): EncryptedText(str(text)) for name, text in stored.items()})
