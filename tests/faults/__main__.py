"""`python -m tests.faults` writes docs/faults.md."""

from tests.faults.page import write

write()
