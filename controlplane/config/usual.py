"""What holds where an object does not say, in the words in which a change of it is told."""

from __future__ import annotations

import json
import re
from typing import Final

from controlplane.config.general import ADMIN_ONLY
from controlplane.edits.kinds import SETTINGS
from controlplane.models import Settings
from routing.validation import CAPTURE_SWITCHES, KEEP_DAYS, POOL_SETTINGS

_AS_SET: Final = "as in the settings"
_VALUES: Final = {
    "enabled": "true",
    "trust_env_proxy": "true",
    "priority": "1",
    "weight": "1",
    "scopes": '["inference"]',
    **dict.fromkeys(("rpm", "tpm", "max_parallel"), "no limit"),
    "interval_s": "60",
}
_OWN: Final = {
    "provider": {"base_url": "the kind's own", "auth": "the kind's own", "protocols": "the kind's"},
    "key": {"models": "every model", "expires_at": "never"},
    "webhook": {"kind": "signed"},
    "pool": dict.fromkeys(POOL_SETTINGS, _AS_SET),
    "alias": {"strategy": _AS_SET},
    SETTINGS: {"routing.defaults.failover.hedge_after_ms": "off"},
}
_CAPTURED: Final = frozenset({"capture", *CAPTURE_SWITCHES, *KEEP_DAYS})
_MEMBER: Final = re.compile(r"\[.*\]$")


def usual(kind: str, field: str) -> str:
    """For `field` of an object of `kind`, as a FieldChange names it."""
    if _MEMBER.search(field):
        return "not listed"
    first, last = re.split(r"[.\[]", field, maxsplit=1)[0], field.rsplit(".", 1)[-1]
    if own := _OWN.get(kind, {}).get(field):
        return own
    if kind == SETTINGS:
        is_admins = field in ADMIN_ONLY
        return json.dumps(getattr(Settings(), field)) if is_admins else "the default"
    if first in {"timeouts", "bench", "failover"}:
        return _AS_SET
    if first == "capture" and last in _CAPTURED:
        return "as in general" if kind == "pool" else "as its pools'"
    return _VALUES.get(last, "none")
