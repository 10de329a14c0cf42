"""Canonical models with their candidates, aliases, and operators' switches over them."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from simple_history.models import HistoricalRecords

from failover.validation import failover_problems
from providers.managed.models import ManagedModel
from providers.models import Provider, refuse
from providers.validation import MOST_WHOLE, SECONDS, model_name_problems, timeouts_problems
from routing.validation import alias_cycle, capture_problems, moment_problems


def above_nothing(value: float) -> None:
    """A validator: for what may be as small as one likes, but is something."""
    if not value > 0:
        raise ValidationError("This must be more than 0.")


Validators = list[Callable[[Any], None]]
ONE_OR_MORE: Validators = [MinValueValidator(1), MaxValueValidator(MOST_WHOLE)]
# Seconds and the like; the most has a message of its own, since it is an absurdity.
POSITIVE: Validators = [above_nothing, MaxValueValidator(SECONDS.most)]


class Strategy(models.TextChoices):
    PRIORITY_FAILOVER = "priority_failover", "priority with failover"
    FILL_FIRST = "fill_first", "fill first"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin", "weighted round robin"
    WEIGHTED_RANDOM = "weighted_random", "weighted random"
    ROUND_ROBIN = "round_robin", "round robin"
    LOWEST_LATENCY = "lowest_latency", "lowest latency"
    LOWEST_COST = "lowest_cost", "lowest cost"
    LEAST_BUSY = "least_busy", "least busy"


class Params(models.TextChoices):
    LENIENT = "lenient", "lenient: drop what a provider cannot take, and say so"
    STRICT = "strict", "strict: skip providers that cannot take everything"


class CanonicalModel(ManagedModel):
    """A model as callers name it, and the pool of candidates that serve it."""

    is_referred_to_by_name = True
    versioned_parts = ("candidates",)

    name = models.CharField(
        max_length=200,
        help_text="The name that callers send as model. No commas, no spaces."
        " It cannot be changed later.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: callers get no answer by it.")
    strategy = models.CharField(
        max_length=30,
        blank=True,
        choices=Strategy.choices,
        help_text="How the first candidate is chosen. Empty: as in the settings.",
    )
    session_affinity = models.BooleanField(
        "keep sessions together",
        null=True,
        blank=True,
        help_text="Send one session to one candidate, for its prompt cache."
        " Default: as in the settings.",
    )
    session_affinity_ttl_s = models.FloatField(
        "a session lasts (seconds)",
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="Seconds without a request after which a session is forgotten."
        " Empty: as in the settings.",
    )
    affinity_key = models.CharField(
        "key's path is a session",
        max_length=20,
        blank=True,
        choices=[("user_path", "yes: one user path, one candidate")],
        help_text="Where a request names no session. Empty: no.",
    )
    stay_after_failover = models.BooleanField(
        null=True,
        blank=True,
        help_text="Do not go back when the first candidate returns. Default: as in the settings.",
    )
    native_first = models.BooleanField(
        null=True,
        blank=True,
        help_text="Candidates that speak the caller's protocol go first."
        " Default: as in the settings.",
    )
    params = models.CharField(
        "parameters",
        max_length=10,
        blank=True,
        choices=Params.choices,
        help_text="Empty: as in the settings.",
    )
    timeouts = models.JSONField(
        default=dict,
        blank=True,
        help_text="What differs from the providers' timeouts, seconds as JSON, for example"
        ' {"first_token_s": 20}. Default: nothing.',
    )
    failover = models.JSONField(
        default=dict,
        blank=True,
        help_text="What differs from the failover settings, as JSON, for example"
        ' {"max_attempts": 2}. Default: nothing.',
    )
    capture = models.JSONField(
        default=dict,
        blank=True,
        help_text='Whether prompts and answers are kept, as JSON: {"requests": true,'
        ' "responses": true, "keep_days": 7}. Default: no.',
    )
    history = HistoricalRecords()

    class Meta:
        ordering = ["name", "managed_source"]
        verbose_name = "model pool"
        constraints = [
            models.UniqueConstraint(
                fields=["name", "managed_source"],
                name="canonical_model_name_per_source",
                violation_error_message="There is a model of this name already.",
            ),
            models.CheckConstraint(
                condition=models.Q(session_affinity_ttl_s__isnull=True)
                | models.Q(session_affinity_ttl_s__gt=0),
                name="canonical_model_affinity_ttl_positive",
                violation_error_message="A session must last longer than 0 seconds.",
            ),
        ]

    def clean(self) -> None:
        super().clean()
        rule = self.failover.get("retry_first") if isinstance(self.failover, dict) else None
        if isinstance(rule, dict):
            rule.setdefault("times", 1)  # whoever gives a rule means once, here as in the file
        name = model_name_problems(self.name) if self.name else []
        if not name and Alias.objects.filter(name=self.name).exists():
            name = [f"{self.name!r} is an alias already; a name can be one or the other"]
        refuse(
            {
                "name": name,
                "timeouts": timeouts_problems(self.timeouts),
                "failover": failover_problems(self.failover),
                "capture": capture_problems(self.capture),
            }
        )

    def deletion_problems(self) -> list[str]:
        return super().deletion_problems() or aliases_for(self)


class AbstractTarget(models.Model):
    """A provider model that something may be served by: a pool's candidate, an alias's target."""

    provider_name = models.CharField("provider", max_length=100)
    model = models.CharField(max_length=200, help_text="Exactly as the provider spells it.")
    priority = models.PositiveIntegerField(
        default=1,
        validators=ONE_OR_MORE,
        help_text="Lower goes first; equal ones share. Default: 1.",
    )
    weight = models.PositiveIntegerField(
        default=1,
        validators=ONE_OR_MORE,
        help_text="Share within its priority, for weighted strategies. Default: 1.",
    )
    position = models.PositiveIntegerField(default=0, db_index=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.provider_name}/{self.model}"

    def clean(self) -> None:
        refuse(
            {
                "provider_name": []
                if not self.provider_name
                or Provider.objects.filter(name=self.provider_name).exists()
                else [f"there is no provider {self.provider_name!r}"],
                "model": model_name_problems(self.model) if self.model else [],
                "timeouts": timeouts_problems(getattr(self, "timeouts", {})),
            }
        )


class Candidate(AbstractTarget):
    canonical_model = models.ForeignKey(
        CanonicalModel, on_delete=models.CASCADE, related_name="candidates"
    )
    rpm = models.PositiveIntegerField(
        "RPM",
        null=True,
        blank=True,
        validators=ONE_OR_MORE,
        help_text="Requests a minute. Empty: no limit of ours.",
    )
    tpm = models.PositiveIntegerField(
        "TPM",
        null=True,
        blank=True,
        validators=ONE_OR_MORE,
        help_text="Tokens a minute. Empty: no limit of ours.",
    )
    max_parallel = models.PositiveIntegerField(
        "parallel",
        null=True,
        blank=True,
        validators=ONE_OR_MORE,
        help_text="Requests in flight. Empty: no limit of ours.",
    )
    enabled = models.BooleanField(default=True)
    timeouts = models.JSONField(
        default=dict, blank=True, help_text='Seconds, as JSON: {"first_token_s": 20}.'
    )
    history = HistoricalRecords()

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["canonical_model", "provider_name", "model"],
                name="candidate_once_per_pool",
                violation_error_message="This pool has this provider and model already.",
            ),
            models.CheckConstraint(
                condition=models.Q(weight__gt=0),
                name="candidate_weight_positive",
                violation_error_message="The weight must be at least 1.",
            ),
            models.CheckConstraint(
                condition=models.Q(priority__gt=0),
                name="candidate_priority_positive",
                violation_error_message="The priority must be at least 1.",
            ),
            models.CheckConstraint(
                condition=(models.Q(rpm__isnull=True) | models.Q(rpm__gt=0))
                & (models.Q(tpm__isnull=True) | models.Q(tpm__gt=0))
                & (models.Q(max_parallel__isnull=True) | models.Q(max_parallel__gt=0)),
                name="candidate_limits_positive",
                violation_error_message="Limits must be at least 1, or empty.",
            ),
        ]


class Alias(ManagedModel):
    """Another name: for a canonical model, or for targets of its own."""

    is_referred_to_by_name = True
    versioned_parts = ("targets",)
    # In a file a name may stand for what another source has, or will have: there it is a warning.
    may_wait_for_its_target = False

    name = models.CharField(
        max_length=200,
        help_text="The name that callers send as model. No commas, no spaces."
        " It cannot be changed later.",
    )
    target = models.CharField(
        "stands for",
        max_length=200,
        blank=True,
        help_text="A model pool or another alias. Empty: it has targets of its own, below.",
    )
    strategy = models.CharField(
        max_length=30,
        blank=True,
        choices=Strategy.choices,
        help_text="How the first of its own targets is chosen. Empty: as in the settings.",
    )
    enabled = models.BooleanField(default=True)
    history = HistoricalRecords()

    class Meta:
        ordering = ["name", "managed_source"]
        verbose_name_plural = "aliases"
        constraints = [
            models.UniqueConstraint(
                fields=["name", "managed_source"],
                name="alias_name_per_source",
                violation_error_message="There is an alias of this name already.",
            ),
        ]

    def clean(self) -> None:
        super().clean()
        self.target = self.target.strip()
        name = model_name_problems(self.name) if self.name else []
        if not name and CanonicalModel.objects.filter(name=self.name).exists():
            name = [f"{self.name!r} is a model pool already; a name can be one or the other"]
        refuse({"name": name, "target": self.target_problems() if self.target else []})

    def target_problems(self) -> list[str]:
        if self.target == self.name:
            return ["an alias cannot stand for itself"]
        if CanonicalModel.objects.filter(name=self.target).exists():
            return []
        target_of = {alias.name: alias.target for alias in Alias.effective()}
        if self.target not in target_of:
            nobody = [f"there is no model pool or alias {self.target!r}"]
            return [] if self.may_wait_for_its_target else nobody
        cycle = alias_cycle(self.name, target_of | {self.name: self.target})
        return [f"this would go round in a circle: {' → '.join(cycle)}"] if cycle else []

    def check_targets(self, number: int) -> None:
        """Raise ValidationError unless it has either a target or `number` targets of its own."""
        if bool(self.target) == bool(number):
            raise ValidationError(
                {
                    "target": "name either what it stands for or targets of its own, not both"
                    if number
                    else "name what it stands for, or give it targets of its own"
                }
            )

    def deletion_problems(self) -> list[str]:
        return super().deletion_problems() or aliases_for(self)


class AliasTarget(AbstractTarget):
    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="targets")
    history = HistoricalRecords()

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["alias", "provider_name", "model"],
                name="alias_target_once",
                violation_error_message="This alias has this provider and model already.",
            ),
            models.CheckConstraint(
                condition=models.Q(weight__gt=0) & models.Q(priority__gt=0),
                name="alias_target_numbers_positive",
                violation_error_message="Weight and priority must be at least 1.",
            ),
        ]


class SwitchKind(models.TextChoices):
    PROVIDER = "provider", "provider"
    CANONICAL_MODEL = "canonical_model", "model pool"
    POOL_CANDIDATE = "pool_candidate", "candidate in a pool"


NAMES_OF_KIND = {
    SwitchKind.PROVIDER: ("provider_name",),
    SwitchKind.CANONICAL_MODEL: ("canonical_model",),
    SwitchKind.POOL_CANDIDATE: ("provider_name", "canonical_model", "model"),
}
SUGGESTED = 5  # names that a refusal of a wrong one lists


class RoutingState(models.Model):
    """
    An operator's switch over what the configuration says; see routing.switches.state.

    It goes by names, so that it outlives an edit that takes its object away and brings it back.
    It only takes out: with `enabled` it does what no switch at all does, and says why.
    """

    IDENTITY = ("kind", "provider_name", "canonical_model", "model")

    kind = models.CharField("switches", max_length=20, choices=SwitchKind.choices)
    provider_name = models.CharField(
        "provider", max_length=100, blank=True, help_text="For a provider, and for a candidate."
    )
    canonical_model = models.CharField(
        "model pool", max_length=200, blank=True, help_text="For a model pool, and for a candidate."
    )
    model = models.CharField(
        max_length=200,
        blank=True,
        help_text="For a candidate: exactly as the provider spells it. Only its place in this pool"
        " is switched.",
    )
    enabled = models.BooleanField(
        "on", default=False, help_text="Off: nobody is sent there, by whatever name."
    )
    reason = models.CharField(
        max_length=500, blank=True, help_text="What others should know, for example a ticket."
    )
    until = models.DateTimeField(
        null=True,
        blank=True,
        db_index=True,
        help_text="Then the switch ends by itself (UTC). Empty: it holds until somebody ends it.",
    )
    set_by = models.CharField("by", max_length=100, blank=True, editable=False)
    updated_at = models.DateTimeField("since", auto_now=True)
    history = HistoricalRecords(verbose_name_plural="switch history")

    class Meta:
        ordering = ["kind", "canonical_model", "provider_name", "model"]
        verbose_name = "switch"
        verbose_name_plural = "switches"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "provider_name", "canonical_model", "model"],
                name="routing_state_once",
                violation_error_message="There is a switch for this already; change that one.",
            ),
        ]

    def __str__(self) -> str:
        match self.kind:
            case SwitchKind.PROVIDER:
                return f"provider {self.provider_name}"
            case SwitchKind.CANONICAL_MODEL:
                return f"model pool {self.canonical_model}"
            case _:
                return f"{self.provider_name}/{self.model} in {self.canonical_model}"

    def edited_as(self, action: str) -> str:
        """What was done by saving or deleting it, for those who look at edits."""
        if action == "removed":
            return f"ended the switch of {self}"
        why = f" ({self.reason})" if self.reason else ""
        return f"switched {'on' if self.enabled else 'off'} {self}{why}"

    @property
    def identity(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.IDENTITY}

    def clean(self) -> None:
        if self.kind not in SwitchKind.values:
            return  # clean_fields() has said so
        self.check_identity()
        refuse({**self.object_problems(), "until": moment_problems(self.until)})
        if self.until is not None and self.until <= timezone.now():
            raise ValidationError({"until": "This time is over; it has to lie in the future."})

    def check_identity(self) -> None:
        """Raise ValidationError unless exactly the names that its kind needs are given."""
        kind = SwitchKind(self.kind)
        needed = NAMES_OF_KIND[kind]
        refuse(
            {
                name: [f"a {kind.label} has to be named here"]
                if name in needed
                else [f"{getattr(self, name)!r} does not belong to a {kind.label}; leave it out"]
                for name in self.IDENTITY[1:]
                if (name in needed) != bool(getattr(self, name))
            }
        )

    def object_problems(self) -> dict[str, list[str]]:
        """What is named and is not there, by field, with what is."""
        if self.kind == SwitchKind.PROVIDER:
            providers = Provider.objects.values_list("name", flat=True)
            return _unknown("provider_name", self.provider_name, "provider", set(providers))
        pools = set(CanonicalModel.objects.values_list("name", flat=True))
        problems = _unknown("canonical_model", self.canonical_model, "model pool", pools)
        if problems or self.kind == SwitchKind.CANONICAL_MODEL:
            return problems
        members = Candidate.objects.filter(canonical_model__name=self.canonical_model)
        pairs = set(members.values_list("provider_name", "model"))
        if (self.provider_name, self.model) in pairs:
            return {}
        of_provider = {model for name, model in pairs if name == self.provider_name}
        where = f"in {self.canonical_model}"
        if of_provider:
            what = f"candidate of {self.provider_name} {where}"
            return _unknown("model", self.model, what, of_provider)
        names = {name for name, _model in pairs}
        return _unknown("provider_name", self.provider_name, f"provider {where}", names)

    @classmethod
    def standing(cls) -> models.QuerySet[RoutingState]:
        """Those that hold now."""
        return cls._default_manager.exclude(until__lte=timezone.now())


def _unknown(field: str, value: str, what: str, known: set[str]) -> dict[str, list[str]]:
    if value in known:
        return {}
    if not known:
        return {field: [f"there is no {what} {value!r}, nor any other"]}
    near = get_close_matches(value, known, SUGGESTED, 0) if len(known) > SUGGESTED else known
    others = len(known) - len(near)
    allowed = ", ".join(sorted(near)) + (f" and {others} more" if others else "")
    return {field: [f"there is no {what} {value!r}; allowed are {allowed}"]}


def aliases_for(row: CanonicalModel | Alias) -> list[str]:
    """The aliases that would stand for nothing without `row`, as sentences."""
    if row.has_twin:
        return []
    names = Alias.objects.filter(target=row.name).values_list("name", flat=True)
    return [f"The alias {name} stands for it." for name in names]


def uses_of_provider(provider_name: str) -> list[str]:
    """The pools and aliases that name a provider, as sentences."""
    pools = Candidate.objects.filter(provider_name=provider_name)
    aliases = AliasTarget.objects.filter(provider_name=provider_name)
    return [
        f"The model pool {name} has it as a candidate."
        for name in sorted(set(pools.values_list("canonical_model__name", flat=True)))
    ] + [
        f"The alias {name} has it as a target."
        for name in sorted(set(aliases.values_list("alias__name", flat=True)))
    ]
