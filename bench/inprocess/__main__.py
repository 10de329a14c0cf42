"""`python -m bench.inprocess plan|snapshot|return|return-postgres|codecs` prints its figures."""

from __future__ import annotations

import sys

import msgspec

from bench.inprocess import codecs, plans, publishing, returning, snapshots

if __name__ == "__main__":
    match sys.argv[1]:
        case "plan":
            figures = plans.measure()
        case "codecs":
            figures = codecs.measure()
        case "return" | "return-postgres" as part:
            figures = returning.measure(on_postgres=part == "return-postgres")
        case _:
            figures = snapshots.measure() | publishing.measure()
    print(msgspec.json.encode(figures).decode())
