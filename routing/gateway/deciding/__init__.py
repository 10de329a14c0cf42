"""
Who is tried, in which order, and why the others are not: decided without waiting.

    snapshot table pools switches     the configuration, compiled once for lookups
    resolver features                 what a request names, and what it needs
    planner strategies affinity       the decision
    state                             all that it reads of what changes
    wording                           its reasons, for people

Nothing here waits, renders or counts: clock and dice are arguments, outcomes are values, and what a
decision would move comes back as `Plan.commit`. Everybody above may enter.
"""
