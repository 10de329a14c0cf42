"""
The hosts that run beside this one, for what must not be taken from them.

All hosts share one set of rows. One that was started with other encryption keys, or without the
configuration file, must not make the others' rows its own: they would lose them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from django.conf import settings

from controlplane.hosts.fleet import fleet
from providers.secrets.encryption import KEYS_VARIABLE, CannotDecrypt
from routing.gateway.link.fleet import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routing.gateway.link.fleet import HostSeen


def refuse_to_take_secrets(keys_fingerprint: str) -> None:
    """Raise CannotDecrypt if a host that runs has other keys than those of `keys_fingerprint`."""
    for host in _others():
        if host.keys_fingerprint not in ("", keys_fingerprint):
            raise CannotDecrypt(
                f"stored secrets cannot be decrypted with this host's {KEYS_VARIABLE}, and"
                f" {host.host} ({host.data_dir}) runs with others: give both the same"
            )


def keeper_of_a_file() -> HostSeen | None:
    """A host that runs with a configuration file; None if none does."""
    return next((host for host in _others() if host.config_file), None)


def _others() -> Iterator[HostSeen]:
    """Those that have told something in the last ten seconds, apart from this DATA_DIR's own."""
    here = (socket.gethostname(), str(settings.DATA_DIR))
    for host in fleet().hosts:
        if host.state != SILENT and (host.host, host.data_dir) != here:
            yield host
