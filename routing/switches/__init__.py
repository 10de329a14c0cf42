"""
Operators' switches: who is off, over what the configuration says; their pages, API and functions.

`state` is the one place that writes them. What they mean for a request stands in
routing.gateway.deciding.switches.
"""
