"""
What pages and lists cost an operator who has much.

`python -m bench.pages [RECORDS]` opens each page of PAGES over 2,000 pools and aliases, 500 keys,
1,000 rules and RECORDS records (default: 200,000) of a day, on SQLite and on PostgreSQL as the
tests start it. It says milliseconds: the quickest of five, after one that warms up, because a
shared machine makes the others longer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bench.records import Figures, batches, on_both, set_up

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from routing.gateway.deciding.snapshot import Snapshot

COUNT: Final = 200_000
POOLS, KEYS, RULES, TEAMS, PROVIDERS, AT_ONCE = 2_000, 500, 1_000, 20, 12, 1_000
BENCHED_S: Final = 3600.0
TIMES: Final = 5
PAGES: Final = (
    "/admin/",
    "/admin/pools-now/",
    "/admin/pools-now/?status=degraded",
    "/admin/pools-now/?status=enabled&page=30",
    "/admin/pools-now/?q=pool-19",
    "/admin/explain/?model=pool-3",
    "/admin/routing/canonicalmodel/",
    "/admin/routing/canonicalmodel/?p=20",
    "/admin/routing/canonicalmodel/?q=pool-19",
    "/admin/routing/canonicalmodel/{pool}/change/",
    "/admin/routing/candidate/",
    "/admin/routing/alias/",
    "/admin/routing/routingstate/",
    "/admin/failover/bench/",
    "/admin/failover/failoverrule/",
    "/admin/failover/failoverrule/?q=pool-19",
    "/admin/providers/provider/",
    "/admin/providers/providermodel/",
    "/admin/controlplane/apikey/",
    "/admin/controlplane/team/",
    "/admin/controlplane/settings/1/change/",
    "/admin/controlplane/healthsnapshot/",
    "/admin/controlplane/alert/",
    "/admin/controlplane/suggestion/",
    "/admin/controlplane/revision/",
    "/admin/processes/",
    "/admin/jobs/",
    "/admin/controlplane/requestrecord/",
    "/admin/controlplane/requestrecord/?outcome=errors",
    "/admin/controlplane/requestrecord/?last=15",
    "/admin/controlplane/requestrecord/?slow=True",
    "/admin/controlplane/requestrecord/?team=team-3",
    "/admin/controlplane/requestrecord/?key=key-7&failover=True",
    "/admin/controlplane/requestrecord/?p=30",
    "/admin/controlplane/requestrecord/errors/",
    "/admin/controlplane/requestrecord/errors/?key=key-7",
    "/admin/controlplane/requestrecord/{record}/change/",
    "/api/providers",
    "/api/pools",
    "/api/pools?limit=50",
    "/api/aliases",
    "/api/routing/model-pools",
    "/api/keys",
    "/api/failover",
    "/api/requests",
)  # fmt: skip


def measure(count: int) -> Figures:
    """In the database of DATABASE_URL, which is empty."""
    set_up()
    end = datetime.now(UTC)
    fill()
    _keep_records(count, end)
    return _opened()


def fill() -> None:
    """Providers, pools, keys and rules, as an operator has them after some years."""
    from controlplane.models import ApiKey, Settings, Team  # noqa: PLC0415 - Django has to be set up
    from failover.models import FailoverRule  # noqa: PLC0415 - as above
    from providers.models import Credential, Provider, ProviderModel  # noqa: PLC0415 - as above
    from routing.models import Alias, Candidate, CanonicalModel  # noqa: PLC0415 - as above

    Settings.load()
    for number in range(PROVIDERS):
        provider = Provider.objects.create(
            name=f"provider-{number}", kind="simulator", base_url="http://127.0.0.1:9/v1"
        )
        Credential.objects.create(provider=provider, label="main", secret=f"key-of-{number}")
        ProviderModel.objects.bulk_create(
            ProviderModel(provider=provider, model_id=f"m-{model}", position=model)
            for model in range(10)
        )
    pools = CanonicalModel.objects.bulk_create(
        [CanonicalModel(name=f"pool-{n}") for n in range(POOLS)], batch_size=AT_ONCE
    )
    Candidate.objects.bulk_create(
        [
            Candidate(
                canonical_model=pool,
                provider_name=f"provider-{(n + place) % PROVIDERS}",
                model=f"m-{n % 100}",
                position=place,
            )
            for n, pool in enumerate(pools)
            for place in range(1 + n % 4)
        ],
        batch_size=AT_ONCE,
    )
    Alias.objects.bulk_create(Alias(name=f"alias-{n}", target=f"pool-{n}") for n in range(POOLS))
    FailoverRule.objects.bulk_create(
        FailoverRule(primary_model=f"pool-{n}", fallback_models=[f"pool-{n + 1}", f"pool-{n + 2}"])
        for n in range(RULES)
    )
    teams = Team.objects.bulk_create([Team(name=f"team-{n}") for n in range(TEAMS)])
    keys = [ApiKey(name=f"key-{n}", team=teams[n % TEAMS]) for n in range(KEYS)]
    for key in keys:
        key.set_key(f"sy_bench-key-of-the-pages-{key.name}-0123456789")
    ApiKey.objects.bulk_create(keys)


def _keep_records(count: int, end: datetime) -> None:
    from controlplane.records.ingest import store  # noqa: PLC0415 - Django has to be set up

    for batch in batches(count, end, pools=POOLS, keys=KEYS):
        store(batch)


def _snapshot() -> Snapshot:
    from controlplane.publishing.content import Builder  # noqa: PLC0415 - Django has to be set up
    from tests.support.builders import snapshot  # noqa: PLC0415 - as above

    return snapshot(Builder().build())


def _opened() -> Figures:
    """Every page as the worker that serves it has it, with some providers' models benched."""
    from controlplane.models import RequestRecord  # noqa: PLC0415 - Django has to be set up
    from routing.models import CanonicalModel  # noqa: PLC0415 - as above
    from tests.support.builders import bench_entry  # noqa: PLC0415 - as above
    from tests.support.workers import WorkerClient, local_worker  # noqa: PLC0415 - as above

    names = {
        "pool": CanonicalModel.objects.order_by("pk")[POOLS // 2].pk,
        "record": RequestRecord.objects.first().pk,  # type: ignore[union-attr] # there are some
    }
    now = time.time()
    benches = [
        bench_entry(f"provider-{n}/m-{n}", since=now, until=now + BENCHED_S)
        for n in range(PROVIDERS)
    ]
    with local_worker(_snapshot()) as worker:
        gateway = worker.gateway
        worker.read(lambda: gateway.live.benches.merge(benches, gateway.clock()))
        client = WorkerClient(worker, headers={"host": "localhost"})
        client.force_login(_operator())

        def show(page: str) -> float:
            began = time.perf_counter()
            answer = client.get(page.format(**names))
            body = answer.getvalue()
            assert answer.status_code == 200, (page, answer.status_code, body[:500])
            return (time.perf_counter() - began) * 1000

        figures = {}
        for page in PAGES:
            show(page)
            figures[page] = min(show(page) for _ in range(TIMES))
    return figures


def _operator() -> User:
    from django.contrib.auth.models import User  # noqa: PLC0415 - Django has to be set up

    return User.objects.create_superuser("bench")


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    if os.environ.get("MEASURED"):
        print(json.dumps(measure(asked)))
    else:
        on_both("bench.pages", asked, width=60)
