"""What a key may gain by an edit, by who edits it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.access.reach import gain_problems
from controlplane.models import ApiKey
from providers.managed.rights import EVERYTHING, Reach, Rights

STAFF = Rights(permissions=frozenset({"controlplane.change_apikey"}))
SOON, LATER = datetime(2100, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
PAST = datetime(2000, 1, 1, tzinfo=UTC)
BOTH = ["inference", "admin"]


def row(**fields: object) -> ApiKey:
    return ApiKey(**{"name": "k", **fields})


def of_key(**reach: object) -> Rights:
    """An admin key with limits of its own."""
    return Rights(is_all=True, reach=Reach(scopes=("admin",), **reach))


@pytest.mark.pure
@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        (None, row(), set()),
        (None, row(scopes=BOTH), {"scopes"}),
        (None, row(scopes=BOTH, enabled=False), set()),  # it opens nothing
        (row(scopes=BOTH), row(scopes=BOTH, rpm=5), set()),
        (row(scopes=BOTH), row(scopes=BOTH, enabled=False), set()),
        (row(scopes=BOTH, enabled=False), row(scopes=BOTH), {"enabled"}),
        (row(scopes=BOTH, expires_at=PAST), row(scopes=BOTH, expires_at=SOON), {"expires_at"}),
        (row(scopes=BOTH, expires_at=SOON), row(scopes=BOTH, expires_at=LATER), {"expires_at"}),
        (row(scopes=BOTH, expires_at=SOON), row(scopes=BOTH), {"expires_at"}),
        (row(scopes=BOTH, expires_at=LATER), row(scopes=BOTH, expires_at=SOON), set()),
        (row(), row(scopes=BOTH), {"scopes"}),
        (row(scopes=BOTH), row(), set()),
    ],
)
def test_staff_give_no_key_the_admin_scope_nor_any_more_of_it(before, after, fields):
    assert set(gain_problems(STAFF, before, after)) == fields
    assert gain_problems(EVERYTHING, before, after) == {}


@pytest.mark.pure
@pytest.mark.parametrize(
    ("own", "wanted", "fits"),
    [
        ([], [], True),
        ([], ["x"], True),
        (["a"], [], False),
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["claude-*"], ["claude-x"], True),
        (["claude-*"], ["claude-*-x", "claude-y*"], True),
        (["claude-*"], ["claude*"], False),
        (["claude-*"], ["claude-x", "gpt"], False),
        (["*"], ["*"], True),
        (["a*b"], ["ab"], True),
        (["a*b"], ["a*"], False),
        (["aa*aa"], ["aaa"], False),
        (["a*b*c"], ["a*b*c", "axbxc", "abc"], True),
        (["a*b*c"], ["a*c"], False),
        (["a?"], ["ab"], False),
    ],
)
def test_a_key_makes_keys_for_no_more_models_than_it_may_use(own, wanted, fits):
    found = gain_problems(of_key(models=tuple(own)), None, row(models=wanted))

    assert ("models" in found) is not fits


@pytest.mark.pure
@pytest.mark.parametrize("limit", ["rpm", "tpm", "max_parallel"])
def test_a_key_makes_keys_within_its_own_limits(limit):
    mine = of_key(**{limit: 10})

    assert gain_problems(mine, None, row(**{limit: 10})) == {}
    assert set(gain_problems(mine, None, row(**{limit: 11}))) == {limit}
    assert "at most 10" in gain_problems(mine, None, row())[limit][0]
    # What it had, it may keep.
    assert gain_problems(mine, row(), row(user_path="/a")) == {}
    assert set(gain_problems(mine, row(enabled=False), row())) == {limit}


@pytest.mark.pure
def test_an_admin_key_that_ends_makes_none_that_outlives_it():
    mine = of_key(expires_at=SOON)

    assert gain_problems(mine, None, row()) == {}
    assert set(gain_problems(mine, None, row(scopes=BOTH))) == {"expires_at"}
    assert set(gain_problems(mine, None, row(scopes=BOTH, expires_at=LATER))) == {"expires_at"}
    assert gain_problems(mine, None, row(scopes=BOTH, expires_at=SOON)) == {}
