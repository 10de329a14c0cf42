"""Teams and keys, the settings, and what the control plane notes about itself."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from simple_history.models import HistoricalRecords

from controlplane.advice.models import Suggestion  # noqa: F401 - Django looks here
from controlplane.alerts.models import Alert, AlertSettings, Notice, Webhook  # noqa: F401 - as above
from controlplane.edits.models import (
    Edit,  # noqa: F401 - Django looks here
    EditCounter,  # noqa: F401 - as above
    RecordedObject,  # noqa: F401 - as above
    Revision,  # noqa: F401 - as above
    Singleton,
)
from controlplane.health.models import (
    HealthCheck,  # noqa: F401 - as above
    HealthSnapshot,  # noqa: F401 - as above
    HealthVersion,  # noqa: F401 - as above
)
from controlplane.hosts.models import HostReport  # noqa: F401 - as above
from controlplane.jobs.models import Job, JobRun  # noqa: F401 - as above
from controlplane.records.models import (
    CallMinute,  # noqa: F401 - as above
    Captured,  # noqa: F401 - as above
    CapturedLook,  # noqa: F401 - as above
    DirtyMinute,  # noqa: F401 - as above
    FaultMinute,  # noqa: F401 - as above
    Keeping,
    NeedMinute,  # noqa: F401 - as above
    RecordHorizon,  # noqa: F401 - as above
    RequestMinute,  # noqa: F401 - as above
)
from controlplane.records.models import (
    RequestRecord as RequestRecord,  # noqa: PLC0414 - publishing stands below records
)
from controlplane.signin.models import SignInTries  # noqa: F401 - as above
from failover.engine.policy import (
    DEFAULT_RETRY_FIRST_STATUSES,
    DEFAULT_RETRY_STATUSES,
    EXHAUSTED_STATUSES,
    FIRST_CONTENT,
)
from failover.validation import GATE_WORDS, RULE_NAME_LENGTH, statuses_problems
from providers.managed.models import ManagedModel
from providers.models import refuse
from providers.validation import (
    COUNT,
    MOST_TIMES,
    SECONDS,
    choice_problems,
    model_name_problems,
    timeouts_problems,
)
from routing.models import ONE_OR_MORE, POSITIVE, Params, Strategy, above_nothing
from routing.validation import capture_problems, moment_problems, user_path_problems

if TYPE_CHECKING:
    from collections.abc import Sequence


def digest_of(key: str) -> str:
    """SHA-256 of a key, in hex: a random key of 256 bits needs no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


