"""Failover rules, and the benches that hosts tell each other of by the database."""

from __future__ import annotations

from django.db import models
from simple_history.models import HistoricalRecords

from failover.validation import targets_problems
from providers.managed.models import ManagedModel
from providers.models import refuse
from providers.validation import model_name_problems


class FailoverRule(ManagedModel):
    """What to try, in order, after a model's own candidates."""

    identity = "primary_model"

    primary_model = models.CharField(
        "model",
        max_length=300,
        help_text="A model pool, an alias or provider/model: the name that the rule is for.",
    )
    fallback_models = models.JSONField(
        "fallbacks",
        default=list,
        blank=True,  # clean() says it better
        help_text="Model pools, aliases or provider/model, tried from first to last.",
    )
    enabled = models.BooleanField(default=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["primary_model", "managed_source"]
        constraints = [
            models.UniqueConstraint(
                fields=["primary_model", "managed_source"],
                name="failover_rule_per_source",
                violation_error_message="There is a rule for this model already.",
            ),
        ]

    def clean(self) -> None:
        super().clean()
        self.primary_model = self.primary_model.strip()
        if isinstance(self.fallback_models, list):
            self.fallback_models = [
                entry.strip() if isinstance(entry, str) else entry for entry in self.fallback_models
            ]
        refuse(
            {
                "primary_model": model_name_problems(self.primary_model)
                if self.primary_model
                else [],
                "fallback_models": targets_problems(self.primary_model, self.fallback_models),
            }
        )


class Bench(models.Model):
    """
    One place's entry, as the hosts' control children keep it (controlplane.benches.store).

    `place` is a digest of what is benched and by whom. `version` is the value of BenchVersion at
    which it was written last.
    """

    place = models.CharField(max_length=64, primary_key=True)
    entry = models.TextField()
    until = models.DateTimeField(db_index=True)
    version = models.BigIntegerField(db_index=True)

    class Meta:
        verbose_name_plural = "benches"

    def __str__(self) -> str:
        return self.place


class BenchRecord(models.Model):
    """
    One bench from its beginning to its end, kept for a day.

    `place` is as in Bench, and `epoch` the bench's own: all trials that failed since it began have
    the same. Without `ended_at` it ended with its time, if that is over.
    """

    class Ending(models.TextChoices):
        RELEASED = "released"  # by an operator
        ANSWERED = "answered"  # a trial went well
        MENDED = "mended"  # its provider was edited
        REPLACED = "replaced"  # by a later word of an operator

    place = models.CharField(max_length=64)
    epoch = models.BigIntegerField()
    subject = models.TextField()
    credential = models.TextField(blank=True)
    manual = models.BooleanField()
    by = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    status = models.SmallIntegerField(null=True)
    sample_error = models.TextField(blank=True)
    request_id = models.TextField(blank=True)
    count = models.PositiveIntegerField()
    began_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ending = models.CharField(max_length=20, blank=True, choices=Ending.choices)
    ended_by = models.TextField(blank=True)
    ended_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["place", "epoch"], name="bench_record_once"),
        ]
        indexes = [models.Index(fields=["until"], name="bench_record_until")]

    def __str__(self) -> str:
        return f"{self.subject} {self.began_at:%Y-%m-%d %H:%M:%S}"


class BenchVersion(models.Model):
    """One row. Moves with every change of benches; whoever moves it keeps others from writing."""

    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.value)


class BenchReader(models.Model):
    """How far a host has come: its workers have all seen the benches up to `version`."""

    host = models.CharField(max_length=100, primary_key=True)
    version = models.BigIntegerField()
    workers = models.PositiveIntegerField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.host
