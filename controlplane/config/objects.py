"""
The configuration that is stored, object by object, in the shape of the configuration file.

An object is a mapping without what equals a default, so that two states can be compared, shown
and written as a file. A secret is only a Secret: its fingerprint tells whether it has changed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from controlplane.config.general import ADMIN_ONLY, SETTING_OF_KEY, TIMEOUT_KEYS
from controlplane.edits.kinds import KINDS, SETTINGS, ObjectKey
from controlplane.models import ApiKey, ConfigSource, Settings
from failover.models import FailoverRule
from providers.managed.models import ManagedSource, counting
from providers.models import Credential, Provider, ProviderModel
from providers.secrets.encryption import CannotDecrypt
from routing.models import Alias, AliasTarget, Candidate, CanonicalModel
from routing.validation import POOL_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from django.db.models import Model, QuerySet

    from providers.managed.models import ManagedModel
    from providers.secrets.fields import EncryptedText

MANAGED: Final = "managed by configuration"
CONFIG, DASHBOARD = str(ManagedSource.CONFIG), str(ManagedSource.DASHBOARD)
MANY: Final = 5_000  # names that a question may hold, in every database
RULES_KEYS: Final = "failover.rules."  # ConfigSource repeats the rules; they are objects

Block = dict[str, Any]
Row = TypeVar("Row", bound="ManagedModel")


State = dict[ObjectKey, Block]


@dataclass(frozen=True, slots=True)
class Secret:
    """Stands for a secret. Equal ones have equal fingerprints, which are never shown."""

    fingerprint: str

    @classmethod
    def of(cls, text: str) -> Secret:
        return cls(sha256(f"switchyard revision {text}".encode()).hexdigest()[:16])

    def __repr__(self) -> str:
        return "Secret(…)"


def collect(wanted: Mapping[str, Collection[str]] | None = None) -> State:
    """Every object of both sources, or those that `wanted` names by kind; by few queries."""
    state: State = {}
    for kind in KINDS.values():
        names = None if wanted is None else wanted.get(kind.name, ())
        if names is None or names:
            state |= kind.reader(names)
    if wanted is None or SETTINGS in wanted:
        state |= _settings()
    return state


def effective(state: State) -> State:
    """
    The objects that count: the configuration's, admin's that nothing shadows, all settings.

    An alias counts for nothing beside a pool of its name, which another source may have made.
    """
    those = counting(((key.kind, key.name), key.source, key) for key in state)
    pools = {key.name for key in state if key.kind == "pool"}
    return {
        key: block
        for key, block in state.items()
        if key.kind == SETTINGS
        or (those[key.kind, key.name] == key and not (key.kind == "alias" and key.name in pools))
    }


def _compact(block: Mapping[str, Any], **defaults: Any) -> Block:
    """`block` without what says nothing, or the default."""
    return {
        name: value
        for name, value in block.items()
        if value is not None
        and value not in ("", [], {})
        and not (name in defaults and value == defaults[name])
    }


def _json(value: Any) -> Any:
    """JSON as both databases would give it back: mappings sorted, whole numbers whole."""
    if isinstance(value, dict):
        return {name: _json(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_json(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _named(model: type[Row], names: Collection[str] | None) -> list[Row]:
    rows: QuerySet[Row] = model._default_manager.all()  # noqa: SLF001 - Django documents it
    if names is not None and len(names) > MANY:
        return [row for row in _named(model, None) if getattr(row, model.identity) in names]
    if names is not None:
        rows = rows.filter(**{f"{model.identity}__in": list(names)})
    return sorted(rows, key=lambda row: (getattr(row, model.identity), row.managed_source))


def _parts(model: type[Model], owner: str, owners: Iterable[Model]) -> dict[int, list[Any]]:
    """The rows of `model` by their owner's id, in order."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    ids = [row.pk for row in owners]
    rows = model._default_manager.order_by("position", "pk")  # noqa: SLF001 - Django documents it
    if len(ids) < 500:  # more than a database takes as parameters: then all are read
        rows = rows.filter(**{f"{owner}__in": ids})
    for row in rows:
        found[getattr(row, owner)].append(row)
    return found


def providers(names: Collection[str] | None) -> State:
    rows = _named(Provider, names)
    credentials = _parts(Credential, "provider_id", rows)
    inventory = _parts(ProviderModel, "provider_id", rows)
    return {
        ObjectKey("provider", row.name, row.managed_source): _compact(
            {
                "kind": row.kind,
                "base_url": row.base_url,
                "auth": row.auth,
                "enabled": row.enabled,
                "api_keys": [_credential(entry, row) for entry in credentials[row.pk]],
                "models": [
                    _compact({"id": entry.model_id, "metadata": _json(entry.metadata)})
                    for entry in inventory[row.pk]
                ],
                "protocols": list(row.protocols),
                "headers": {name: secret_of(row.headers[name]) for name in sorted(row.headers)},
                "timeouts": _json(row.timeouts),
                "health": _json(row.health),
                "failure_domain": _json(row.failure_domain),
                "proxy": _proxy(row),
                "trust_env_proxy": row.trust_env_proxy,
                "bench": _json(row.bench),
                "fault": row.fault,
            },
            enabled=True,
            trust_env_proxy=True,
        )
        for row in rows
    }


