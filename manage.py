#!/usr/bin/env python
"""Django's command line for Switchyard."""

from __future__ import annotations

import os
import sys


def main() -> None:
    if sys.argv[1:2] != ["makemigrations"]:  # which writes sources, for everybody to read
        os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    if sys.argv[1:2] == ["serve"]:
        # The parent of a host starts processes, and no applications: a second of CPU time less.
        from controlplane.management.commands.serve import Command

        Command().run_from_argv(sys.argv)
        return
    if sys.argv[1:2] in (["control"], ["worker"]):
        os.environ["SWITCHYARD_PAGES"] = "off"  # none of them are theirs: 20 MB of memory less
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
