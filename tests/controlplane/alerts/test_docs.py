"""What the page for operators says is so."""

from __future__ import annotations

import re
from typing import Any

import pytest

from controlplane.alerts.addresses import signature
from controlplane.alerts.kinds import KINDS
from tests.support.imports import ROOT

pytestmark = pytest.mark.pure
PAGE = (ROOT / "docs/alerts.md").read_text("utf-8")


def test_the_table_of_kinds_is_that_of_the_code() -> None:
    table = [line for line in PAGE.splitlines() if re.match(r"\| `\w+` \| (yes)?", line)]

    told = [line for line in table if line.count("|") == 5]
    assert told == [
        f"| `{kind.name}` |{' yes' if kind.is_urgent else ''} |"
        f" {f'{kind.settle_s:g} s' if kind.settle_s else 'at once'} | {kind.about} |"
        for kind in KINDS.values()
    ]


def test_a_receiver_that_verifies_as_the_page_says_takes_ours_and_no_other() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    verify = names["is_from_switchyard"]
    now = int(names["time"].time())
    body = b'{"id": 1}'
    header = signature("hush", now, body)

    assert verify(header, body, "hush")
    assert not verify(header, b'{"id": 2}', "hush")
    assert not verify(header, body, "other")
    assert not verify(signature("hush", now - 1000, body), body, "hush")
