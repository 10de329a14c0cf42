"""Alerts, and what was sent of them."""

from __future__ import annotations

from django.db import models


class Alert(models.Model):
    """
    Something that needs an operator, for as long as it lasts: `ended_at` is empty until then.

    There is one open alert of a kind for a subject. `is_urgent`: what is unavailable, which quiet
    hours do not hold back.
    """

    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=300)
    text = models.CharField(max_length=1000)
    path = models.CharField("where to look", max_length=500, blank=True)
    is_urgent = models.BooleanField(default=False)
    since = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(ended_at=None),
                name="alert_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class Notice(models.Model):
    """
    One message about an alert to one address: that it is there, or that it is over.

    It is tried again at `due_at` until it is sent or given up. `channel` names the address without
    its secrets.
    """

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    channel = models.CharField(max_length=300)
    is_end = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel", "is_end"], name="notice_once"),
        ]

    def __str__(self) -> str:
        return f"{self.alert} to {self.channel}"
