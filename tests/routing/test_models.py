from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from providers.models import Provider
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.validation import alias_cycle, alias_cycles

pytestmark = pytest.mark.django_db


@pytest.fixture
def pool() -> CanonicalModel:
    Provider.objects.create(name="lab", kind="openai")
    return CanonicalModel.objects.create(name="small")


def problems_of(row) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    return caught.value.message_dict


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "a,b"}, "name; commas are not allowed"),
        ({"name": "a b"}, "name; spaces are not allowed"),
        ({"name": "a, b\x07"}, "commas and spaces and control characters are not allowed"),
        ({"timeouts": {"idle_s": -1}}, "above 0"),
        ({"failover": {"max_attempts": 0}}, "whole number from 1 to"),
        ({"failover": {"retry_on_statuses": [99]}}, "from 100 to 599"),
        ({"failover": {"retry_on_statuses": [500, 500]}}, "listed twice"),
        ({"failover": {"retry_first": True}}, "retry_first: must be a JSON object"),
        ({"failover": {"retry_first": {"statuses": [99]}}}, "retry_first.statuses: 99"),
        ({"failover": {"retry_first": {"times": -1}}}, "retry_first.times: -1"),
        ({"failover": {"retry_first": {"waits": 1}}}, "retry_first.waits: unknown key"),
        ({"failover": {"backoff": {"factor": 0.5}}}, "backoff.factor"),
        ({"failover": {"enabled": 1}}, "true or false"),
        ({"failover": {"attempts": 1}}, "unknown key"),
        ({"capture": {"requests": "yes"}}, "true or false"),
        ({"capture": {"keep_days": 0}}, "from 1 to"),
        ({"strategy": "best"}, "not a valid choice"),
        ({"session_affinity_ttl_s": 0}, "more than 0"),
    ],
)
def test_a_pool_that_cannot_work_is_refused(fields, words):
    problems = problems_of(CanonicalModel(**{"name": "p", **fields}))
    assert words in str(problems)


def test_a_candidate_needs_a_provider_that_exists(pool):
    row = Candidate(canonical_model=pool, provider_name="nobody", model="x")
    assert problems_of(row) == {"provider_name": ["there is no provider 'nobody'"]}


@pytest.mark.parametrize("field", ["weight", "priority", "rpm", "tpm", "max_parallel"])
def test_numbers_of_a_candidate_are_at_least_one_by_form_and_by_constraint(pool, field):
    row = Candidate(canonical_model=pool, provider_name="lab", model="x", **{field: 0})
    assert field in problems_of(row)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_a_candidate_is_in_a_pool_once(pool):
    Candidate.objects.create(canonical_model=pool, provider_name="lab", model="x")
    row = Candidate(canonical_model=pool, provider_name="lab", model="x")
    assert "already" in str(problems_of(row))


def test_one_name_is_not_both_a_pool_and_an_alias(pool):
    assert "model pool already" in str(problems_of(Alias(name="small", target="small")))
    Alias.objects.create(name="tiny", target="small")
    assert "alias already" in str(problems_of(CanonicalModel(name="tiny")))


def test_an_alias_stands_for_something_that_exists(pool):
    assert "there is no" in str(problems_of(Alias(name="a", target="missing")))
    assert "itself" in str(problems_of(Alias(name="a", target="a")))
    Alias(name="a", target="small").full_clean()


def test_aliases_that_go_round_in_a_circle_are_refused(pool):
    first = Alias.objects.create(name="a", target="small")
    Alias.objects.create(name="b", target="a")
    Alias.objects.create(name="c", target="b")
    first.target = "c"
    assert "a → c → b → a" in str(problems_of(first))


@pytest.mark.pure
def test_a_circle_further_on_is_not_this_names_circle():
    assert alias_cycle("a", {"a": "b", "b": "c", "c": "b"}) == []
    assert alias_cycle("a", {"a": "a"}) == ["a", "a"]


@pytest.mark.pure
def test_each_circle_is_found_once_from_where_its_first_name_comes_in():
    target_of = {"x": "c", "a": "b", "b": "c", "c": "a", "d": "d", "e": "pool", "f": ""}

    assert list(alias_cycles(target_of, target_of)) == [["c", "a", "b", "c"], ["d", "d"]]


def test_an_alias_has_exactly_one_of_target_and_targets():
    Alias(name="a", target="x").check_targets(0)
    Alias(name="a").check_targets(2)
    for row, number in [(Alias(name="a", target="x"), 1), (Alias(name="a"), 0)]:
        with pytest.raises(ValidationError):
            row.check_targets(number)


def test_what_others_stand_on_is_not_deleted(pool):
    provider = Provider.objects.get()
    assert provider.deletion_problems() == []
    Candidate.objects.create(canonical_model=pool, provider_name="lab", model="x")
    alias = Alias.objects.create(name="tiny", target="small")
    other = Alias.objects.create(name="own")
    AliasTarget.objects.create(alias=other, provider_name="lab", model="x")
    assert provider.deletion_problems() == [
        "The model pool small has it as a candidate.",
        "The alias own has it as a target.",
    ]
    assert pool.deletion_problems() == ["The alias tiny stands for it."]
    assert alias.deletion_problems() == []


def test_a_row_with_a_twin_may_go(pool):
    Candidate.objects.create(canonical_model=pool, provider_name="lab", model="x")
    twin = Provider.objects.create(name="lab", kind="openai", managed_source="config")
    assert Provider.objects.get(managed_source="dashboard").deletion_problems() == []
    assert "managed by configuration" in str(twin.deletion_problems())
