"""
Which provider model a name means: pools, aliases and switches for people, and the gateway.

The root is ordinary Django, with the models of pools and aliases, their admin and API; `gateway`
is the data plane. Imports from `failover` and `providers`.
"""
