"""
What could be set better: one module for each kind of proposal, values in and proposals out.

Pure: no database and no clock. `values` is what is looked at and what comes out, `judging` holds
when one candidate counts as worse than another; `rules`, `pools`, `shares` (order and weight),
`limits` and `domains` find. controlplane.advice.evidence fills the values,
controlplane.advice.suggesting asks all of them.
"""