class Team(models.Model):
    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def names_problems(names: object) -> list[str]:
    """The problems of a list of model names or patterns."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ["must be a list of names"]
    problems = [problem for name in names for problem in model_name_problems(name)]
    if any(len(name) > RULE_NAME_LENGTH for name in names):
        problems.append(f"a name has at most {RULE_NAME_LENGTH} characters")
    return problems + (["a name is listed twice"] if len(set(names)) < len(names) else [])


def scopes_problems(scopes: object, allowed: Sequence[str]) -> list[str]:
    if not isinstance(scopes, list) or not scopes:
        return [f"must be a list of at least one of {', '.join(allowed)}"]
    return choice_problems(scopes, allowed)


def inference_only() -> list[str]:
    return ["inference"]


class ApiKey(ManagedModel):
    """What a caller shows to be let in. Only its digest is kept."""

    SCOPES = ("inference", "admin")

    name = models.CharField(max_length=100, help_text="What operators call it.")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    former_digest = models.CharField(
        max_length=64, blank=True, editable=False, default="", db_index=True
    )
    former_until = models.DateTimeField(
        "the former text opens until",
        null=True,
        blank=True,
        help_text="UTC. Of a key that was rotated; it may only end sooner. Empty: now.",
    )
    prefix = models.CharField("begins with", max_length=16, editable=False)
    last4 = models.CharField("ends with", max_length=4, editable=False)
    user_path = models.CharField(
        max_length=200,
        blank=True,
        help_text="Who the caller is, for reports: it begins with /, for example"
        " /search/indexer. Empty: unknown.",
    )
    scopes = models.JSONField(
        "may be used for",
        default=inference_only,
        blank=True,  # clean() says it better
        help_text="inference: calling models. admin: the admin API. Default: inference.",
    )
    rpm = models.PositiveIntegerField(
        "requests a minute",
        null=True,
        blank=True,
        validators=ONE_OR_MORE,
        help_text="Empty: no limit.",
    )
    tpm = models.PositiveIntegerField(
        "tokens a minute",
        null=True,
        blank=True,
        validators=ONE_OR_MORE,
        help_text="Empty: no limit.",
    )
    max_parallel = models.PositiveIntegerField(
        "at one time",
        null=True,
        blank=True,
        validators=ONE_OR_MORE,
        help_text="Requests in flight. Empty: no limit.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: refused like an unknown key.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="UTC. Empty: never.")
    capture = models.JSONField(
        default=dict,
        blank=True,
        help_text='Whether prompts and answers are kept, as JSON: {"requests": true,'
        ' "responses": true, "keep_days": 7}. Default: no.',
    )
    history = HistoricalRecords(excluded_fields=["digest", "former_digest", "former_until"])
    # The last field: from here on the name means the field, not the module.
    models = models.JSONField(
        "allowed models",
        default=list,
        blank=True,
        help_text="Names or patterns such as claude-*. Empty: every model.",
    )

    class Meta:
        ordering = ["name", "managed_source"]
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["name", "managed_source"],
                name="api_key_name_per_source",
                violation_error_message="There is a key of this name already.",
            ),
        ]

    def clean(self) -> None:
        super().clean()
        refuse(
            {
                "models": names_problems(self.models),
                "scopes": scopes_problems(self.scopes, self.SCOPES),
                "capture": capture_problems(self.capture),
                "expires_at": moment_problems(self.expires_at),
                "former_until": self._former_problems(),
                "user_path": user_path_problems(self.user_path),
            }
        )

    def _former_problems(self) -> list[str]:
        if self.former_until is None:
            return []
        stored = ApiKey.objects.filter(pk=self.pk).values_list("former_until", flat=True).first()
        if stored is None:
            return ["only a key that was rotated has a former text"]
        if self.former_until > stored:
            return [f"it may only end sooner than {stored:%Y-%m-%d %H:%M:%S} UTC"]
        return []

    @property
    def former_is_valid(self) -> bool:
        return self.former_until is not None and self.former_until > timezone.now()

    @classmethod
    def opened_by(cls, digest: str) -> ApiKey | None:
        """The key that counts and that a text of this digest is, or was until a time to come."""
        former = models.Q(former_digest=digest, former_until__gt=timezone.now())
        found = cls.effective().filter(models.Q(digest=digest) | former)
        row: ApiKey | None = found.first()
        return row

    def set_key(self, key: str) -> None:
        """Make `key` the one that opens; its text is not kept."""
        self.digest = digest_of(key)
        # Keys from the configuration may be short; then almost nothing of them is shown.
        self.prefix = key[:7] if len(key) >= 24 else key[:1]
        self.last4 = key[-4:] if len(key) >= 24 else ""

    @property
    def hint(self) -> str:
        return f"{self.prefix}…{self.last4}"


def default_retry_statuses() -> list[int]:
    return list(DEFAULT_RETRY_STATUSES)


def default_retry_first_statuses() -> list[int]:
    return list(DEFAULT_RETRY_FIRST_STATUSES)


TIMES = MaxValueValidator(MOST_TIMES)
NOT_NEGATIVE = [MinValueValidator(0), MaxValueValidator(SECONDS.most)]


class Settings(Keeping, AlertSettings, Singleton):
    """What holds where a pool, a provider or the configuration says nothing else."""

    strategy = models.CharField(
        max_length=30,
        choices=Strategy.choices,
        default=Strategy.PRIORITY_FAILOVER,
        help_text="How the first candidate is chosen. Default: priority with failover.",
    )
    session_affinity = models.BooleanField(
        "keep sessions together",
        default=True,
        help_text="Send one session to one candidate, for its prompt cache. Default: on.",
    )
    session_affinity_ttl_s = models.FloatField(
        "a session lasts (seconds)",
        default=1800,
        validators=POSITIVE,
        help_text="Seconds without a request after which it is forgotten. Default: 1800.",
    )
    stay_after_failover = models.BooleanField(
        default=False,
        help_text="Do not go back when the first candidate returns. Default: off.",
    )
    native_first = models.BooleanField(
        default=False,
        help_text="Candidates that speak the caller's protocol go first. Default: off.",
    )
    params = models.CharField(
        "parameters",
        max_length=10,
        choices=Params.choices,
        default=Params.LENIENT,
        help_text="Default: lenient.",
    )
    timeouts = models.JSONField(
        default=dict,
        blank=True,
        help_text="Seconds, as JSON. Defaults: connect_s 5, first_token_s 60,"
        " reasoning_first_token_s 300, idle_s 90, total_s 600, stream_total_s 3600.",
    )

    failover_enabled = models.BooleanField(
        "failover rules",
        default=True,
        help_text="Whether failover rules are followed. Default: on.",
    )
    failover_in_pools = models.BooleanField(
        "failover inside pools",
        default=True,
        help_text="Whether a pool's next candidate is tried. Default: on.",
    )
    disabled_models = models.JSONField(
        "models without failover",
        default=list,
        blank=True,
        help_text="Names of pools or aliases, or provider/model. Default: none.",
    )
    max_attempts = models.PositiveIntegerField(
        "calls at most",
        default=3,
        validators=[MinValueValidator(1), TIMES],
        help_text="Calls for one request in all, the first included. Default: 3.",
    )
    same_candidate_retries = models.PositiveIntegerField(
        "retries of the same candidate",
        default=1,
        validators=[TIMES],
        help_text="Only when nobody else is left. Default: 1.",
    )
    retry_on_statuses = models.JSONField(
        "statuses to go on after",
        default=default_retry_statuses,
        blank=True,
        help_text="Default: 408, 424, 429, 500, 502, 503, 504, 520-527, 529, 530.",
    )
    retry_on_model_errors = models.BooleanField(
        "go on after model errors",
        default=True,
        help_text="Not found, retired, unsupported. Default: on.",
    )
    retry_on_timeouts = models.BooleanField(
        "go on after timeouts", default=True, help_text="Default: on."
    )
    retry_on_content_filter = models.BooleanField(
        "go on after content filters", default=False, help_text="Default: off."
    )
    deadline_s = models.FloatField(
        "deadline (seconds)",
        default=600,
        validators=POSITIVE,
        help_text="For all calls of a request, up to the first content. Default: 600.",
    )
    hold_s = models.FloatField(
        "hold (seconds)",
        default=20,
        validators=NOT_NEGATIVE,
        help_text="After this long a streaming caller gets its 200 and heartbeats. Default: 20.",
    )
    gate = models.CharField(
        "streams go out",
        max_length=20,
        choices=GATE_WORDS,
        default=FIRST_CONTENT,
        help_text="A whole answer is held until all of it is there, so that a break in its middle"
        " fails over unseen; it comes later. Default: from their first content on.",
    )
    exhausted_status = models.PositiveSmallIntegerField(
        "status when all have failed",
        default=502,
        choices=[(status, str(status)) for status in EXHAUSTED_STATUSES],
        help_text="503 where a proxy in front replaces the body of a 502. Default: 502.",
    )
    hedge_after_ms = models.FloatField(
        "hedge after (milliseconds)",
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="Start a second candidate if the first has no content by then. Empty: off.",
    )
    retry_first_times = models.PositiveIntegerField(
        "ask the same first (times)",
        default=0,
        validators=[TIMES],
        help_text="So often the same candidate is asked again before the next one is: for pools"
        " whose next candidate is another model. Default: 0, never.",
    )
    retry_first_statuses = models.JSONField(
        "statuses to ask the same after",
        default=default_retry_first_statuses,
        blank=True,
        help_text="Default: 429, 500, 502, 503, 504.",
    )
    retry_first_max_wait_s = models.FloatField(
        "wait for the same (seconds)",
        default=2.5,
        validators=NOT_NEGATIVE,
        help_text="If it asks for more, the next candidate is called. Default: 2.5.",
    )
    backoff_base_ms = models.FloatField(
        "backoff, first (milliseconds)",
        default=100,
        validators=NOT_NEGATIVE,
        help_text="Default: 100.",
    )
    backoff_factor = models.FloatField(
        default=2, validators=[MinValueValidator(1), TIMES], help_text="Default: 2."
    )
    backoff_max_ms = models.FloatField(
        "backoff, longest (milliseconds)",
        default=5000,
        validators=NOT_NEGATIVE,
        help_text="Default: 5000.",
    )

    inventory_mode = models.CharField(
        "configured model lists",
        max_length=10,
        choices=[
            ("fallback", "serve while a provider's own list is unavailable or empty"),
            ("allowlist", "are the only models that count"),
        ],
        default="fallback",
        help_text="Default: serve while a provider's own list is unavailable.",
    )

    bench_failures = models.PositiveIntegerField(
        "failures",
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(COUNT.most)],
        help_text="A candidate is benched after at least so many in the window. Default: 3.",
    )
    bench_failure_ratio = models.FloatField(
        "share of failures",
        default=0.5,
        validators=[above_nothing, MaxValueValidator(1)],
        help_text="And if at least this share of its results failed, up to 1. Default: 0.5.",
    )
    bench_window_s = models.FloatField(
        "window (seconds)", default=60, validators=POSITIVE, help_text="Default: 60."
    )
    bench_cooldown_s = models.FloatField(
        "first bench (seconds)",
        default=10,
        validators=POSITIVE,
        help_text="It doubles until a minute has passed without a failure. Default: 10.",
    )
    bench_max_outage_s = models.FloatField(
        "longest bench of an outage (seconds)",
        default=20,
        validators=POSITIVE,
        help_text="Of who is away, overloaded or answers nonsense. Default: 20.",
    )
    bench_max_cooldown_s = models.FloatField(
        "longest bench (seconds)",
        default=600,
        validators=POSITIVE,
        help_text="Of anything. Default: 600.",
    )
    bench_auth_cooldown_s = models.FloatField(
        "bench of a refused key (seconds)",
        default=300,
        validators=POSITIVE,
        help_text="Default: 300.",
    )
    updated_at = models.DateTimeField(auto_now=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = "settings"
        verbose_name_plural = "settings"
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="settings_one_row"),
        ]

    def __str__(self) -> str:
        return "Settings"

    def clean(self) -> None:
        problems = {
            "timeouts": timeouts_problems(self.timeouts),
            "retry_on_statuses": statuses_problems(self.retry_on_statuses),
            "retry_first_statuses": statuses_problems(self.retry_first_statuses),
            "disabled_models": names_problems(self.disabled_models),
            **self.alerts_problems(),
        }
        if self.bench_max_cooldown_s < self.bench_cooldown_s:
            problems["bench_max_cooldown_s"] = ["the longest bench is shorter than the first"]
        if self.backoff_max_ms < self.backoff_base_ms:
            problems["backoff_max_ms"] = ["the longest backoff is shorter than the first"]
        refuse(problems)


class ConfigSource(Singleton):
    """The configuration file and environment as last applied, and as last refused."""

    path = models.CharField("file", max_length=1000, blank=True)
    checksum = models.CharField(max_length=64, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    values = models.JSONField(
        "values that win over the settings",
        default=dict,
        blank=True,
        help_text='{"dotted.key": {"value": …, "source": "file" or "environment"}}',
    )
    warnings = models.JSONField(default=list, blank=True)
    refused_at = models.DateTimeField("last refused at", null=True, blank=True)
    refused_errors = models.JSONField("why it was refused", default=list, blank=True)

    class Meta:
        verbose_name = "configuration"
        verbose_name_plural = "configuration"
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="config_source_one_row"),
        ]

    def __str__(self) -> str:
        return self.path or "no configuration file"

    @property
    def is_refused(self) -> bool:
        """Whether the last edit was refused: that counts until a later one has been applied."""
        if self.refused_at is None:
            return False
        return self.applied_at is None or self.refused_at > self.applied_at


class PublishedSnapshot(models.Model):
    """A numbered state of everything that routing depends on, as the workers got it."""

    generation = models.PositiveBigIntegerField(unique=True)
    checksum = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-generation"]

    def __str__(self) -> str:
        return f"generation {self.generation}"


class SnapshotContent(models.Model):
    """What a published snapshot says, packed by controlplane.publishing.snapshots."""

    published = models.OneToOneField(
        PublishedSnapshot, primary_key=True, on_delete=models.CASCADE, related_name="content"
    )
    packed = models.BinaryField()

    def __str__(self) -> str:
        return f"content of {self.published}"
