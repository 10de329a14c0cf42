"""A number and what it counts agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from providers.saying.counting import counted, noun

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]
# "{len(names)} models" and "{one.requests:,} requests": of one there would be "1 models".
BARE = re.compile(
    r"\{(?:len\([^{}]*\)|[\w.]*(?:count|number|requests|calls|minutes|deleted))(?::,)?\}"
    r" (?:models?|objects|requests|calls|minutes|hours|lists|headers|keys|pools|records|errors"
    r"|providers|rules|hosts|workers|tokens)\b"
)

MANY = {"{number:,} objects"}  # too many of them


def test_a_number_and_its_noun_agree():
    assert counted(0, "model") == "0 models"
    assert counted(1, "model") == "1 model"
    assert counted(2000, "alias", "aliases") == "2,000 aliases"
    assert counted(1, "was", "were") == "1 was"
    assert (noun(1, "request"), noun(2, "request")) == ("request", "requests")


def test_no_text_counts_without_it():
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for folder in ("controlplane", "failover", "providers", "routing")
        for path in (ROOT / folder).rglob("*.py")
        for match in BARE.finditer(path.read_text())
        if match.group() not in MANY
    ]
    assert found == []
