"""What the admin pages of all configuration objects share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.validators import MinValueValidator
from django.db.models import PositiveIntegerField
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse, reverse_lazy
from django.utils.html import format_html_join
from django.utils.text import capfirst, format_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
)

from providers.managed.block_field import INHERITED, TIMES, BlockField, plain, statuses_in
from providers.managed.models import ManagedModel, cautions_of, inherited, uses_of
from providers.managed.versioned_admin import VersionedForm
from providers.validation import secret_problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import Field, Model, QuerySet
    from django.http import HttpRequest, HttpResponse

    from providers.managed.block_field import BlockMembers
    from providers.secrets.fields import EncryptedText


class ManagedForm(VersionedForm):
    """A form that checks a name against the other rows of its source, though it shows no source."""

    def _get_validation_exclusions(self) -> set[str]:
        return super()._get_validation_exclusions() - {"managed_source"}  # type: ignore[misc,no-any-return]


LOOKED_AT: Final = 50  # objects of a list that is deleted: a page of it
FORM_ERRORS: Final = "switchyard/form_errors.js"
KNOWN: Final = "switchyard/known.js"  # fills in the names that fields with known_attrs() ask for


def known_attrs(of: str) -> dict[str, Any]:
    """For a field that proposes names while somebody types: `of` is what they are names of."""
    return {"data-known": format_lazy("{}?of={}", reverse_lazy("known-names"), of)}


class LinesField(forms.CharField):
    """
    A list of strings, one a line; blank lines are dropped and blanks around an entry, too.

    `known`: what the entries may be names of; they are proposed by the script KNOWN.
    """

    widget = UnfoldAdminTextareaWidget

    def __init__(self, *, known: str = "", **options: Any) -> None:
        self._known = known
        super().__init__(**options)

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        known = known_attrs(self._known) if self._known else {}
        return {**super().widget_attrs(widget), "rows": 5, "spellcheck": "false", **known}

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != list(self.to_python(data))

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise forms.ValidationError("At least one entry is needed.")

    def run_validators(self, value: Any) -> None:
        """The model checks the entries."""


class StatusesField(forms.CharField):
    """HTTP statuses between commas."""

    def prepare_value(self, value: Any) -> Any:
        return plain(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return statuses_in(value or "")

    def validate(self, value: Any) -> None:
        """No status at all is allowed: then none is gone on after."""

    def run_validators(self, value: Any) -> None:
        """The model checks the statuses."""


class SecretField(forms.CharField):
    """Takes a secret and never gives one: blank keeps the stored one."""

    def __init__(self, **options: Any) -> None:
        options["widget"] = UnfoldAdminPasswordWidget(
            render_value=False,
            attrs={"autocomplete": "new-password", "placeholder": "blank keeps the stored one"},
        )
        super().__init__(required=False, **options)

    def has_changed(self, initial: Any, data: Any) -> bool:  # noqa: ARG002 - Django's signature
        return bool(data)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if problems := secret_problems(text):
            raise forms.ValidationError(problems)
        return text

    @staticmethod
    def kept(form: forms.ModelForm[Any], name: str) -> str | EncryptedText:
        """What the row shall hold after `form`. Raises ValidationError if there is nothing."""
        stored = getattr(form.instance, name)
        text = form.cleaned_data[name]
        if not text and not stored:
            raise forms.ValidationError("A key is needed.")
        kept: str | EncryptedText = text or stored
        return kept


class PrettyJson(json.JSONEncoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2, "sort_keys": False, "ensure_ascii": False})


class OrderedFormSet(PaginationInlineFormSet):
    """Puts new rows that say nothing of their position behind the others."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        row = "new" if index is None else str(index + 1)
        for name, field in form.fields.items():
            # The column's heading is the field's label for eyes alone.
            field.widget.attrs.setdefault("aria-label", f"{field.label or name}, row {row}")

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        live = [form for form in self.forms if not self._should_delete_form(form)]
        places = [form.cleaned_data.get("position") for form in live if form.cleaned_data]
        last = max((place for place in places if place is not None), default=-1)
        for form in live:
            if form.cleaned_data and form.cleaned_data.get("position") is None:
                last += 1
                form.instance.position = last


class FittingFields:
    """For pages with numbers and blocks: counts whose least is 1 say so, and a block is fields."""

    blocks: ClassVar[Mapping[str, BlockMembers]] = {"timeouts": TIMES}
    _inherits = True  # from the settings
    _folds = False  # blocks, into one line
    _unsaid = INHERITED  # what a folded block says of a member that it does not have

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        if isinstance(db_field, PositiveIntegerField):
            least = [v.limit_value for v in db_field.validators if isinstance(v, MinValueValidator)]
            options.setdefault("min_value", max(least, default=0))
        if members := self.blocks.get(db_field.name):
            told = inherited_of(request) if self._inherits else {}
            return BlockField(
                members,
                inherited={**told, **told.get("timeouts", {})},
                is_folded=self._folds,
                unsaid=self._unsaid,
                label=capfirst(db_field.verbose_name) + (" (seconds)" if members is TIMES else ""),
                help_text="Empty: what stands in the field.",
            )
        return super().formfield_for_dbfield(db_field, request, **options)  # type: ignore[misc]


