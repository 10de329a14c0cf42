"""What a "provider/model" name says."""

from __future__ import annotations

import pytest

from providers.adapters.spec import split_name

pytestmark = pytest.mark.pure

PROVIDERS = frozenset({"lab", "lab/eu"})


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("lab/small", ("lab", "small")),
        ("lab/eu/small", ("lab/eu", "small")),
        ("lab/us/small", ("lab", "us/small")),
        ("lab/eu/", ("lab", "eu/")),
        ("lab/", None),
        ("/small", None),
        ("lab", None),
        ("other/small", None),
    ],
)
def test_the_longest_provider_that_leaves_a_model_wins(name, pair):
    assert split_name(name, PROVIDERS.__contains__) == pair
