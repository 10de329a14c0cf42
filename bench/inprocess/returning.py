"""
What looking at a way back and going it costs: 10,000 pools, over some edits of single pools.

Alone in its process, because Django takes its settings only once.
"""

from __future__ import annotations

from pathlib import Path

from bench.inprocess.publishing import filled, seconds
from tests.support import databases

EDITS = 20
Figures = dict[str, float]


def measure(*, on_postgres: bool = False) -> Figures:
    """Seconds for a preview, for the return itself, and to undo that."""
    if not on_postgres:
        with filled() as folder:
            return _measured(folder)
    with databases.postgres() as url, filled(url) as folder:
        return {f"{name}_postgres": value for name, value in _measured(folder).items()}


def _measured(folder: Path) -> Figures:
    from controlplane.models import Revision  # noqa: PLC0415 - Django has to be set up
    from controlplane.publishing.publisher import Publication  # noqa: PLC0415 - as above
    from controlplane.revisions.returning import roll_back, undo  # noqa: PLC0415 - as above
    from routing.models import CanonicalModel  # noqa: PLC0415 - as above

    publication = Publication(folder)
    publication.publish()
    good = Revision.objects.first()
    assert good is not None
    for number in range(EDITS):
        pool = CanonicalModel.objects.get(name=f"pool-{number:05}")
        pool.strategy = "fill_first"
        pool.save()
        publication.publish(whole=False)

    def preview() -> object:
        return roll_back(good.pk, is_preview=True)

    figures = {
        "return_preview_s": min(seconds(preview) for _ in range(3)),
        "return_s": seconds(lambda: roll_back(good.pk)),
    }
    publication.publish(whole=False)
    newest = Revision.objects.first()
    assert newest is not None
    figures["undo_s"] = seconds(lambda: undo(newest.pk))
    assert CanonicalModel.objects.filter(strategy="fill_first").count() == EDITS
    return figures
