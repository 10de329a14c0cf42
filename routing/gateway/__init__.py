"""
The data plane: one raw ASGI callable in each worker, from a caller's bytes to the last of ours.

The root is the way of a request: `app` goes it, `ingress auth admission limits visits` let it
in, `listing` knows the names, `replies errors` answer; `answers` is for what is no inference. Its
rooms:

    deciding    pure: table, planner            explain    decisions in words, for the control plane
    serving     the worker and its HTTP server  link       news from the host's hub and disk
    keylimits   what keys may use               records    what is kept of requests
    telemetry   metrics and logs

Never Django: a worker starts without it. The control plane enters to decide as workers do.
"""
