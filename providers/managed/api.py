"""What the API of all configuration objects shares: validation, sources, parts in order."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as ModelError
from django.db import IntegrityError, models, transaction
from django.http import Http404
from rest_framework import serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.settings import api_settings

from providers.managed.models import IS_CONFIG, ManagedModel, ManagedSource, cautions_of
from providers.managed.pages import PagesIfAsked
from providers.managed.values import values_of
from providers.managed.versioned_api import VersionedViews

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import Model, QuerySet
    from rest_framework.request import Request

MOST_ENTRIES = 1_000  # of a list: candidates of a pool, models of a key
MANAGED_FIELDS = ("managed_source", "is_shadowed", "created_at", "updated_at", "warnings")


def as_api_error(error: ModelError) -> ValidationError:
    """What full_clean() said, in the API's shape."""
    if not hasattr(error, "error_dict"):
        return ValidationError({api_settings.NON_FIELD_ERRORS_KEY: error.messages})
    return ValidationError(
        {
            api_settings.NON_FIELD_ERRORS_KEY if field == NON_FIELD_ERRORS else field: messages
            for field, messages in error.message_dict.items()
        }
    )


def refuse_unknown(data: Any, fields: Mapping[str, serializers.Field[Any, Any, Any, Any]]) -> None:
    """
    Raise ValidationError if a body has a field that does not exist: a typo would change nothing.

    What only answers have may stand in a body, so that an answer can be sent back.
    """
    unknown = sorted(set(data) - set(fields)) if isinstance(data, Mapping) else []
    if unknown:
        allowed = ", ".join(name for name, field in fields.items() if not field.read_only)
        said = [f"There is no such field; allowed are {allowed}."]
        raise ValidationError(dict.fromkeys(map(str, unknown), said))


def refuse_too_many(data: Any) -> None:
    """Raise ValidationError for a list that is longer than any of ours may be, before its entries
    are looked at one by one."""
    lists = data.items() if isinstance(data, Mapping) else ()
    if wrong := {
        str(name): [f"{len(value):,} are too many; at most {MOST_ENTRIES:,} are allowed"]
        for name, value in lists
        if isinstance(value, list) and len(value) > MOST_ENTRIES
    }:
        raise ValidationError(wrong)


def refuse_config(row: Any) -> None:
    if row.is_managed_by_config:
        raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [IS_CONFIG]})


class OrderSerializer(serializers.Serializer[Any]):
    """A body that is no row: what is to be done, or a name."""

    def to_internal_value(self, data: Any) -> Any:
        refuse_unknown(data, self.fields)
        refuse_too_many(data)
        return super().to_internal_value(data)


