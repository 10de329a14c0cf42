"""
Benches where people and other hosts see them: the board in admin, its API, and their table.

`store` is the way by the database, for the control child; `api` and `admin` ask the host's hub,
because a bench lives in workers and not in rows. What a bench is stands in failover.engine.benches.
"""
