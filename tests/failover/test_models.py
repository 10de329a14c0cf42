from __future__ import annotations

import msgspec
import pytest
from django.core.exceptions import ValidationError

from failover.engine.policy import Backoff, BenchPolicy, FailoverPolicy
from failover.models import FailoverRule
from failover.validation import BACKOFF, FAILOVER_KEYS, failover_problems
from providers.adapters.spec import Timeouts
from providers.validation import BENCH, TIMEOUTS


@pytest.mark.django_db
def test_names_are_trimmed_before_they_are_judged():
    row = FailoverRule(primary_model=" a ", fallback_models=[" b", "lab/c "])
    row.full_clean()
    assert (row.primary_model, row.fallback_models) == ("a", ["b", "lab/c"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fallbacks", "words"),
    [
        (["b", ""], "entry 2 is blank"),
        (["b", " b"], "entry 2: 'b' is listed twice"),
        ([" a"], "the model itself"),
        (["b,c"], "commas"),
        ([None], "entry 1 is blank"),
        ([], "at least one"),
        ("b", "must be a list"),
        ({"b": 1}, "must be a list"),
    ],
)
def test_targets_that_lead_nowhere_are_refused_by_their_place(fallbacks, words):
    with pytest.raises(ValidationError) as caught:
        FailoverRule(primary_model="a", fallback_models=fallbacks).full_clean()
    assert words in " ".join(caught.value.message_dict["fallback_models"])


@pytest.mark.django_db
def test_rules_may_point_at_each_other():
    for primary, fallback in [("a", "b"), ("b", "a")]:
        row = FailoverRule(primary_model=primary, fallback_models=[fallback])
        row.full_clean()
        row.save()
    assert FailoverRule.objects.count() == 2


@pytest.mark.pure
def test_what_is_validated_is_what_the_snapshot_carries():
    def names(struct: type[msgspec.Struct]) -> set[str]:
        return {field.name for field in msgspec.structs.fields(struct)}

    assert set(FAILOVER_KEYS) == names(FailoverPolicy)
    assert set(BACKOFF) == names(Backoff)
    assert set(BENCH) == names(BenchPolicy)
    assert set(TIMEOUTS) == names(Timeouts)


@pytest.mark.pure
def test_the_defaults_pass_their_own_validation():
    assert failover_problems(msgspec.to_builtins(FailoverPolicy())) == []
    full = dict.fromkeys(("max_attempts", "same_candidate_retries", "hedge_after_ms"), 1)
    assert failover_problems(full) == []
