"""
The processes of a host: who starts them, who keeps them, and what they say to each other.

    supervisor   the parent: the socket, the children, signals; without Django
    child        the control child, one per DATA_DIR: looks, publishes, ingests, tells
    hub board    the host's socket, and what is known there of benches and pins
    sharing bus  to other hosts: by the database, and by Redis or Valkey
    reporting metering   what the host tells of its processes, and the counts of its workers
    standing_in          for the worker, while that is away: it says so

Entered by the commands `serve`, `run` and `control`. A page asks the hub by
routing.gateway.link.channel, and imports nothing from here.
"""
