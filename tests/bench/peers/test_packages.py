"""What peers are installed from."""

from __future__ import annotations

import pytest

from bench.peers import packages
from bench.peers.portkey import Portkey


def test_a_package_that_is_not_to_be_had_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "HOME", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    package = packages.Package(installer="npm", name="@none/none", version="1")
    peer = packages.Peer(name="none", package=package, gateway=Portkey)

    with pytest.raises(packages.CannotInstall, match="node is not installed"):
        peer.install()
