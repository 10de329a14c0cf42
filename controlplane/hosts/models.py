"""What hosts tell of themselves, in the database."""

from __future__ import annotations

from django.db import models


class HostReport(models.Model):
    """
    What a host's control child last told of its processes (controlplane.control.reporting).

    `report` is the JSON of routing.gateway.link.fleet.HostSeen; `seen_at` is by the database's
    clock.
    """

    host = models.CharField(max_length=200, primary_key=True)
    report = models.TextField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["host"]
        verbose_name = "process"
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return self.host
