"""
Weighted rendezvous hashing: every process makes the same choice, and nobody has to remember it.

Each name scores for each session; the highest wins. Leaving one name out changes no other's
score, so that only its own sessions move, spread over the rest by their weights.

Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; the
weights as in Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import Final

_PRIME: Final = (1 << 61) - 1
_PER_PRIME: Final = 2.0**-61


def hash_of(text: str) -> int:
    """64 bits that are the same in every process and release."""
    raw = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")


def score(session: int, own: int, weight: float = 1) -> float:
    """
    How well a name whose hash is `own` suits `session`; the highest wins.

    Both are hashes already; their product modulo a prime is as good as a hash of the two, at a
    third of the time. Source: Carter and Wegman, "Universal classes of hash functions", 1979.
    """
    return log((session * own % _PRIME + 1) * _PER_PRIME) / weight
