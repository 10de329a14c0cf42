"""Writes pools, aliases, failover rules and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.config.rows.part import (
    Fields,
    Part,
    parts_of,
    sync,
)
from controlplane.config.yaml import Mistake
from controlplane.models import ApiKey, Team, digest_of
from failover.models import FailoverRule
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.validation import POOL_SETTINGS

if TYPE_CHECKING:
    from controlplane.config.schema import AliasTargetBlock, CandidateBlock


def write_pools(part: Part) -> bool:
    pools = part.document.blocks.routing.model_pools
    desired: dict[str, Fields] = {
        name: {
            "managed_source": part.source,
            "enabled": pool.enabled,
            **{field: getattr(pool, key) for key, field in POOL_SETTINGS.items()},
            "affinity_key": pool.affinity_key,
            "timeouts": pool.timeouts.given(),
            "failover": pool.failover.given(),
            "capture": pool.capture.given(),
        }
        for name, pool in part.of("pool", pools)
    }
    moved = sync(CanonicalModel, part.rows("pool", CanonicalModel), desired, "name")
    ids = part.ids("pool", CanonicalModel)
    candidates: dict[tuple[int, str, str], Fields] = {
        (ids[name], candidate.provider, candidate.model): {
            **_target_fields(candidate, position),
            "rpm": candidate.rpm,
            "tpm": candidate.tpm,
            "max_parallel": candidate.max_parallel,
            "enabled": candidate.enabled,
            "timeouts": candidate.timeouts.given(),
        }
        for name, pool in part.of("pool", pools)
        for position, candidate in enumerate(pool.candidates)
    }
    rows = parts_of(ids, Candidate, canonical_model__managed_source=part.source)
    return moved | sync(Candidate, rows, candidates, "canonical_model_id", "provider_name", "model")


def _target_fields(target: CandidateBlock | AliasTargetBlock, position: int) -> Fields:
    return {"priority": target.priority, "weight": target.weight, "position": position}


def write_aliases(part: Part) -> bool:
    blocks = part.document.blocks
    source = {"managed_source": part.source}
    desired: dict[str, Fields] = {
        name: {
            **source,
            "target": alias.target,
            "strategy": alias.strategy,
            "enabled": alias.enabled,
        }
        for name, alias in part.of("alias", blocks.aliases)
    }
    for pool_name, pool in blocks.routing.model_pools.items():
        for name in pool.aliases:
            if part.has("alias", name):
                desired[name] = {**source, "target": pool_name, "strategy": "", "enabled": True}
    moved = sync(Alias, part.rows("alias", Alias), desired, "name")
    ids = part.ids("alias", Alias)
    targets: dict[tuple[int, str, str], Fields] = {
        (ids[name], target.provider, target.model): _target_fields(target, position)
        for name, alias in part.of("alias", blocks.aliases)
        for position, target in enumerate(alias.targets)
    }
    rows = parts_of(ids, AliasTarget, alias__managed_source=part.source)
    return moved | sync(AliasTarget, rows, targets, "alias_id", "provider_name", "model")


def write_rules(part: Part) -> bool:
    off = set(part.document.blocks.failover.disabled_rules)
    desired: dict[str, Fields] = {
        primary: {
            "managed_source": part.source,
            "fallback_models": list(targets),
            "enabled": primary not in off,
        }
        for primary, targets in part.of("rule", part.document.rules)
    }
    return sync(FailoverRule, part.rows("rule", FailoverRule), desired, "primary_model")


def write_keys(part: Part) -> bool:
    listed = [
        (index, block)
        for index, block in enumerate(part.document.blocks.keys)
        if block.key and part.has("key", block.name)
    ]
    rows = part.rows("key", ApiKey)
    stored = {row.name: row for row in rows}
    teams: dict[str, int] = dict(Team.objects.values_list("name", "pk"))
    for name in {block.team for _index, block in listed if block.team} - teams.keys():
        teams[name] = Team.objects.create(name=name).pk
    desired: dict[str, Fields] = {}
    for index, block in listed:
        shown = ApiKey()
        if part.is_kept("keys", index, "key"):
            if block.name not in stored:
                part.nothing_to_keep("keys", index, "key")
                continue
            shown = stored[block.name]
        else:
            shown.set_key(block.key)
        desired[block.name] = {
            "managed_source": part.source,
            "digest": shown.digest,
            "prefix": shown.prefix,
            "last4": shown.last4,
            "team_id": teams[block.team] if block.team else None,
            "models": block.models,
            "user_path": block.user_path,
            "scopes": block.scopes,
            "rpm": block.rpm,
            "tpm": block.tpm,
            "max_parallel": block.max_parallel,
            "enabled": block.enabled,
            "expires_at": block.expires_at,
            "capture": block.capture.given(),
        }
    # Digests are unique: where entries trade keys, each must let go before another takes.
    for row in rows:
        if row.name in desired and desired[row.name]["digest"] != row.digest:
            ApiKey.objects.filter(pk=row.pk).update(digest=f"moving {row.pk}")
    return sync(ApiKey, rows, desired, "name")


def refuse_shared_keys(part: Part) -> None:
    """Note each key that a row has already that will stay: it would be two principals."""
    place_of = {
        digest_of(block.key): index
        for index, block in enumerate(part.document.blocks.keys)
        if block.key and part.has("key", block.name) and not part.is_kept("keys", index, "key")
    }
    kept = {
        block.name
        for index, block in enumerate(part.document.blocks.keys)
        if part.is_kept("keys", index, "key")
    }
    going = {row.pk for row in part.rows("key", ApiKey) if row.name not in kept}
    for row in ApiKey.objects.filter(digest__in=list(place_of)).order_by("name"):
        if row.pk not in going:
            where = "the configuration" if row.is_managed_by_config else "admin"
            part.mistakes.append(
                Mistake(
                    file=part.document.filename,
                    line=part.document.tree.line(("keys", place_of[row.digest], "key")),
                    path=f"keys[{place_of[row.digest]}].key",
                    text=f'the same key as "{row.name}" in {where}, allowed: another key',
                )
            )
