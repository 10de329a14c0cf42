"""
Providers' health and lists of models: what the worker's looks found, and what follows from it.

    rules      pure: the status of what is known, and when the next check is due
    checks     the job `health`             discovery  the job `discovery`
    watched    who is looked at, and looking at many at once
    traffic    what requests have found     statuses   what counts of the rows, and what is stale
    status_pages  what providers say of themselves: it changes nothing
    api admin strips  for operators

The control child (controlplane.control.health) tells every worker who is unhealthy.
"""
