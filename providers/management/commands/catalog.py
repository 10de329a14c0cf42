"""`manage.py catalog`: look into the catalogue of model facts, import into it, refresh it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from providers.catalog.imports import FORMATS
from providers.saying.counting import counted

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable, Iterator
    from datetime import date

    from providers.catalog.imports import Read

SHOWN = 20


class Command(BaseCommand):
    help = "The catalogue of model facts: windows, capabilities, prices, retirement."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        read = actions.add_parser(
            "import", help="take facts from a JSON file; they win over those that are shipped"
        )
        read.add_argument("file")
        read.add_argument("--format", required=True, choices=sorted(FORMATS))
        read.add_argument(
            "--vendor", action="append", default=[], help="only this vendor's; may be repeated"
        )
        show = actions.add_parser("show", help="what is known of a model, and by whom")
        show.add_argument("model", help="vendor/model, for example openai/gpt-4o")
        actions.add_parser(
            "refresh",
            help="maintainers: write providers/catalog/prices.json from the genai-prices package",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        today = timezone.now().date()
        match options["action"]:
            case "import":
                self._import(Path(options["file"]), options["format"], options["vendor"], today)
            case "show":
                self._show(options["model"])
            case _:
                self._refresh(today)

    def _import(self, path: Path, shape: str, vendors: list[str], today: date) -> None:
        from providers.catalog_rows import store  # noqa: PLC0415 - the others need no database

        source = f"{shape} file {path.name}"[:300]
        try:
            content = msgspec.json.decode(path.read_bytes())
            reads = list(FORMATS[shape](content, source))
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise CommandError(f"{path}: {error}") from error
        report = store(_of(reads, vendors), source=source, as_of=today)
        for title, names in (("added", report.added), ("changed", report.changed)):
            self._tell(title, names)
        for title, told in (("skipped", report.skipped), ("refused", report.refused)):
            for line in told[:SHOWN] if title == "skipped" else told:
                self.stderr.write(f"{title}: {line}")
        counts = ", ".join(
            f"{len(names)} {title}"
            for title, names in (
                ("added", report.added),
                ("changed", report.changed),
                ("unchanged", report.unchanged),
                ("skipped", report.skipped),
                ("refused", report.refused),
            )
        )
        self.stdout.write(f"{path.name}: {counts}")
        if report.refused:
            what = counted(len(report.refused), "model was", "models were")
            raise CommandError(f"{what} refused; the others are in", returncode=1)

    def _tell(self, title: str, names: list[str]) -> None:
        for name in names[:SHOWN]:
            self.stdout.write(f"{title}: {name}")
        if len(names) > SHOWN:
            self.stdout.write(f"{title}: … and {len(names) - SHOWN} more")

    def _show(self, name: str) -> None:
        from providers.catalog_rows import lookup  # noqa: PLC0415 - the others need no database

        vendor, _, model = name.partition("/")
        known = lookup(timezone.now()).known(vendor, model, {})
        if not known.matched:
            raise CommandError(f"{name} is not in the catalogue")
        for fact, value in sorted(known.values.items()):
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            self.stdout.write(f"{fact}: {shown}  ({known.sources[fact]})")

    def _refresh(self, today: date) -> None:
        from providers.catalog.refresh import PACKAGE, refresh  # noqa: PLC0415 - maintainers only

        try:
            content = refresh(today)
        except ImportError as error:
            raise CommandError(f"install the package {PACKAGE} first: {error}") from error
        models = counted(len(content.models), "model")
        self.stdout.write(f"{models} from {next(iter(content.sources))}")


def _of(reads: Iterable[Read], vendors: list[str]) -> Iterator[Read]:
    return (read for read in reads if not vendors or read.name.partition("/")[0] in vendors)