class NumberField(serializers.FloatField):
    """A number and nothing else: Python takes true for 1."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class MomentField(serializers.DateTimeField):
    """A time. What is in UTC, as databases tell it, needs no way through the time zones."""

    def to_representation(self, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is UTC:
            return f"{value.replace(tzinfo=None).isoformat()}Z"
        return super().to_representation(value)


class CleanSerializer(serializers.ModelSerializer[Any]):
    """
    Saves nothing that the model's full_clean() refuses.

    `parts` names nested lists, which are validated by their own serializers. `parent` is the
    foreign key that a part does not have yet while it is validated. `ignored` are fields of other
    answers that may be sent back as they are.
    """

    parts: tuple[str, ...] = ()
    parent_field: str | None = None
    ignored: tuple[str, ...] = ()
    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.FloatField: NumberField,
        models.DateTimeField: MomentField,
    }

    class Meta:
        abstract = True

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """The same as the base class has, without its long way to each value of each row."""
        told: dict[str, Any] = {}
        for name, source, field in self._told:
            try:
                value = getattr(instance, source) if source else field.get_attribute(instance)
            except serializers.SkipField:
                continue
            told[name] = None if value is None else field.to_representation(value)
        return told

    @cached_property
    def _told(self) -> list[tuple[str, str, Any]]:
        """
        The fields of an answer, each with the attribute that is its value.

        There is none where the field has a way of its own: to what is not of the model's class, or
        is called.
        """
        told: list[tuple[str, str, Any]] = []
        for name, field in self.fields.items():
            if field.write_only:
                continue
            source = str(field.source)
            is_own = type(field).get_attribute is not serializers.Field.get_attribute
            found = getattr(self.Meta.model, source, None)
            told.append((name, "" if is_own or found is None or callable(found) else source, field))
        return told

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            data = {name: value for name, value in data.items() if name not in self.ignored}
        refuse_unknown(data, self.fields)
        refuse_too_many(data)
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        row = copy.copy(self.instance) if self.instance else self.Meta.model()
        own = {name: value for name, value in attrs.items() if name not in self.parts}
        for name, value in own.items():
            setattr(row, name, value)
        self.before_clean(row)
        try:
            row.full_clean(exclude=[self.parent_field] if self.parent_field else None)
        except ModelError as error:
            raise as_api_error(error) from error
        # clean() trims; what it made of a value is what is saved.
        return attrs | {name: getattr(row, name) for name in own}

    def before_clean(self, row: Any) -> None:
        """Give the would-be row what the body does not carry."""


class Cautions(serializers.ListField):
    """What is legal about a row, and does less than it seems to. Only in the answer to a write."""

    child = serializers.CharField()

    def get_attribute(self, instance: Any) -> list[str]:
        if self.context["request"].method in SAFE_METHODS:
            raise serializers.SkipField  # a list would pay with a query a row, or more
        return cautions_of(instance)


class ManagedSerializer(CleanSerializer):
    """One dashboard row with its parts. A config row of the same name refuses the write."""

    managed_source = serializers.ChoiceField(choices=ManagedSource.choices, read_only=True)
    is_shadowed = serializers.BooleanField(read_only=True)
    warnings = Cautions(read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        identity = self.Meta.model.identity
        if self.instance is None:
            twin = self.Meta.model(**{identity: attrs[identity]}).config_twins().first()
            if twin is not None:
                refuse_config(twin)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Any:
        parts = self._take_parts(validated_data)
        with transaction.atomic():
            row = self.Meta.model(**validated_data)
            self.save_row(row)
            self._save_parts(row, parts)
        return row

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        parts = self._take_parts(validated_data)
        with transaction.atomic():
            for name, value in validated_data.items():
                setattr(instance, name, value)
            self.save_row(instance)
            self._save_parts(instance, parts)
        return instance

    def save_row(self, row: Any) -> None:
        """Save, noting in the change history which key did it (people are noted by Django)."""
        holder = getattr(self.context["request"].auth, "name", "")
        row._change_reason = f"API: {holder}" if holder else "API"  # noqa: SLF001 - simple_history's
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError as error:
            # Valid when it was checked: another request was quicker.
            said = "Someone else saved this at the same time; look at it and try again."
            raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [said]}) from error

    def _take_parts(self, data: dict[str, Any]) -> dict[str, Any]:
        return {name: data.pop(name) for name in self.parts if name in data}

    def _save_parts(self, row: Any, parts: Mapping[str, Any]) -> None:
        for name, wanted in parts.items():
            part: Any = self.fields[name]
            replace_parts(getattr(row, name), part.child.identity, wanted)
        # What was prefetched is no longer true.
        row._prefetched_objects_cache = {}  # noqa: SLF001 - Django offers no other way


def replace_parts(stored: Any, identity: tuple[str, ...], wanted: Iterable[dict[str, Any]]) -> None:
    """
    Make the rows of a related manager equal to `wanted`, in that order.

    Rows of the same identity stay the same rows, so that what a body leaves out (a secret) is
    kept, and the change history tells only of changes.
    """
    rows = {tuple(getattr(row, name) for name in identity): row for row in stored.all()}
    for position, values in enumerate(wanted):
        row = rows.pop(tuple(values[name] for name in identity), None)
        target: Model = stored.model(**{stored.field.name: stored.instance}) if row is None else row
        new = {**values, "position": position}
        if row is not None and all(getattr(row, name) == value for name, value in new.items()):
            continue
        for name, value in new.items():
            setattr(target, name, value)
        target.save()
    for row in rows.values():
        row.delete()


def refuse_twice(parts: Iterable[dict[str, Any]], identity: tuple[str, ...], field: str) -> None:
    """Raise ValidationError if two parts have one identity."""
    seen = set()
    for part in parts:
        name = tuple(part[key] for key in identity)
        if name in seen:
            raise ValidationError({field: [f"{'/'.join(name)} is listed twice"]})
        seen.add(name)


class SlashOrNoneRouter(SimpleRouter):
    """Routes that work with and without a trailing slash, and redirect neither way."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


class ManagedViewSet(VersionedViews, viewsets.ModelViewSet[Any]):
    """
    Configuration objects by name.

    A name stands for the row that counts: the configuration's if there is one, unless the query
    says `managed_source=dashboard`.
    """

    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    filterset_fields: Any = ("managed_source", "enabled")
    pagination_class: Any = PagesIfAsked
    permission_model: type[ManagedModel]
    permission_verbs: tuple[str, ...] = ()
    permission_names: tuple[str, ...] = ()
    open_to_config: tuple[str, ...] = ()  # actions that change nothing
    prefetched: tuple[str, ...] = ()
    is_listed_by_values = False  # where its answer has nothing but what is stored

    def list(self, request: Request) -> Response:
        del request
        rows = self.filter_queryset(self.get_queryset())
        page: Any = self.paginate_queryset(rows)
        if page is not None:
            return self.get_paginated_response(self.get_serializer(page, many=True).data)
        kind: Any = self.get_serializer_class()
        whole = values_of(rows, kind.parts) if self.is_listed_by_values else rows
        return Response(self.get_serializer(whole, many=True).data)

    def get_queryset(self) -> QuerySet[Any]:
        model = self.permission_model
        rows = model.with_shadowed(model.rows()).prefetch_related(*self.prefetched)
        return rows.order_by(model.identity, "managed_source")

    def get_object(self) -> Any:
        # "config" sorts before "dashboard", so the first is the one that counts.
        name = {self.permission_model.identity: self.kwargs[self.lookup_field]}
        row = self.filter_queryset(self.get_queryset()).filter(**name).first()
        if row is None:
            raise Http404
        self.check_object_permissions(self.request, row)
        if self.request.method not in SAFE_METHODS and self.action not in self.open_to_config:
            refuse_config(row)
        return row

    def perform_destroy(self, instance: Any) -> None:
        if problems := instance.deletion_problems():
            raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: problems})
        instance.delete()
