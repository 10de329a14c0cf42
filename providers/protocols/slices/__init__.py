"""
Long JSON, read and written in slices, beside the event loop.

Nothing that decodes, searches or copies lets another thread run before it is done: 31 MiB of short
members, of escapes or of numbers hold every caller of a worker for 0.2 to 2 s, whichever thread
reads them. So a long text is cut at commas, and each piece, closed by the brackets that are open
at its ends, is JSON of its own for the decoder: what it says of all pieces is true of the whole.
`apart` is what has such work done; between two slices the event loop gets its turn.

For the protocols' own modules, and for whoever starts such work.
"""

from providers.protocols.slices.members import check, lists_of, members_of, parts_of
from providers.protocols.slices.searching import found_in, kept, search, size_of, words_of
from providers.protocols.slices.turns import LONG, SLICE, apart, breathe, is_apart, joined
from providers.protocols.slices.values import decode
from providers.protocols.slices.walk import MAX_MEMBERS, NoObject, TooMany, too_many
from providers.protocols.slices.writing import encode

__all__ = [
    "LONG",
    "MAX_MEMBERS",
    "SLICE",
    "NoObject",
    "TooMany",
    "apart",
    "breathe",
    "check",
    "decode",
    "encode",
    "found_in",
    "is_apart",
    "joined",
    "kept",
    "lists_of",
    "members_of",
    "parts_of",
    "search",
    "size_of",
    "too_many",
    "words_of",
]
