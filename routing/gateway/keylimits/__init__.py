"""
What a key may use in a minute and at once, counted on this host or, with Redis, on all.

`allowances.KeyLimits` is asked before a request and told after it; `counters` are a host's, in
shared memory of its workers, `shared` everybody's over `redis`; `turns` are of one worker, for
long bodies. Entered by the gateway; the control child takes `redis` for its bus.
"""
