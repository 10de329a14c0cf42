"""
Providers' health: what the worker's checks found, and what follows from it.

`models` are its rows. The control child tells every worker who is unhealthy; pages and the API
show it.
"""
