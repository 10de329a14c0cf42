"""Passwords that were tried, by account and by address."""

from __future__ import annotations

from django.db import models


class SignInTries(models.Model):
    """
    Wrong passwords of late of one account, or from one address; `about` is a digest of it.

    A try counts from the moment it begins, so that a hundred at once are a hundred.
    """

    about = models.CharField(max_length=70, unique=True)
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(db_index=True)
    closed_until = models.DateTimeField()

    def __str__(self) -> str:
        return self.about
