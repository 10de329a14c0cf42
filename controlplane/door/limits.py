"""What Django is handed at most, of each process."""

from __future__ import annotations

from typing import Final

BODY: Final = 4 << 20  # of the API, and of a form; nothing is uploaded otherwise
STRANGERS_BODY: Final = 16 << 10  # a sign-in
UPLOAD_S: Final = 30.0  # for a body to be there, from the moment it is wanted
AT_ONCE: Final = 16  # requests of people and keys that run
EACH: Final = 8  # of them for one person or key
STRANGERS: Final = 4  # and of everybody else
WAITING: Final = 128  # of each kind; the rest is told to come again
WAIT_S: Final = 30.0
# A page that has not begun by then is asked after: is it the database that does not answer?
SILENCE_S: Final = 3.5
DATABASE_S: Final = 1.0
