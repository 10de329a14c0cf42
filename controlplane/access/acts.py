"""
The table of rights: each act that could make somebody stronger, and what it needs.

Plain viewing, adding, changing and deleting of one object needs Django's permission of that name.
Here stands what needs more than that, or less than one might think. A test walks it, by role, act
and surface; docs/access.md shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    `needs` are staff's permissions; with none of them named, no staff may, only superusers and
    keys with the admin scope.
    """

    says: str
    needs: tuple[str, ...] = ()


_REVISION: Final = "controlplane.add_revision"
ACTS: Final[dict[str, Act]] = {
    "make a key": Act(says="Make a key for inference", needs=("controlplane.add_apikey",)),
    "make an admin key": Act(says="Make a key with the admin scope"),
    "limit a key": Act(says="Change a key for inference", needs=("controlplane.change_apikey",)),
    "promote a key": Act(says="Give a key the admin scope"),
    "wake an admin key": Act(says="Enable an admin key again, or have it end later"),
    "weaken an admin key": Act(
        says="Disable an admin key, or take its scope", needs=("controlplane.change_apikey",)
    ),
    "rotate a key": Act(
        says="Give a key for inference another text", needs=("controlplane.change_apikey",)
    ),
    "rotate an admin key": Act(says="Give an admin key another text"),
    "delete an admin key": Act(says="Delete an admin key", needs=("controlplane.delete_apikey",)),
    "write a provider's key": Act(
        says="Enter another key of a provider",
        needs=("providers.change_provider", "providers.change_credential"),
    ),
    "add a provider's key": Act(
        says="Add a key to a provider",
        needs=("providers.change_provider", "providers.add_credential"),
    ),
    "confirm a provider's keys": Act(
        says="Let a provider's stored keys and headers go to its new address",
        needs=("providers.view_provider", "providers.change_credential"),
    ),
    "apply a pool": Act(
        says="Apply a configuration that adds a pool",
        needs=(_REVISION, "routing.add_canonicalmodel"),
    ),
    "apply settings": Act(
        says="Apply a configuration that changes settings",
        needs=(_REVISION, "controlplane.change_settings"),
    ),
    "apply an admin key": Act(says="Apply a configuration that adds a key with the admin scope"),
    "apply a provider's key": Act(
        says="Apply a configuration that adds a provider with a key",
        needs=(_REVISION, "providers.add_provider", "providers.add_credential"),
    ),
    "roll back a pool": Act(
        says="Go back to a revision by which a pool changes",
        needs=(_REVISION, "routing.change_canonicalmodel"),
    ),
    "roll back an admin key": Act(says="Go back to a revision by which a key gets the admin scope"),
    "accept a suggestion": Act(
        says="Accept a suggestion about a pool",
        needs=("controlplane.change_suggestion", "routing.change_canonicalmodel"),
    ),
    "change a webhook": Act(
        says="Have alerts go elsewhere", needs=("controlplane.change_webhook",)
    ),
    "change a weaker account": Act(
        says="Change an account that may do nothing that one may not", needs=("auth.change_user",)
    ),
    "give a permission one has": Act(
        says="Give an account a permission that one has",
        needs=("auth.change_user", "providers.view_provider"),
    ),
    "give a permission one lacks": Act(says="Give an account a permission that one lacks"),
    "give a group one exceeds": Act(
        says="Put an account into a group whose permissions one has",
        needs=("auth.change_user", "providers.view_provider"),
    ),
    "give a group that exceeds one": Act(says="Put an account into a group that may do more"),
    "make a superuser": Act(says="Make an account a superuser"),
    "set a stronger account's password": Act(
        says="Set the password of an account that may do more, or rename, disable or enable it"
    ),
    "delete a stronger account": Act(says="Delete an account that may do more"),
    "widen a group": Act(says="Give a group a permission that one lacks"),
}


def as_table() -> str:
    """The table of docs/access.md."""
    lines = ["| act | staff need |", "|---|---|"]
    lines += [
        f"| {act.says} | {', '.join(f'`{name}`' for name in act.needs) or 'no staff may'} |"
        for act in ACTS.values()
    ]
    return "\n".join(lines)
