"""
What is measured without a socket, inside one process: `python -m bench.inprocess PART`.

`plans`, `snapshots` and `publishing` work on the pools of `pools`, `codecs` on requests and
streams. Each part has a process of its own (`apart`), so that none measures on another's heap.
"""
