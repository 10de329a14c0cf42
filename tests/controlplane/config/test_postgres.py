"""Two hosts, and two editors, at one PostgreSQL."""

from __future__ import annotations

import socket
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.support.gateways import ROOT, environment, manage

if TYPE_CHECKING:
    from pathlib import Path

HOST = dedent(
    """\
    import sys
    from pathlib import Path

    import django

    django.setup()
    from controlplane.config.document import parse
    from controlplane.config.mirror import mirror
    from controlplane.publishing.publisher import publish
    from routing.models import CanonicalModel

    host, folder = sys.argv[1:]
    document = parse("providers: {a: {kind: openai, api_key: k}}", filename="c", environ={})
    for number in range(8):
        mirror(document)
        CanonicalModel.objects.create(name=f"{host}-{number}")
        print(publish(Path(folder)).generation)
    """
)


def test_hosts_that_share_a_database_agree_on_one_row_of_numbers(
    postgres_url: str, tmp_path: Path
) -> None:
    env = environment(
        tmp_path, DATABASE_URL=postgres_url, DJANGO_SETTINGS_MODULE="controlplane.settings"
    )
    manage("migrate", "--verbosity", "0", env=env)
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, host, str(tmp_path / host)],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for host in ("one", "two")
    ]  # fmt: skip
    generations = []
    for host in hosts:
        out, err = host.communicate(timeout=120)
        assert host.returncode == 0, err
        given = [int(line) for line in out.split()]
        assert given == sorted(given)
        generations.append(given)
    # Each host's last snapshot holds all that it made; the last of all holds everything.
    count = manage(
        "shell", "--no-imports", "-c",
        "from pathlib import Path; from controlplane.publishing.publisher import publish;"
        f"s = publish(Path({str(tmp_path / 'one')!r}));"
        "from controlplane.models import PublishedSnapshot as P;"
        "print(s.generation, len(s.content.pools), len(s.content.providers[0].credentials),"
        " P.objects.count())",
        env=env,
    ).split()  # fmt: skip
    generation, pools, credentials, rows = map(int, count)
    assert generation == rows >= max(map(max, generations))
    assert (pools, credentials) == (16, 1)


EDITORS = dedent(
    """\
    import threading
    import time

    import django

    django.setup()
    from django.db import connection, transaction
    from controlplane.config.apply import apply_text
    from providers.models import Provider
    from routing.models import Candidate, CanonicalModel

    TEXT = "routing: {model_pools: {p: {candidates: [{provider: a, model: m, weight: 2}]}}}"


    def apply():
        print(len(apply_text(TEXT, filename="f", environ={}).changes))


    def is_somebody_waiting():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return cursor.fetchone()[0] > 0


    Provider.objects.create(name="a", kind="simulator")
    pool = CanonicalModel.objects.create(name="p")
    candidate = Candidate.objects.create(canonical_model=pool, provider_name="a", model="m")
    other = threading.Thread(target=apply)
    with transaction.atomic():
        pool.save()
        other.start()
        while not is_somebody_waiting():
            time.sleep(0.02)
        candidate.weight = 3
        candidate.save()
    other.join()
    candidate.refresh_from_db()
    print(candidate.weight)
    """
)


def test_who_applies_waits_for_who_is_saving_an_object_with_its_parts(
    postgres_url: str, tmp_path: Path
) -> None:
    env = environment(
        tmp_path, DATABASE_URL=postgres_url, DJANGO_SETTINGS_MODULE="controlplane.settings"
    )
    manage("migrate", "--verbosity", "0", env=env)
    manage("flush", "--no-input", env=env)
    done = subprocess.run(
        [sys.executable, "-c", EDITORS],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    manage("flush", "--no-input", env=env)  # the database is other tests', too
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "2"], done.stderr


def test_a_database_that_says_nothing_is_given_up_instead_of_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgres://u:p@127.0.0.1:{silent.getsockname()[1]}/d"
        done = subprocess.run(
            [sys.executable, "manage.py", "showmigrations"],
            cwd=ROOT, env=environment(tmp_path, DATABASE_URL=address),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "timeout expired" in done.stderr