def _proxy(row: Provider) -> Secret | str:
    """In clear if it holds no password, nor could."""
    try:
        proxy = row.proxy.reveal()
        is_open = "@" not in urlsplit(proxy).netloc
    except ValueError:  # CannotDecrypt is one
        is_open = False
    return proxy if is_open else secret_of(row.proxy)


def secret_of(stored: EncryptedText) -> Secret:
    try:
        return Secret.of(stored.reveal())
    except CannotDecrypt:
        return Secret.of(stored.token)  # its key is lost; it stays what it is


def _credential(row: Credential, provider: Provider) -> Block:
    row.provider = provider  # asking for each would be a query for each
    return _compact(
        {"label": row.label, "key": secret_of(row.secret), "enabled": row.enabled}, enabled=True
    )


def pools(names: Collection[str] | None) -> State:
    rows = _named(CanonicalModel, names)
    candidates = _parts(Candidate, "canonical_model_id", rows)
    return {
        ObjectKey("pool", row.name, row.managed_source): {
            "candidates": [
                _target(
                    candidate,
                    rpm=candidate.rpm,
                    tpm=candidate.tpm,
                    max_parallel=candidate.max_parallel,
                    enabled=candidate.enabled,
                    timeouts=_json(candidate.timeouts),
                )
                for candidate in candidates[row.pk]
            ],
            **_compact(
                {
                    "enabled": row.enabled,
                    **{
                        key: _setting(key, getattr(row, field))
                        for key, field in POOL_SETTINGS.items()
                    },
                    "affinity_key": row.affinity_key,
                    "timeouts": _json(row.timeouts),
                    "failover": _json(row.failover),
                    "capture": _json(row.capture),
                },
                enabled=True,
            ),
        }
        for row in rows
    }


def _target(row: Candidate | AliasTarget, **more: Any) -> Block:
    return _compact(
        {
            "provider": row.provider_name,
            "model": row.model,
            "priority": row.priority,
            "weight": row.weight,
            **more,
        },
        priority=1,
        weight=1,
        enabled=True,
    )


def aliases(names: Collection[str] | None) -> State:
    rows = _named(Alias, names)
    targets = _parts(AliasTarget, "alias_id", rows)
    return {
        ObjectKey("alias", row.name, row.managed_source): _compact(
            {
                "target": row.target,
                "targets": [_target(target) for target in targets[row.pk]],
                "strategy": row.strategy,
                "enabled": row.enabled,
            },
            enabled=True,
        )
        for row in rows
    }


def rules(names: Collection[str] | None) -> State:
    return {
        ObjectKey("rule", row.primary_model, row.managed_source): _compact(
            {"fallback_models": list(row.fallback_models), "enabled": row.enabled}, enabled=True
        )
        for row in _named(FailoverRule, names)
    }


def keys(names: Collection[str] | None) -> State:
    from controlplane.models import Team  # noqa: PLC0415 - beside its only use

    teams = dict(Team.objects.values_list("pk", "name"))
    return {
        ObjectKey("key", row.name, row.managed_source): _compact(
            {
                "key": Secret.of(row.digest),
                "team": teams.get(row.team_id, "") if row.team_id else "",
                "models": list(row.models),
                "user_path": row.user_path,
                "scopes": list(row.scopes),
                "rpm": row.rpm,
                "tpm": row.tpm,
                "max_parallel": row.max_parallel,
                "enabled": row.enabled,
                "expires_at": moment(row.expires_at) if row.expires_at else None,
                "capture": _json(row.capture),
            },
            enabled=True,
            scopes=["inference"],
        )
        for row in _named(ApiKey, names)
    }


def _settings() -> State:
    row = Settings.objects.filter(pk=1).first() or Settings()
    given = ConfigSource.objects.filter(pk=1).values_list("values", flat=True).first() or {}
    values = {
        name: _setting(name, entry["value"])
        for name, entry in sorted(given.items())
        if not name.startswith(RULES_KEYS)
    }
    own = {ObjectKey(SETTINGS, "", DASHBOARD): settings_block(row)}
    return own | ({ObjectKey(SETTINGS, "", CONFIG): values} if values else {})


def settings_block(row: Settings) -> Block:
    """The settings by the file's dotted keys, defaults too; without what is off for being empty."""
    block = {name: _setting(name, getattr(row, field)) for name, field in SETTING_OF_KEY.items()}
    usual = Settings()
    own = {name: getattr(row, name) for name in ADMIN_ONLY}
    block |= {name: value for name, value in own.items() if value != getattr(usual, name)}
    block |= {TIMEOUT_KEYS + name: value for name, value in _json(row.timeouts).items()}
    return {name: block[name] for name in sorted(block) if block[name] is not None}


def _setting(name: str, value: Any) -> Any:
    return duration(value) if name.endswith("session_affinity_ttl") else _json(value)


def duration(seconds: float | None) -> str | None:
    """Seconds as the file has them: 1800 → "30m". Exact."""
    if seconds is None:
        return None
    if not float(seconds).is_integer():
        return f"{format(Decimal(repr(float(seconds))), 'f')}s"
    whole = int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole % length == 0:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def moment(value: datetime) -> str:
    """A time as the file has it, in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
