"""
Both ends of every load: who asks a gateway, and who answers it.

`driver` starts callers in a process of their own and returns what they saw: wrk, with `wrk.lua`,
or `callers`, which is `python -m bench.load`. `upstream` is the provider behind every gateway, a
process as well. Knows addresses and bodies, no gateway.
"""
