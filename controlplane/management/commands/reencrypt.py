"""`manage.py reencrypt`: after a new key was put before the others, and before those go."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from providers.models import Credential, Provider
from providers.rebinding import bind_stored
from providers.saying.counting import counted
from providers.secrets.encryption import KEYS_VARIABLE
from providers.secrets.renewing import renew


class Command(BaseCommand):
    help = f"Encrypt every stored secret anew with the first of {KEYS_VARIABLE}."

    def handle(self, *_args: Any, **_options: Any) -> None:
        bind_stored(Provider, Credential)
        told = renew()
        self.stdout.write(
            f"{counted(told.renewed, 'secret was', 'secrets were')} encrypted anew;"
            f" {told.current} had the newest key already"
        )
        if told.lost:
            places = ", ".join(told.lost)
            raise CommandError(
                f"none of {KEYS_VARIABLE} opens {places}: enter them again, or add their key"
            )
