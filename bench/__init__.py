"""
The harness of `make bench`, `make soak` and `make hostile`, described in docs/performance.md.

`load` asks and answers, `gateways` runs one gateway and measures it, `peers` installs others and
measures them in turn with this one, `inprocess` is what needs no socket, `soak` is an hour of
faults, `hostile` are callers who mean no good. Here are what all of them share (`scene`,
`processes`, `report`) and what is a command of its own: `profiling`, `records`, `tls`. Nothing
imports the harness but its tests.
"""
