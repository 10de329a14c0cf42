"""
Admin of users and groups, of which nobody makes one that is stronger than himself.

Whoever may change users gives only what he has himself: his permissions, and groups that have no
others. An account that may do more than he, a superuser above all, he sees and does not touch: not
its password, nor its address, nor whether it is active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from providers.managed.rights import rights_of

if TYPE_CHECKING:
    from django.db.models import Field, QuerySet
    from django.http import HttpRequest

    from providers.managed.rights import Rights


def permissions_of(user: User) -> set[str]:
    """Those of an account, whether it is active or not: it may be again."""
    rows = Permission.objects.filter(user=user) | Permission.objects.filter(group__user=user)
    return named(rows)


def named(permissions: QuerySet[Permission]) -> set[str]:
    pairs = permissions.order_by().values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in pairs}


def is_stronger(user: User, rights: Rights) -> bool:
    """Whether an account may do what the holder of `rights` may not."""
    if rights.is_all:
        return False
    return user.is_superuser or bool(rights.lacking(permissions_of(user)))


def givable(rights: Rights) -> QuerySet[Permission]:
    rows = Permission.objects.select_related("content_type")
    if rights.is_all:
        return rows
    names = {row.pk: f"{row.content_type.app_label}.{row.codename}" for row in rows}
    own = [pk for pk, name in names.items() if name in rights.permissions]
    return rows.filter(pk__in=own)


def givable_groups(rights: Rights) -> QuerySet[Group]:
    if rights.is_all:
        return Group.objects.all()
    foreign = Permission.objects.exclude(pk__in=givable(rights).values("pk"))
    return Group.objects.exclude(permissions__in=foreign)


class _OwnChoices:
    """Offers permissions and groups that somebody has himself; a form refuses the others."""

    def formfield_for_manytomany(
        self, db_field: Field[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        rights = rights_of(request)
        if db_field.name in {"permissions", "user_permissions"}:
            options["queryset"] = givable(rights)
        if db_field.name == "groups":
            options["queryset"] = givable_groups(rights)
        return super().formfield_for_manytomany(db_field, request, **options)  # type: ignore[misc]


class UserAdmin(_OwnChoices, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc] # as below
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_per_page = 50

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = [*super().get_readonly_fields(request, obj)]
        return fixed if rights_of(request).is_all else [*fixed, "is_superuser"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


class GroupAdmin(_OwnChoices, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc] # unfold carries no types
    list_per_page = 50

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


def _may_touch(request: HttpRequest, row: User | Group | None) -> bool:
    rights = rights_of(request)
    if row is None:
        return True
    if isinstance(row, Group):
        return rights.may(*named(row.permissions.all()))
    return not is_stronger(row, rights)
