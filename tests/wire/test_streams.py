"""Every recorded stream, however its bytes are cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from providers.errors import Failure
from providers.protocols import Scanner
from tests.support.wire import scanner_of

pytestmark = pytest.mark.pure

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/*/facts.json"))
IDS = [f"{case.parent.name}-{case.name}" for case in CASES]


def scan(case: Path, pieces: list[bytes], facts: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    options = {"include_usage": True} if facts["wants_usage"] else {}
    target = facts.get("target", "")
    scanner = scanner_of(case.parent.name, target=target, stream_options=options)
    passed = b"".join([scanner.feed(piece) for piece in pieces])
    last, failure = scanner.end()
    return passed + last, seen(scanner, failure)


def seen(scanner: Scanner, failure: Failure | None) -> dict[str, Any]:
    return {
        "has_content": scanner.has_content,
        "finished": scanner.finished,
        "fault": failure.fault.value if failure else None,
        "status": failure.status if failure else None,
        "code": failure.code if failure else None,
        "usage": asdict(scanner.usage) if scanner.usage else None,
    }


def expected(case: Path) -> tuple[bytes, bytes, dict[str, Any], dict[str, Any]]:
    facts = json.loads((case / "facts.json").read_text())
    wanted = {name: facts[name] for name in facts if name not in ("why", "wants_usage", "target")}
    return (case / "upstream.sse").read_bytes(), (case / "caller.sse").read_bytes(), facts, wanted


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_stream_means_the_same_wherever_it_is_cut(case: Path) -> None:
    upstream, caller, facts, wanted = expected(case)
    assert scan(case, [upstream], facts) == (caller, wanted)
    single = [upstream[i : i + 1] for i in range(len(upstream))]
    assert scan(case, single, facts) == (caller, wanted)
    for cut in range(1, len(upstream)):
        assert scan(case, [upstream[:cut], upstream[cut:]], facts) == (caller, wanted), cut


def test_there_is_a_case_for_every_way_a_stream_can_end() -> None:
    faults = {json.loads((case / "facts.json").read_text())["fault"] for case in CASES}
    assert faults >= {None, "bad_stream", "interrupted", "rate_limited", "overloaded"}
