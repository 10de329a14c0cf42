"""
Other gateways, installed and started as their own pages say, to be measured beside this one.

Each has an environment of its own below bench/.peers, and nothing of them is a requirement of
Switchyard. `packages` installs one, `process` runs one, a module each says how it is configured,
`listed` names those of the comparison, and `comparison` measures them in turn with Switchyard.
A new peer is a module and a line of `listed`.
"""
