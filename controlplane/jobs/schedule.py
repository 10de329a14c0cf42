"""Every job of the worker. A new one is a function and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_S: Final = 2.0  # so often it is looked what is due


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """
    `function` is the dotted path of a callable that takes a controlplane.jobs.running.Run, and
    returns what it did in a few words, "" for nothing worth telling. It is run every `every_s`
    seconds, asked to stop after `soft_s` and killed after `hard_s`.
    """

    name: str
    function: str
    about: str
    every_s: float
    soft_s: float
    hard_s: float

    @property
    def call(self) -> Callable[..., Any]:
        found: Callable[..., Any] = import_string(self.function)
        return found

    @property
    def task(self) -> str:
        return f"switchyard.{self.name}"


SCHEDULE: Final = {
    spec.name: spec
    for spec in (
        JobSpec(
            name="health",
            function="controlplane.health.checks.check",
            about="Looks whether providers can be reached.",
            every_s=5,
            soft_s=60,
            hard_s=90,
        ),
        JobSpec(
            name="discovery",
            function="controlplane.health.discovery.discover",
            about="Reads the providers' lists of models.",
            every_s=600,
            soft_s=300,
            hard_s=360,
        ),
        JobSpec(
            name="rollup",
            function="controlplane.records.rollups.roll_up",
            about="Sums request records by the minute.",
            every_s=10,
            soft_s=300,
            hard_s=360,
        ),
        JobSpec(
            name="alerts",
            function="controlplane.alerts.watching.watch",
            about="Looks for what needs an operator, and sends messages.",
            every_s=5,
            soft_s=60,
            hard_s=90,
        ),
        JobSpec(
            name="suggestions",
            function="controlplane.advice.suggesting.suggest",
            about="Looks in the traffic for what could be set better.",
            every_s=900,
            soft_s=120,
            hard_s=180,
        ),
        JobSpec(
            name="retention",
            function="controlplane.records.retention.prune",
            about="Deletes what has been kept long enough.",
            every_s=3600,
            soft_s=1800,
            hard_s=1860,
        ),
    )
}
