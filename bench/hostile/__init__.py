"""
Everything that can be sent by people who mean no good, and what an ordinary caller feels of it:
`make hostile MINUTES=5`, described in docs/performance.md.

`sound` are requests as they should be and `mutating` breaks them, `attacks` are what else is sent,
by `field`; `ordinary` is the caller who must not notice, a process of its own.
"""
