"""Whose address and scheme counts behind proxies."""

from __future__ import annotations

import pytest

from controlplane.door.forwarding import as_forwarded, networks

pytestmark = pytest.mark.pure
TRUSTED = networks(["10.0.0.0/8", "2001:db8::/32"])


def told(peer: str, *forwarded: str, proto: str = "", trusted: object = TRUSTED) -> tuple[str, str]:
    headers = [(b"x-forwarded-for", text.encode()) for text in forwarded]
    headers += [(b"x-forwarded-proto", proto.encode())] if proto else []
    scope = {"client": (peer, 9), "scheme": "http", "headers": headers}
    found = as_forwarded(scope, dict(headers), trusted)  # type: ignore[arg-type]
    return found["client"][0], found["scheme"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.66, 192.0.2.7"], "192.0.2.7"),  # the left one anybody can write
        ("10.0.0.1", ["192.0.2.66", "192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7:443, 10.0.0.2"], "192.0.2.7"),
        ("2001:db8::1", ["[2001:db9::5]:1234"], "2001:db9::5"),
        ("10.0.0.1", ["192.0.2.66, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("192.0.2.9", ["192.0.2.66"], "192.0.2.9"),  # nobody's proxy
    ],
)
def test_the_last_address_that_no_trusted_proxy_has_counts(peer, forwarded, address) -> None:
    assert told(peer, *forwarded)[0] == address


def test_the_scheme_is_a_trusted_proxys_word_alone() -> None:
    assert told("10.0.0.1", proto="https")[1] == "https"
    assert told("10.0.0.1", proto="http, https")[1] == "https"
    assert told("10.0.0.1", proto="gopher")[1] == "http"
    assert told("192.0.2.9", proto="https")[1] == "http"
    assert told("10.0.0.1", proto="https", trusted=())[1] == "http"
