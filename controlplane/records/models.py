"""
Request records, their sums, a row a minute, and what was captured of requests.

A minute's rows are of the records of requests that came in within it, and are made anew as a whole
whenever such records have come in: so they are true however late or often those come. Names are
those of the records, "" where there is none; of more names than rollups.MOST_ROWS those that come
later are OTHER.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.functional import cached_property

from controlplane.edits.models import Singleton
from routing.gateway.records.record import OWN_PREFIX, Detail, Outcome, detail_of
from routing.models import ONE_OR_MORE

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Upper bounds in milliseconds; what is longer than the last is in one more column.
BOUNDS_MS: Final = (50, 100, 200, 400, 800, 1500, 3000, 6000, 12_000, 25_000, 60_000, 120_000)
DURATION: Final = tuple(f"duration_{n}" for n in range(len(BOUNDS_MS) + 1))
CONTENT: Final = tuple(f"content_{n}" for n in range(len(BOUNDS_MS) + 1))
OTHER: Final = "(other)"
CENTURY: Final = 36_500  # days
SLOW_MS: Final = 5_000  # to the first content; an index is of those that took longer
# How requests end that got no answer, or a broken one, by no doing of their callers'.
ERRORS: Final = (
    Outcome.UNAVAILABLE.value,
    Outcome.FAILED.value,
    Outcome.INTERRUPTED.value,
    Outcome.INTERNAL_ERROR.value,
    Outcome.LOST.value,
)


def word(name: str = "", help_text: str = "") -> models.TextField[str, str]:
    """Text of the record's making: bounded there, so that no row is ever refused for its length."""
    return models.TextField(name or None, blank=True, default="", help_text=help_text)


def count(name: str = "") -> models.BigIntegerField[int | None, int | None]:
    return models.BigIntegerField(name or None, null=True, blank=True)


def public_id_of(record: UUID, request_id: str) -> str:
    """The x-request-id of an answer: that of its record, unless the caller gave one."""
    return request_id or f"{OWN_PREFIX}{record.hex}"


def moment_of(record: UUID) -> datetime:
    """When a record's request came in, to the millisecond."""
    return EPOCH + timedelta(milliseconds=record.int >> 80)


class RequestRecord(models.Model):
    """
    What became of one request. Written by the ingest alone (controlplane.records.ingest), from
    values of the same fields in the same order: routing.gateway.records.record.RecordRow.

    Ids sort by time; together with it they are what every list is sorted by. `detail` is the JSON
    text of routing.gateway.records.record.Detail as the worker wrote it, and not a JSONField: that
    would have it checked in the database with every row.
    """

    OUTCOMES = tuple(str(outcome) for outcome in Outcome)

    id = models.UUIDField("record", primary_key=True, editable=False)
    request_id = word("request id", "Empty where it is ours: req_ and the record's id.")
    outcome = models.CharField(max_length=30, choices=[(name, name) for name in OUTCOMES])
    status = models.SmallIntegerField("HTTP status", null=True, blank=True)
    code = word("error code")
    key = word()
    team = word()
    requested_model = word()
    canonical_model = word()
    provider = word("provider", "Who served.")
    model = word("model", "The exact model that served.")
    failover = models.BooleanField(
        default=False, help_text="Another served than the choice made without benches and health."
    )
    stream = models.BooleanField(default=False)
    calls = models.SmallIntegerField(default=0, help_text="Attempts made.")
    duration_ms = models.FloatField("duration (ms)")
    first_content_ms = models.FloatField("first content (ms)", null=True, blank=True)
    input_tokens = count()
    output_tokens = count()
    cached_tokens = count()
    reasoning_tokens = count()
    cost_usd = models.DecimalField(
        "cost (USD)", max_digits=20, decimal_places=10, null=True, blank=True
    )
    generation = count()
    detail = models.TextField(default="{}")

    class Meta:
        ordering = ["-id"]
        verbose_name = "request"
        # Ascending, though all lists are descending: rows come in that order, and what is appended
        # at an index's end costs SQLite half of what is put at its beginning.
        indexes = [
            models.Index(fields=["key", "id"], name="request_by_key"),
            models.Index(fields=["canonical_model", "id"], name="request_by_model"),
            models.Index(fields=["provider", "id"], name="request_by_provider"),
            # Few rows, and those that are looked for.
            models.Index(
                fields=["request_id"], condition=models.Q(request_id__gt=""), name="request_by_name"
            ),
            models.Index(
                fields=["outcome", "id"],
                condition=~models.Q(outcome=Outcome.ANSWERED.value),
                name="request_not_answered",
            ),
            models.Index(fields=["id"], condition=models.Q(failover=True), name="request_failover"),
            models.Index(fields=["id"], condition=models.Q(calls__gt=1), name="request_again"),
            models.Index(
                fields=["id"],
                condition=models.Q(first_content_ms__gte=SLOW_MS),
                name="request_slow",
            ),
            models.Index(
                fields=["team", "id"], condition=~models.Q(team=""), name="request_by_team"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """The x-request-id of the answer."""
        return public_id_of(self.id, self.request_id)

    @property
    def started_at(self) -> datetime:
        """When the request came in, to the millisecond."""
        return moment_of(self.id)

    @cached_property
    def told(self) -> Detail:
        """What is kept of the request beside the columns."""
        return detail_of(self.detail)

    @staticmethod
    def first_id_at(moment: datetime) -> UUID:
        """The lowest id that a request of `moment` can have: time is asked for by id."""
        return UUID(int=max((moment - EPOCH) // timedelta(milliseconds=1), 0) << 80)

    @classmethod
    def since(cls, moment: datetime) -> models.QuerySet[RequestRecord]:
        return cls._default_manager.filter(id__gte=cls.first_id_at(moment))

    @classmethod
    def purge(cls, before: datetime) -> int:
        """Delete the records of requests from before that moment; how many there were."""
        deleted, _by_model = cls._default_manager.filter(id__lt=cls.first_id_at(before)).delete()
        return deleted


def sum_field() -> models.PositiveBigIntegerField[int, int]:
    return models.PositiveBigIntegerField(default=0)


class Minute(models.Model):
    """
    What a row of sums has in common. `duration_ms` and `content_ms` are sums of times, counted by
    BOUNDS_MS in `duration_N` and `content_N`.
    """

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


class RequestCounts(Minute):
    """
    What is counted of requests. `duration_*` is of all of them, `content_*` (the time to the first
    content) of those that had some. A request of no pool has the name that it asked for resolved to
    nothing: "".
    """

    pool = models.CharField(max_length=200)
    requests = sum_field()
    answered = sum_field()
    caller_error = sum_field()
    refused = sum_field()
    unavailable = sum_field()
    failed = sum_field()
    interrupted = sum_field()
    abandoned = sum_field()
    internal_error = sum_field()
    lost = sum_field()
    failovers = sum_field()
    streams = sum_field()
    calls = sum_field()
    most_input_tokens = sum_field()

    class Meta:
        abstract = True


class RequestMinute(RequestCounts):
    """Requests that came in within a minute, by pool and key."""

    key = models.CharField(max_length=200)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "pool", "key"], name="request_minute_once"),
        ]
        indexes = [models.Index(fields=["pool", "minute"], name="request_minute_by_pool")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.pool} {self.key}"


class RequestHour(RequestCounts):
    """
    The same of the hour that begins with `minute`, by pool alone: for long windows, which would
    have sixty rows of every key to read.
    """

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "pool"], name="request_hour_once"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H} {self.pool}"


