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

_MASK: Final = (1 << 64) - 1


def hash_of(text: str) -> int:
    """64 bits that are the same in every process and release."""
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def score(session: int, own: int, weight: float = 1) -> float:
    """
    How well a name whose hash is `own` suits `session`; the highest wins.

    The bits are mixed as splitmix64 does it (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014), but for its last shift: the upper bits do without.
    """
    bits = ((session ^ own) + 0x9E3779B97F4A7C15) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return log(((bits >> 11) + 1) * 2.0**-53) / weight
