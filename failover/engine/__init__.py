"""
One request's attempts, until one serves or nobody is left; and what failures mean for the next.

    plan policy                      what the planner hands over, and the snapshot's numbers
    attempts calls hedging streams   the loop, one call, two side by side, the stream that won
    verdicts budget outcome          what a failure means, how often to retry, how it ended
    benches bench_entries windows    who sits out, and since how many failures
    availability loads rendezvous    who may be called, who is busy, whose turn it is

Pure but for `attempts`, `calls`, `hedging` and `streams`, which get clock, sleep and dice passed
in. Entered by routing.gateway; the control plane reads benches and verdicts. Never Django.
"""
