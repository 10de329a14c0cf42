"""
Ways to every page: who sees which entry of the menu, and what Ctrl-K finds.

`entries` has the menu, and `rights.may_open` is asked for each entry; `palette` answers what
somebody types. It stands beside the overview, on top of all rooms whose objects it finds.
"""
