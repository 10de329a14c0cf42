"""What a member of staff must be allowed to see, to see the entry of a page in the menu."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from django.http import HttpRequest

# Of the pages that are no list of a model's rows; a test compares them with what the pages ask.
PAGES: Final = {
    "admin:index": (),
    "pools-now": ("routing.view_canonicalmodel",),
    "explain": ("routing.view_canonicalmodel",),
    "try-it": ("routing.view_canonicalmodel", "controlplane.add_requestrecord"),
    "processes": ("controlplane.view_hostreport",),
    "jobs": ("controlplane.view_job",),
    "alert-addresses": ("controlplane.view_webhook",),
    "configuration": ("controlplane.view_revision",),
    "docs": (),
    "api-docs": (),
}
_LIST: Final = re.compile(r"admin:([a-z]+)_([a-z]+)_changelist")


def needs(name: str) -> tuple[str, ...]:
    """The permissions of the page with this name."""
    if found := _LIST.fullmatch(name):
        return (f"{found[1]}.view_{found[2]}",)
    return PAGES[name]


def may_open(request: HttpRequest, name: str) -> bool:
    """Whether who asks may open the page."""
    return bool(request.user.has_perms(needs(name)))
