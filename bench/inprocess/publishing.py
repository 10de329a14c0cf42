"""
What publishing costs: SQLite with 10,000 pools of 4, read whole, and after an edit of one.

Alone in its process, because Django takes its settings only once.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POOLS, CANDIDATES, PROVIDERS, EDITS, BATCH = 10_000, 4, 20, 9, 2_000
Figures = dict[str, float]


def measure() -> Figures:
    """Seconds to build everything anew, and from an edit of one pool until it is on disk."""
    with filled() as folder:
        return _measured(folder)


@contextlib.contextmanager
def filled(database: str = "") -> Iterator[Path]:
    """A DATA_DIR whose database, or the one of that URL, has the pools. Once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            DATA_DIR=folder,
            DATABASE_URL=database or f"sqlite:///{folder}/bench.sqlite3",
            DJANGO_SETTINGS_MODULE="controlplane.settings",
        )
        import django  # noqa: PLC0415 - it needs the environment

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 - as above
        from django.db import connections  # noqa: PLC0415 - as above

        call_command("migrate", verbosity=0)
        _fill()
        yield Path(folder)
        connections.close_all()


def _measured(folder: Path) -> Figures:
    from controlplane.publishing.content import Builder  # noqa: PLC0415 - Django has to be set up
    from controlplane.publishing.publisher import Publication  # noqa: PLC0415 - as above
    from routing.models import CanonicalModel  # noqa: PLC0415 - as above

    publication = Publication(folder)
    publication.publish()
    builder = Builder()
    build_s = min(seconds(builder.build) for _ in range(3))
    edits = []
    for number in range(EDITS):
        pool = CanonicalModel.objects.get(name=f"pool-{number:05}")
        pool.session_affinity_ttl_s = 60 + number
        pool.save()
        edits.append(seconds(lambda: publication.publish(whole=False)))
    return {"snapshot_build_s": build_s, "snapshot_edit_s": statistics.median(edits)}


def _fill() -> None:
    from providers.models import Provider  # noqa: PLC0415 - Django has to be set up
    from routing.models import Candidate, CanonicalModel  # noqa: PLC0415 - as above

    Provider.objects.bulk_create(
        Provider(name=f"p{n}", kind="openai", base_url="http://127.0.0.1:9/v1")
        for n in range(PROVIDERS)
    )
    pools = CanonicalModel.objects.bulk_create(
        [CanonicalModel(name=f"pool-{n:05}") for n in range(POOLS)], batch_size=BATCH
    )
    Candidate.objects.bulk_create(
        [
            Candidate(
                canonical_model=pool,
                provider_name=f"p{(n + place) % PROVIDERS}",
                model=f"m{n}",
                position=place,
            )
            for n, pool in enumerate(pools)
            for place in range(CANDIDATES)
        ],
        batch_size=BATCH,
    )


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
