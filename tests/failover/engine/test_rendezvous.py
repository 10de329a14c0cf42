"""The hashing that every process does alike."""

import pytest

from failover.engine.rendezvous import hash_of, score

pytestmark = pytest.mark.pure


def test_a_hash_is_the_same_in_every_process_and_release():
    assert hash_of("team-a") == 0x8D3623B817353E66
    assert score(hash_of("team-a"), hash_of("openai/gpt"), 3) == -0.08236684896624077


def test_any_text_has_a_hash_even_what_is_no_unicode():
    assert hash_of("\ud800") != hash_of("\ud801")


def test_scores_differ_by_session_and_by_name():
    sessions = [hash_of(f"s{n}") for n in range(100)]
    assert len({score(s, hash_of("a/x")) for s in sessions}) == 100
    assert len({score(sessions[0], hash_of(f"a/{n}")) for n in range(100)}) == 100


def test_twice_the_weight_is_twice_the_share():
    own = [hash_of(name) for name in ("a/x", "b/x")]
    sessions = [hash_of(f"s{n}") for n in range(6000)]
    wins = sum(score(s, own[0], 2) > score(s, own[1], 1) for s in sessions)
    assert wins / len(sessions) == pytest.approx(2 / 3, abs=0.02)
