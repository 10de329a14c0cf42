"""What an edit that somebody waits for may take."""

from __future__ import annotations

import pytest

from controlplane.config.apply import MOST_OBJECTS, apply_text
from controlplane.config.yaml import ConfigErrors, Tree
from controlplane.edits.patience import OutOfPatience, limited
from providers.models import Provider
from tests.support import rows
from tests.support.api import ADMIN_KEY, Api

pytestmark = pytest.mark.django_db
MEMBER = {"provider_name": "lab", "model": "m"}
TEXT = "providers:\n  lab: {kind: simulator}\n"


def test_an_apply_that_takes_too_long_changes_nothing_and_says_so() -> None:
    with pytest.raises(OutOfPatience, match="longer than 0 seconds"), limited(0):
        apply_text(TEXT, filename="x", environ={})

    assert not Provider.objects.exists()


def test_within_its_time_it_is_applied() -> None:
    with limited(60):
        apply_text(TEXT, filename="x", environ={})

    assert Provider.objects.get().name == "lab"


def test_reading_a_text_runs_out_of_patience_too() -> None:
    with pytest.raises(OutOfPatience), limited(0):
        Tree(TEXT, filename="x", environ={})


def test_more_objects_than_may_be_are_counted_in_the_mistake() -> None:
    rules = "{" + ",".join(f"m{n}: [x]" for n in range(50)) + "}"
    few = f"failover: {{rules: {rules}}}\n"
    with pytest.raises(ConfigErrors) as refused:
        apply_text(few + "aliases: {" + ",".join(f"a{n}: m" for n in range(MOST_OBJECTS)) + "}",
                   filename="x", environ={})  # fmt: skip

    assert "20,050 objects (aliases has 20,000) are too many, allowed: 20,000" in str(refused.value)


@pytest.mark.parametrize(
    ("method", "path", "body", "most"),
    [
        ("put", "failover", {"primary_model": "a", "fallback_models": ["m"] * 101}, "100"),
        ("put", "failover", {"primary_model": "a", "fallback_models": ["m"] * 100_000}, "20,000"),
        ("post", "aliases", {"name": "a", "targets": [MEMBER] * 1001},
         "1,000"),
        ("post", "pools",
         {"name": "a", "candidates": [MEMBER] * 1001}, "1,000"),
        ("post", "providers", {"name": "a", "kind": "openai", "models": [{"model": "m"}] * 1001},
         "1,000"),
        ("post", "keys", {"name": "a", "models": ["m"] * 1001}, "1,000"),
    ],
)  # fmt: skip
def test_lists_are_bounded_and_the_answer_names_how_many(method, path, body, most) -> None:
    rows.api_key("operator", ADMIN_KEY, scopes=["admin"])

    answer = Api()(method, path, body)

    assert answer.status_code == 400, answer.content
    assert most in answer.content.decode()
