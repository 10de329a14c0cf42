"""Snapshots and tables of many pools, over providers that nobody calls."""

from __future__ import annotations

import time

from providers.adapters.spec import CredentialSpec, ProviderSpec
from routing.gateway.deciding.snapshot import (
    CandidateSpec,
    Content,
    PoolSpec,
    Snapshot,
    checksum,
)
from routing.gateway.deciding.table import Table, compile_table

PROVIDERS = 20
FEW, MANY = 10, 10_000


def content(pools: int, breadth: int, strategy: str | None = None) -> Content:
    """`pools` pools of `breadth` candidates, each at another provider."""
    names = [f"provider-{number:02}" for number in range(PROVIDERS)]
    return Content(
        providers=tuple(
            ProviderSpec(
                name=name,
                kind="openai_compatible",
                base_url="http://127.0.0.1:9/v1",
                credentials=(CredentialSpec(label="main", secret=f"key-of-{name}"),),
            )
            for name in names
        ),
        pools=tuple(
            PoolSpec(
                name=f"pool-{number:05}",
                strategy=strategy,
                candidates=tuple(
                    CandidateSpec(
                        provider=names[(number + place) % PROVIDERS],
                        model=f"model-{number:05}-{place}",
                        priority=1 + place // 4,
                        weight=1 + place % 3,
                    )
                    for place in range(breadth)
                ),
            )
            for number in range(pools)
        ),
    )


def snapshot(of: Content, generation: int = 1) -> Snapshot:
    return Snapshot(
        generation=generation, created_at=time.time(), checksum=checksum(of), content=of
    )


def table(of: Content) -> Table:
    return compile_table(snapshot(of), decrypt=lambda token: token, environ={})
