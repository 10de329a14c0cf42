"""`manage.py config`: a configuration as text, checked, compared, applied, written, taken back."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.management.base import BaseCommand, CommandError

from controlplane.config.document import counts_of, read_text, reason_of
from controlplane.config.file import VARIABLE, read
from controlplane.config.yaml import ConfigErrors
from providers.secrets.encryption import CannotDecrypt

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator

    from controlplane.config.changes import Changeset

WOULD_CHANGE = 2


class Command(BaseCommand):
    help = (
        "Configuration as code. Exit codes: 0 done, or nothing differs; 1 there are mistakes, and"
        f" nothing has changed; {WOULD_CHANGE} diff and --preview: something would change."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        check = actions.add_parser("check", help="name every mistake; needs no database")
        check.add_argument(
            "file", nargs="?", default="", help=f"a YAML file; without it, that of {VARIABLE}"
        )
        diff = actions.add_parser("diff", help="what apply would change; changes nothing")
        diff.add_argument("file", help="a YAML file, - for standard input")
        apply = actions.add_parser("apply", help="make admin's objects what a file says")
        apply.add_argument("file", help="a YAML file, - for standard input")
        export = actions.add_parser("export", help="write everything, secrets as references")
        export.add_argument("file", nargs="?", default="-", help="without it, standard output")
        history = actions.add_parser("revisions", help="what was published, newest first")
        history.add_argument("number", nargs="?", type=int, help="all of this one")
        back = actions.add_parser("rollback", help="make admin's objects what they were")
        back.add_argument("number", type=int, help="of a revision")
        back.add_argument("--preview", action="store_true", help="only tell what would change")
        undo = actions.add_parser("undo", help="take back what one revision changed")
        undo.add_argument("number", type=int, help="of a revision")
        undo.add_argument("--preview", action="store_true", help="only tell what would change")
        for changing in (apply, back, undo):
            changing.add_argument("--reason", default="", help="kept with the revision")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except ConfigErrors as error:
            self._refuse(error)
        except CannotDecrypt as error:
            raise CommandError(str(error)) from error

    def _refuse(self, error: ConfigErrors) -> NoReturn:
        for line in error.errors:
            self.stderr.write(line)
        count = len(error.errors)
        raise CommandError(f"{count} mistake{'s' if count != 1 else ''}", returncode=1) from None

    def _check(self, options: dict[str, Any]) -> None:
        filename = options["file"] or os.environ.get(VARIABLE, "").strip()
        if not filename:
            raise CommandError(f"name a file, or set {VARIABLE}")
        document = read({**os.environ, VARIABLE: filename})
        for warning in document.warnings:
            self.stdout.write(f"warning: {warning}")
        self.stdout.write(f"{filename}: good; {counts_of(document)}")

    def _diff(self, options: dict[str, Any]) -> None:
        self._show(self._applied(options, is_preview=True), is_preview=True)

    def _apply(self, options: dict[str, Any]) -> None:
        self._show(self._applied(options, is_preview=False), is_preview=False)

    def _applied(self, options: dict[str, Any], *, is_preview: bool) -> Changeset:
        from controlplane.config.apply import apply_text  # noqa: PLC0415 - checking needs no rows
        from controlplane.edits.noting import as_author  # noqa: PLC0415 - as above

        name = "standard input" if options["file"] == "-" else options["file"]
        try:
            text = sys.stdin.read() if options["file"] == "-" else read_text(Path(name))
        except (OSError, ValueError) as error:
            raise CommandError(f"{name} cannot be read: {reason_of(error)}") from error
        with self._telling(), as_author("command", _who(), options.get("reason", "")):
            return apply_text(text, filename=name, environ=os.environ, is_preview=is_preview)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What this host's processes said of an edit: it is saved, but who asked must know."""
        from controlplane.edits.poke import hearing  # noqa: PLC0415 - as above

        with hearing() as heard:
            yield
        for told in heard:
            self.stderr.write(f"warning: {told}")

    def _export(self, options: dict[str, Any]) -> None:
        from controlplane.config.objects import collect, effective  # noqa: PLC0415 - as above
        from controlplane.config.text import text_of  # noqa: PLC0415 - as above

        text = text_of(effective(collect()))
        if options["file"] == "-":
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["file"]).write_text(text, encoding="utf-8")
        except OSError as error:
            words = f"{options['file']} cannot be written: {reason_of(error)}"
            raise CommandError(words) from error

    def _revisions(self, options: dict[str, Any]) -> None:
        from controlplane.edits.models import Revision  # noqa: PLC0415 - as above
        from controlplane.revisions import history  # noqa: PLC0415 - as above

        if options["number"] is None:
            for row in Revision.objects.defer("packed")[:50]:
                self.stdout.write(row.line)
            return
        try:
            row = history.revision_of(options["number"])
        except history.NoSuchRevision as error:
            raise CommandError(str(error)) from error
        self.stdout.write(row.line)
        for edit in history.edits_of(row):
            self.stdout.write(f"  {edit.line}")
        for change in history.changes_of(row):
            self.stdout.write(change.text)

    def _rollback(self, options: dict[str, Any]) -> None:
        from controlplane.revisions.returning import roll_back  # noqa: PLC0415 - as above

        self._go_back(options, roll_back)

    def _undo(self, options: dict[str, Any]) -> None:
        from controlplane.revisions.returning import undo  # noqa: PLC0415 - as above

        self._go_back(options, undo)

    def _go_back(self, options: dict[str, Any], way: Callable[..., Changeset]) -> None:
        from controlplane.edits.noting import as_author  # noqa: PLC0415 - as above
        from controlplane.revisions.history import NoSuchRevision  # noqa: PLC0415 - as above

        is_preview = options["preview"]
        try:
            with self._telling(), as_author("command", _who()):
                outcome = way(options["number"], reason=options["reason"], is_preview=is_preview)
        except NoSuchRevision as error:
            raise CommandError(str(error)) from error
        self._show(outcome, is_preview=is_preview)

    def _show(self, outcome: Changeset, *, is_preview: bool) -> None:
        for change in outcome.changes:
            self.stdout.write(change.text)
        for told in outcome.notes:
            self.stdout.write(f"note: {told}")
        if not outcome.changes:
            self.stdout.write("nothing differs")
        elif is_preview:
            sys.exit(WOULD_CHANGE)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a user id without a name, as in a container
