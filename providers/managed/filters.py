"""Filters of lists in the API: what a query says wrongly is refused, and not passed over."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters.rest_framework as django_filters
from django import forms
from django.db import models

_FLAGS = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}


class FlagField(forms.CharField):
    def clean(self, value: Any) -> bool | None:
        text = super().clean(value)
        if not text:
            return None
        if text not in _FLAGS:
            raise forms.ValidationError("This must be true or false.")
        return _FLAGS[text]


class FlagFilter(django_filters.BooleanFilter):  # type: ignore[misc] # it carries no types
    field_class = FlagField

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput)
        super().__init__(*arguments, **options)


class StrictFilterSet(django_filters.FilterSet):  # type: ignore[misc] # as above
    FILTER_DEFAULTS: ClassVar = {
        **django_filters.FilterSet.FILTER_DEFAULTS,
        models.BooleanField: {"filter_class": FlagFilter},
    }


class Filtering(django_filters.DjangoFilterBackend):  # type: ignore[misc] # as above
    filterset_base = StrictFilterSet
