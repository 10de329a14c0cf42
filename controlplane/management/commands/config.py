"""`manage.py config check [FILE]`: what is wrong with a configuration, before it is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from controlplane.config_file import VARIABLE, ConfigErrors, read

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from controlplane.config_document import Document


class Command(BaseCommand):
    help = "Checks the configuration file and the failover variables. Needs no database."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="check")
        check = actions.add_parser("check", help="name every mistake; exit 1 if there is one")
        check.add_argument(
            "file", nargs="?", default="", help=f"a YAML file; without it, that of {VARIABLE}"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        filename = options["file"] or os.environ.get(VARIABLE, "").strip()
        if not filename:
            raise CommandError(f"name a file, or set {VARIABLE}")
        try:
            document = read({**os.environ, VARIABLE: filename})
        except ConfigErrors as error:
            for line in error.errors:
                self.stderr.write(line)
            count = len(error.errors)
            raise CommandError(
                f"{count} mistake{'s' if count != 1 else ''}", returncode=1
            ) from None
        for warning in document.warnings:
            self.stdout.write(f"warning: {warning}")
        self.stdout.write(f"{filename}: good; {_summary(document)}")


def _summary(document: Document) -> str:
    blocks = document.blocks
    pools = blocks.routing.model_pools
    counts = {
        "provider": len(blocks.providers),
        "pool": len(pools),
        "candidate": sum(len(pool.candidates) for pool in pools.values()),
        "alias": len(blocks.aliases) + sum(len(pool.aliases) for pool in pools.values()),
        "rule": len(document.rules),
        "key": sum(1 for key in blocks.keys if key.key),
    }
    plurals = {"alias": "aliases"}
    return ", ".join(
        f"{count} {noun if count == 1 else plurals.get(noun, noun + 's')}"
        for noun, count in counts.items()
    )
