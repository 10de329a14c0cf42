"""Which of a caller's headers go upstream with its request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Everything that these families will ever name goes on; the rest stays here: credentials,
# cookies, hop-by-hop and forwarding headers, our own x-switchyard-*, and what we set ourselves.
_FAMILIES: Final = (b"openai-", b"x-stainless-")
# These choose an account, and the account is ours: a caller's own would make the provider refuse
# our key with a 401, and so bench it. Operators set them in a provider's `headers`.
_ACCOUNT: Final = frozenset({b"openai-organization", b"openai-project"})


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those of `headers` (lower-case names) that an OpenAI-shaped request takes along."""
    return [
        (name, value)
        for name, value in headers
        if name.startswith(_FAMILIES)
        and name not in _ACCOUNT
        and not (b"\n" in value or b"\r" in value or b"\0" in value)
    ]
