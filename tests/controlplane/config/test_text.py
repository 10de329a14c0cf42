"""The exported text is YAML that says exactly what was put into it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.config.objects import ObjectKey, Secret, duration
from controlplane.config.schema import PoolBlock
from controlplane.config.text import text_of, written
from controlplane.config.yaml import Tree

pytestmark = pytest.mark.pure

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
NAMES = st.one_of(
    TEXT.filter(lambda name: "${" not in name),
    st.sampled_from(["null", "yes", "1.5", "<<", "=", "-", "a: b", "# c", "{", "~"]),
)
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["${A}", "$${A}", "$$$", "on", "012", "1e3", "2026-01-01", " a", "a ", "a\nb"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(SCALARS, max_size=4),
        st.lists(st.dictionaries(NAMES, SCALARS, min_size=1, max_size=3), max_size=3),
        st.dictionaries(NAMES, inner, max_size=4),
    ),
    max_leaves=20,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_written_is_read_again(tree):
    read = Tree(written(tree), filename="c.yaml", environ={})
    assert read.mistakes == []
    assert read.root == tree


@given(st.one_of(st.integers(1, 10**8), st.floats(1e-9, 1e8)))
def test_a_duration_is_exact(seconds):
    block = {"candidates": [], "session_affinity_ttl": duration(seconds)}
    pool = PoolBlock.model_validate(block)
    assert pool.session_affinity_ttl == seconds


def test_two_secrets_never_have_one_variable():
    state = {
        ObjectKey("key", name, "dashboard"): {"key": Secret.of(name)}
        for name in ("a-b", "a_b", "a b")
    }
    text = text_of(state)
    for name in ("API_KEY_A_B", "API_KEY_A_B_2", "API_KEY_A_B_3"):
        assert text.count(f"${{{name}}}") == 1
