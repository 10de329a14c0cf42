"""Which entries of admin's menu somebody sees: those whose page would let them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


def may_open(name: str, *permissions: str) -> Callable[[HttpRequest], bool]:
    """
    For the page of that URL name. The list of a table asks the table's admin; any other page needs
    all of `permissions`.
    """
    if permissions or not name.endswith("_changelist"):
        return lambda request: bool(request.user.has_perms(permissions))
    label, model = name.removeprefix("admin:").removesuffix("_changelist").split("_", 1)
    return lambda request: _may_list(label, model, request)


def _may_list(label: str, model: str, request: HttpRequest) -> bool:
    from django.contrib import admin  # noqa: PLC0415 - settings come before it

    shown = admin.site.get_model_admin(apps.get_model(label, model))
    return shown.has_view_permission(request)
