"""One pass over 10,000 provider models."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.advice.evidence import Picture
from controlplane.advice.keeping import MOST_OPEN, keep
from controlplane.advice.models import Suggestion
from controlplane.advice.suggesting import found_in
from controlplane.records.models import CallMinute, RequestMinute
from providers.models import Credential, Provider, ProviderModel
from routing.models import Candidate, CanonicalModel
from tests.controlplane.advice.seeded import NOW
from tests.support.traffic import insert

pytestmark = pytest.mark.django_db

PROVIDERS, MODELS, POOLS = 100, 100, 300


@pytest.fixture
def many(db):
    """Each model at four providers, with facts of its own; 300 pools, and models asked by name."""
    providers = Provider.objects.bulk_create(
        [
            Provider(name=f"p{n}", kind="openai", base_url=f"https://p{n}.example.com")
            for n in range(PROVIDERS)
        ]
    )
    Credential.objects.bulk_create(
        [
            Credential(provider=provider, label="main", secret="a-key-of-it")
            for provider in providers
        ]
    )
    ProviderModel.objects.bulk_create(
        [
            ProviderModel(provider=provider, model_id=model_of(n, m), metadata=facts(n // 4, m))
            for n, provider in enumerate(providers)
            for m in range(MODELS)
        ]
    )
    pools = CanonicalModel.objects.bulk_create(
        [CanonicalModel(name=f"pool-{n}") for n in range(POOLS)]
    )
    Candidate.objects.bulk_create(
        [
            Candidate(
                canonical_model=pool, provider_name=f"p{n % PROVIDERS}",
                model=model_of(n % PROVIDERS, n % MODELS),
            )
            for n, pool in enumerate(pools)
        ]
    )  # fmt: skip
    names = [f"p{n}/{model_of(n, 7)}" for n in range(PROVIDERS)]
    minutes = [NOW - timedelta(minutes=n) for n in range(5, 60, 5)]
    asked = [
        {"minute": m, "pool": name, "key": "k", "requests": 9} for m in minutes for name in names
    ]
    insert(RequestMinute, asked)
    calls = [
        {"minute": m, "pool": name, "provider": f"p{n}", "model": model_of(n, 7), "calls": 9}
        for m in minutes
        for n, name in enumerate(names)
    ]
    insert(CallMinute, calls)


def model_of(provider: int, number: int) -> str:
    return f"m{provider // 4}-{number}"


def facts(group: int, number: int) -> dict[str, object]:
    return {
        "family": f"f{group}-{number % 10}",
        "context_window": 1000 * (number + 1),
        "capabilities": {"tools": number % 2 == 0},
        "pricing": {"input_per_mtok": group + 1, "output_per_mtok": number + 1},
    }


def test_one_pass_over_ten_thousand_models_finds_stand_ins_for_all_that_want_one(many):
    assert ProviderModel.objects.count() == 10_000
    found = list(found_in(Picture(NOW)))
    kept = keep(found, NOW)
    by_kind = {kind: [p for p in found if p.kind == kind] for kind in {p.kind for p in found}}
    assert len(by_kind["pool_candidate"]) == POOLS
    assert len(by_kind["failover_rule"]) == POOLS + PROVIDERS
    for proposal in by_kind["failover_rule"]:
        (step,) = proposal.steps
        assert len(step.new) == 3
    assert kept.opened == Suggestion.objects.count() == MOST_OPEN
