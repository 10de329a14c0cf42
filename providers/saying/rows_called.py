"""
What the foot of a list calls its rows: `{{ cl|rows_called }}`, in number with them.

An admin whose model's names are no such words has words of its own: `rows_called`, one and many.
"""

from __future__ import annotations

from typing import Any, Final

from django.template import Library

register: Final = Library()


@register.filter
def rows_called(changes: Any) -> str:
    names = changes.opts
    usual = names.verbose_name, names.verbose_name_plural
    one, many = getattr(changes.model_admin, "rows_called", usual)
    return str(one if changes.result_count == 1 else many)
