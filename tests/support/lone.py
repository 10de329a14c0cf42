"""A gateway for what is run by hand, without pytest's fixtures."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from providers.secrets.encryption import load_keyring
from tests.support.gateways import GatewayProcess, environment, manage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def lone_gateway(config: Mapping[str, Any]) -> Iterator[GatewayProcess]:
    """`manage.py serve` in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="switchyard-") as name:
        folder = Path(name)
        template = folder / "template"
        manage("migrate", "--verbosity", "0", env=environment(template))
        load_keyring({}, template)
        gateway = GatewayProcess(folder, template=template, config=config, arguments=(), env={})
        try:
            gateway.wait_until_ready()
            yield gateway
        finally:
            gateway.stop()
