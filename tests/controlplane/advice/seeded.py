"""A seeded week with planted problems, and what is to be found in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from controlplane.models import Settings
from providers.models import ListedModel, Provider, ProviderModel
from routing.models import Candidate, CanonicalModel
from tests.support import rows
from tests.support.traffic import Behaviour, PoolTraffic, Traffic

NOW = datetime(2026, 3, 11, 10, 30, 20, tzinfo=UTC)
UNTIL = NOW.replace(minute=29, second=0)
PROVIDERS = ("north", "south", "east", "west", "alpha", "beta", "gamma")
ABLE = {"tools": True, "vision": True}

# Kind and target of each planted problem.
PLANTED = {
    ("failover_rule", "ruleless"),
    ("pool_candidate", "lonely"),
    ("pool_candidate", "haunted"),
    ("order", "failing-first"),
    ("order", "slow-first"),
    ("order", "dear-first"),
    ("weight", "lopsided"),
    ("weight", "cramped"),
    ("limit", "throttled"),
    ("failure_domain", "alpha, beta"),
}


def days_ago(days: float) -> datetime:
    return (UNTIL - timedelta(days=days)).replace(second=0)


TOGETHER = tuple((days_ago(days), 9) for days in (6.3, 4.6, 3.1, 1.7))
ELSEWHEN = tuple((days_ago(days), 12) for days in (5.9, 4.1, 2.2, 0.4))
ONE_AFTERNOON = ((days_ago(2.9), 50), (days_ago(0.7), 40))


def provider(name: str) -> None:
    rows.provider(name, secret="a-key-of-it", base_url=f"https://{name}.example.com")


def knows(name: str, model: str, *, price: float = 4.0, **metadata: Any) -> None:
    known = {"capabilities": ABLE, "context_window": 200_000, "family": model.partition("-")[0]}
    pricing = {"input_per_mtok": price, "output_per_mtok": price}
    ProviderModel.objects.create(
        provider=Provider.objects.get(name=name),
        model_id=model,
        metadata={**known, "pricing": pricing, **metadata},
    )


def pool(
    name: str,
    *candidates: Behaviour,
    strategy: str = "priority_failover",
    rule: str = "shelter",
    **traffic: Any,
) -> PoolTraffic:
    """A pool with its candidates, their facts and a rule; what it returns makes its traffic."""
    row = CanonicalModel.objects.create(name=name, strategy=strategy)
    for position, each in enumerate(candidates):
        key = each.key
        Candidate.objects.create(
            canonical_model=row, provider_name=key["provider"], model=key["model"],
            weight=each.weight, position=position,
        )  # fmt: skip
        if not ProviderModel.objects.filter(
            provider__name=key["provider"], model_id=key["model"]
        ).exists():
            knows(key["provider"], key["model"], price=each.price)
    if rule:
        rows.rule(name, rule)
    is_weighted = strategy.startswith("weighted")
    return PoolTraffic(pool=name, candidates=candidates, is_weighted=is_weighted, **traffic)


def configure() -> list[PoolTraffic]:
    """The configuration of the week, and what its traffic is like."""
    for name in PROVIDERS:
        provider(name)
    Settings.objects.create(pk=1, disabled_models=["off-limits"])
    week = [
        pool(
            "shelter",
            Behaviour(name="east/shelter-1"),
            Behaviour(name="west/shelter-1"),
            rule="calm-0",
        ),
        *(
            pool(
                f"calm-{number}",
                Behaviour(name=f"north/calm{number}-1", fails=0.004, outages=ONE_AFTERNOON),
                Behaviour(name=f"south/calm{number}-1", price=4.2, content_ms=620),
                needs={"tools": 0.3},
            )
            for number in range(4)
        ),
    ]
    # Nothing of these is a problem.
    week += [
        pool(
            "mistaken",  # its callers are
            Behaviour(name="north/mistaken-1"),
            Behaviour(name="south/mistaken-1"),
            wrong=0.4,
        ),
        pool(
            "thrifty",  # the strategy chooses by price already
            Behaviour(name="north/thrifty-1", price=9),
            Behaviour(name="south/thrifty-1", price=2),
            strategy="lowest_cost",
        ),
        pool("off-limits", Behaviour(name="east/offlimits-1"), rule=""),
        pool("vectors", Behaviour(name="north/text-embedding-9"), rule=""),
        pool(
            "gamma-one", Behaviour(name="gamma/g-1", outages=ELSEWHEN), Behaviour(name="east/g-1")
        ),
    ]
    week += _planted()
    knows("west", "ruleless-2", price=5)
    knows("east", "ruleless-mini", price=1, capabilities={"tools": False})
    knows("south", "ruleless-short", price=4, context_window=8_000)
    seen = timezone.now()
    ListedModel.objects.create(
        provider="south", model_id="lonely-1", first_seen_at=seen, last_seen_at=seen
    )
    return week


def _planted() -> list[PoolTraffic]:
    return [
        pool(
            "ruleless",
            Behaviour(name="north/ruleless-1"),
            Behaviour(name="south/ruleless-1"),
            rule="",
            needs={"tools": 0.5, "vision": 0.02},
            most_input_tokens=90_000,
        ),
        pool("lonely", Behaviour(name="north/lonely-1")),
        pool(
            "haunted",
            Behaviour(name="west/haunted-1", fails=1.0, fault="model_not_found", status=404),
            Behaviour(name="east/haunted-1"),
            per_minute=1,
        ),
        pool(
            "failing-first",
            Behaviour(name="south/failing-1", fails=0.22),
            Behaviour(name="north/failing-1"),
        ),
        pool(
            "slow-first",
            Behaviour(name="south/slow-1", content_ms=4_200, fails=0.03),
            Behaviour(name="north/slow-1", content_ms=420),
        ),
        pool(
            "dear-first",
            Behaviour(name="south/dear-1", price=12, fails=0.03),
            Behaviour(name="north/dear-1", price=5),
        ),
        pool(
            "lopsided",
            Behaviour(name="south/lop-1", weight=4, fails=0.18),
            Behaviour(name="north/lop-1", weight=2),
            strategy="weighted_round_robin",
        ),
        pool(
            "cramped",  # in the busy hours alone
            Behaviour(name="west/cramped-1", most=3),
            Behaviour(name="north/cramped-1"),
            strategy="weighted_random",
            per_minute=6,
        ),
        pool(
            "throttled",
            Behaviour(name="east/throttled-1", most=1),
            Behaviour(name="west/throttled-1"),
        ),
        pool(
            "alpha-one", Behaviour(name="alpha/a-1", outages=TOGETHER), Behaviour(name="west/a-1")
        ),
        pool("beta-one", Behaviour(name="beta/b-1", outages=TOGETHER), Behaviour(name="west/b-1")),
    ]


def seed() -> int:
    """Everything, in the database; how many rows of traffic."""
    return Traffic(UNTIL).write(configure())
