"""
Sums of request records, a row a minute, and what was captured of requests.

Rows of a minute are made anew as a whole whenever records of it have come in, so that they are
true however late or often those come. Names are those of the records: "" where there is none.
"""

from __future__ import annotations

from typing import Final

from django.db import models

# Upper bounds in milliseconds; what is longer than the last is in one more column.
BOUNDS_MS: Final = (50, 100, 200, 400, 800, 1500, 3000, 6000, 12_000, 25_000, 60_000, 120_000)
DURATION: Final = tuple(f"duration_{n}" for n in range(len(BOUNDS_MS) + 1))
CONTENT: Final = tuple(f"content_{n}" for n in range(len(BOUNDS_MS) + 1))


def sum_field() -> models.PositiveBigIntegerField[int, int]:
    return models.PositiveBigIntegerField(default=0)


class Minute(models.Model):
    """What a row of sums has in common: `duration_N` and `content_N` count by BOUNDS_MS."""

    minute = models.DateTimeField()
    input_tokens = sum_field()
    output_tokens = sum_field()
    cached_tokens = sum_field()
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    duration_ms = models.FloatField(default=0)
    content_ms = models.FloatField(default=0)

    class Meta:
        abstract = True


for _name in (*DURATION, *CONTENT):
    Minute.add_to_class(_name, sum_field())


class RequestMinute(Minute):
    """
    Requests that came in within a minute, by pool and key.

    `duration_*` is of all of them, `content_*` (the time to the first content) of those that had
    some. A request of no pool has the name that it asked for resolved to nothing: "".
    """

    pool = models.CharField(max_length=200)
    key = models.CharField(max_length=200)
    requests = sum_field()
    answered = sum_field()
    caller_error = sum_field()
    refused = sum_field()
    unavailable = sum_field()
    failed = sum_field()
    interrupted = sum_field()
    abandoned = sum_field()
    internal_error = sum_field()
    failovers = sum_field()
    streams = sum_field()
    calls = sum_field()
    most_input_tokens = sum_field()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "pool", "key"], name="request_minute_once"),
        ]
        indexes = [models.Index(fields=["pool", "minute"], name="request_minute_by_pool")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.pool} {self.key}"


class CallMinute(Minute):
    """
    Calls (attempts) that began within a minute, by pool and candidate.

    `failed` are those that ended in a fault, whatever became of the request; `served` those whose
    answer went to the caller: tokens, cost and times are of these.
    """

    pool = models.CharField(max_length=200)
    provider = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    calls = sum_field()
    served = sum_field()
    failed = sum_field()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "pool", "provider", "model"], name="call_minute_once"
            ),
        ]
        indexes = [models.Index(fields=["provider", "model", "minute"], name="call_minute_by_name")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.pool}: {self.provider}/{self.model}"


class FaultMinute(models.Model):
    """Calls that ended in one fault (providers.errors.Fault) and HTTP status (0: no answer)."""

    minute = models.DateTimeField()
    pool = models.CharField(max_length=200)
    provider = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    fault = models.CharField(max_length=30)
    status = models.PositiveSmallIntegerField(default=0)
    calls = sum_field()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "pool", "provider", "model", "fault", "status"],
                name="fault_minute_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.provider}/{self.model}: {self.fault}"


class NeedMinute(models.Model):
    """Requests of a pool that needed something of a candidate (tools, vision …)."""

    minute = models.DateTimeField()
    pool = models.CharField(max_length=200)
    need = models.CharField(max_length=30)
    requests = sum_field()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "pool", "need"], name="need_minute_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.pool}: {self.need}"


class DirtyMinute(models.Model):
    """A minute whose records have changed since it was summed; written with the records."""

    minute = models.DateTimeField(primary_key=True)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Captured(models.Model):
    """The prompt and the answer of one request, as far as its key or pool had them kept."""

    record = models.UUIDField("record", primary_key=True)
    key = models.CharField(max_length=200)
    pool = models.CharField(max_length=200)
    request = models.TextField(blank=True)
    response = models.TextField(blank=True)
    is_cut = models.BooleanField(default=False)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-record"]
        verbose_name = "captured request"

    def __str__(self) -> str:
        return f"req_{self.record.hex}"
