"""What request headers ask of the gateway."""

from __future__ import annotations

import pytest

from providers.adapters.simulator.faults import FAULTS, SimulatedFault
from routing.gateway.deciding.keys import MASTER, Key
from routing.gateway.deciding.snapshot import KeySpec
from routing.gateway.errors import Refused
from routing.gateway.ingress import SIMULATE, faults_of

pytestmark = pytest.mark.pure

PROVIDERS = {"gw", "lab"}


def asked(text: str, key: Key = MASTER) -> dict[str, SimulatedFault]:
    return dict(faults_of({SIMULATE: text.encode()}, key, PROVIDERS))


def test_an_admin_may_have_providers_pretend_faults() -> None:
    assert asked("gw=status:429:retry_after=7, lab=slow:ttft_ms=500:gap_ms=50") == {
        "gw": SimulatedFault(kind="status", status=429, retry_after_s=7),
        "lab": SimulatedFault(kind="slow", ttft_ms=500, gap_ms=50),
    }
    assert asked("gw=cut:3")["gw"].text == "cut:3"


@pytest.mark.parametrize("text", ["gw=status:503", "gw=nonsense", ""])
def test_nobody_else_may_whatever_is_asked(text: str) -> None:
    key = Key.compile(KeySpec(name="k", digest=b""))
    with pytest.raises(Refused) as refused:
        asked(text, key)
    assert (refused.value.status, refused.value.code) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("", "''"),
        ("gw", "'gw'"),
        ("gw=", "'gw='"),
        ("gw=explode", "'gw=explode'"),
        ("gw=stall,lab=status:99", "'lab=status:99'"),
        ("gw=flaky:2", "'gw=flaky:2'"),
        ("gw=stall,", "''"),
        ("gw=cut:" + "9" * 500, "'gw=cut:"),
    ],
)
def test_nonsense_is_named_with_what_is_allowed(text: str, entry: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(text)
    assert refused.value.status == 400
    assert entry in refused.value.message
    assert FAULTS in refused.value.message
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gone=stall", "no provider 'gone'"),
        ("=stall", "no provider ''"),
        ("gw=stall,gw=empty", "gw is there twice"),
    ],
)
def test_a_provider_has_to_be_there_and_once(text: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        asked(text)
    assert refused.value.status == 400
