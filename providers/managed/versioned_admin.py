"""
Two editors of one object, in admin: one wins, the other is told, and keeps what they have typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django import forms

from providers.managed.versions import version_of

if TYPE_CHECKING:
    from django.db.models import Model

FIELD: Final = "seen_version"


class VersionedForm(forms.ModelForm):  # type: ignore[type-arg]
    """
    A form that knows which version of its row it was made from.

    The row's `versioned_parts` names the related managers that are edited with it. The version
    goes with the page in a hidden field, which the page's template shows.
    """

    seen_version = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # A table's only row has its number before anybody has saved it.
        stored = self._stored() or (self.instance if self.instance.pk is not None else None)
        if stored is not None:
            self.fields[FIELD].initial = version_of(stored, self._parts())

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        seen = self.data.get(self.add_prefix(FIELD), "")
        stored = self._stored(is_locked=True) if seen else None
        if stored is not None and (now := version_of(stored, self._parts())) != seen:
            # Shown again, the form is of the version that is stored now: a second save means it.
            shown: Any = self.data
            self.data = shown.copy()
            cast("dict[str, Any]", self.data)[self.add_prefix(FIELD)] = now
            raise forms.ValidationError(self._told(stored))
        return cleaned

    def _parts(self) -> tuple[str, ...]:
        return tuple(getattr(type(self.instance), "versioned_parts", ()))

    def _stored(self, *, is_locked: bool = False) -> Model | None:
        """The row as it is stored: the form's own may be an old one, from the history."""
        if self.instance.pk is None:
            return None
        rows = type(self.instance)._default_manager.filter(pk=self.instance.pk)  # noqa: SLF001 - Django documents it
        found: Model | None = (rows.select_for_update() if is_locked else rows).first()
        return found

    def _told(self, stored: Model) -> str:
        history = getattr(stored, "history", None)
        last = history.first() if history is not None else None
        who = "someone else"
        if last is not None:
            who = str(last.history_user or last.history_change_reason or who)
        when = f" at {last.history_date:%H:%M:%S} UTC" if last is not None else ""
        differing = [
            f"{self.fields[name].label or name} is now {_shown(stored, name)}"
            for name in self.changed_data
            if name in self.fields and name != FIELD and _differs(self, stored, name)
        ]
        values = f" What you changed: {'; '.join(differing)}." if differing else ""
        return (
            f"While you were editing, {who} saved this{when}. Nothing of yours was saved, and"
            f" nothing that you typed is lost.{values} Save again to put yours in its place."
        )


def _differs(form: forms.ModelForm[Any], stored: Model, name: str) -> bool:
    return hasattr(stored, name) and getattr(stored, name) != form.cleaned_data.get(name)


def _shown(stored: Model, name: str) -> str:
    value = getattr(stored, name)
    return "empty" if value in ("", None, [], {}) else str(value)