class ManagedInline(FittingFields, TabularInline):
    """Rows of a configuration object: as much theirs to edit as the object is."""

    formset = OrderedFormSet
    extra = 0
    _inherits, _folds = False, True
    ordering_field = "position"
    # Widths of the columns' fields; the others take what is left.
    widths: ClassVar[Mapping[str, str]] = {"position": "3.5rem"}

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == self.ordering_field:
            field.initial, field.required = None, False
        if field is not None and db_field.name in self.widths:
            field.widget.attrs["style"] = f"min-width: {self.widths[db_field.name]}"
        return field

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_config(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_config(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_config(obj) and super().has_delete_permission(request, obj)


def inherited_of(request: HttpRequest) -> dict[str, Any]:
    """What the settings say, read once for a page."""
    found: dict[str, Any] | None = getattr(request, "inherited", None)
    if found is None:
        found = request.inherited = inherited()  # type: ignore[attr-defined] # kept for its other fields
    return found


class HistoryAdmin(FittingFields, ModelAdmin):
    """A page whose history is the revisions of its object: there is one way back."""

    list_per_page = 50

    class Media:
        js = [FORM_ERRORS]

    delete_confirmation_template = "admin/delete_uses.html"
    delete_selected_confirmation_template = "admin/delete_selected_uses.html"

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Both confirmations ask this, and show `request.uses`: what would lose the objects."""
        found = [(row, uses_of(row)) for row in objs[:LOOKED_AT]]
        request.uses = [(row, uses) for row, uses in found if uses]  # type: ignore[attr-defined]
        return super().get_deleted_objects(objs, request)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        del extra_context  # there is no page to put it into
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        # By its name: the control plane's pages stand above this room.
        name = getattr(row, getattr(row, "identity", "name"), "")
        names = [self.opts.label_lower, *([name] if name else [])]
        return HttpResponseRedirect(reverse("admin:controlplane_revision_of", args=names))


class ManagedAdmin(HistoryAdmin):
    """Dashboard rows can be edited; the configuration's can only be looked at."""

    form = ManagedForm
    change_form_before_template = "admin/managed_note.html"
    change_form_after_template = "admin/change_reason.html"
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model.with_shadowed(super().get_queryset(request))
        return rows

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_config(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _is_config(obj) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        fixed = list(super().get_readonly_fields(request, obj))
        if obj is not None and self.model.is_referred_to_by_name:
            fixed.append(self.model.identity)
        return fixed

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if isinstance(field, forms.JSONField):
            field.encoder = PrettyJson
            field.widget.attrs["rows"] = 3
        if isinstance(field, forms.NullBooleanField):
            as_told = self._as_in_the_settings(db_field, request)
            field.widget.choices = [("unknown", as_told), ("true", "yes"), ("false", "no")]
        elif isinstance(field, forms.TypedChoiceField) and db_field.blank:
            as_told = self._as_in_the_settings(db_field, request)
            choices: Any = field.choices
            field.choices = [(v, as_told if v == "" else words) for v, words in choices]
        return field

    def _as_in_the_settings(self, db_field: Field[Any, Any], request: HttpRequest) -> str:
        """What an empty field means, with the value that counts then."""
        value = inherited_of(request).get(db_field.name)
        if value is None:
            return "as in the settings"
        words = dict(db_field.flatchoices).get(value, value)
        words = {True: "yes", False: "no"}.get(words, words) if isinstance(words, bool) else words
        return f"{words}, from the settings"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if "_continue" in request.POST:
            return  # the form, which comes back, shows them
        for caution in cautions_of(form.instance):
            messages.warning(request, caution)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *arguments: Any, **options: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None and request.method == "GET":
            context["cautions"] = cautions_of(row)
        response: HttpResponse = super().render_change_form(request, context, *arguments, **options)
        return response

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        for row in objs:
            protected += [f"{row}: {problem}" for problem in row.deletion_problems()]
        return deleted, counts, missing - self._names_of_parts(), protected

    def _names_of_parts(self) -> set[str]:
        """What goes with its object: who may delete that needs no right of its own for it."""
        relations = (getattr(self.model, name).rel for name in self.model.versioned_parts)
        return {str(relation.related_model._meta.verbose_name) for relation in relations}  # noqa: SLF001 - Django's own API

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        problems = row.deletion_problems() if row else []
        if problems and not row.is_managed_by_config:
            messages.error(request, f"{row} is still in use. {' '.join(problems)}")
            return HttpResponseRedirect("../change/")
        response: HttpResponse = super().delete_view(request, object_id, extra_context)
        return response

    @display(
        description="managed by",
        ordering="managed_source",
        label={"configuration": "info", "dashboard": "default", "shadowed": "warning"},
    )
    def source(self, row: ManagedModel) -> tuple[str, str] | str:
        if row.is_managed_by_config:
            return "configuration"
        return ("shadowed", "shadowed by configuration") if row.is_shadowed else "dashboard"

    @display(
        description="status",
        ordering="enabled",
        label={"enabled": "success", "disabled": "danger"},
    )
    def status(self, row: Any) -> str:
        return "enabled" if row.enabled else "disabled"


def _is_config(row: Model | None) -> bool:
    return isinstance(row, ManagedModel) and row.is_managed_by_config


class ReadOnly:
    """For tables that the control plane writes."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


def lines(texts: Any) -> str:
    """Texts below one another, or a dash."""
    return format_html_join("", "<div>{}</div>", ((text,) for text in texts)) or "none"