class CallMinute(Minute):
    """
    Calls (attempts) of requests that came in within a minute, by pool and candidate; faults that
    were only pretended for one request are not among them.

    `served` are those whose answer, or a part of it, went to the caller: tokens, cost and times are
    of these, and times are the call's own, not the request's. `failed` are those that ended in a
    fault that somebody is benched for (docs/failover.md); callers' mistakes and hedges that were
    called off are none, and stand in FaultMinute alone. A stream that broke off is served and
    failed; a call whose caller went away before any content is neither.
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
    """
    Calls that ended in one fault (providers.errors.Fault) and HTTP status (0: no answer), those
    included that nobody is to blame for: a hedge that was called off, a caller's mistake.
    """

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
    """
    A minute whose records have changed since it was summed; written with the records, in their
    transaction. Each time it gets another `token`, by which the rollup sees that more have come.
    """

    minute = models.DateTimeField(primary_key=True)
    token = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class DirtyHour(models.Model):
    """
    An hour of whose minutes some have been summed since it was: first at `since`, last at
    `marked_at`. Written with them, in their transaction.
    """

    hour = models.DateTimeField(primary_key=True)
    since = models.DateTimeField()
    marked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}"


class RecordHorizon(Singleton):
    """Records from before this moment have been deleted: sums of then cannot be made anew."""

    moment = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="record_horizon_one_row"),
        ]

    def __str__(self) -> str:
        return "everything" if self.moment is None else f"{self.moment:%Y-%m-%d %H:%M}"

    @classmethod
    def passed(cls) -> datetime:
        """The moment, or the earliest there is."""
        found = cls._default_manager.values_list("moment", flat=True).first()
        return found or datetime.min.replace(tzinfo=UTC)


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


class CapturedLook(models.Model):
    """Somebody looked at what was captured of a request."""

    record = models.UUIDField("record")
    at = models.DateTimeField("looked at", auto_now_add=True)
    who = models.CharField(max_length=300)
    place = models.CharField("where", max_length=20)

    class Meta:
        ordering = ["-pk"]
        verbose_name = "look at a captured request"
        verbose_name_plural = "looks at captured requests"

    def __str__(self) -> str:
        return f"{self.who} at {self.at:%Y-%m-%d %H:%M:%S}: req_{self.record.hex}"


def kept_days(what: str, default: int, more: str = "") -> models.PositiveIntegerField[int, int]:
    return models.PositiveIntegerField(
        f"{what} (days)",
        default=default,
        validators=[*ONE_OR_MORE, MaxValueValidator(CENTURY)],
        help_text=f"{more} Default: {default}.".strip(),
    )


class Keeping(models.Model):
    """How long things are kept: a part of controlplane.models.Settings."""

    keep_records_days = kept_days("requests", 30, "Records of single requests.")
    keep_sums_days = kept_days("sums", 400, "Sums of requests by the minute, for charts.")
    keep_checks_days = kept_days("health checks", 14)
    keep_alerts_days = kept_days("alerts", 90, "Those that are over.")
    keep_suggestions_days = kept_days("suggestions", 180, "Those that are decided or expired.")
    keep_history_days = kept_days(
        "history", 365, "What objects were before, and who looked at captured requests."
    )

    class Meta:
        abstract = True
