"""
What stands before Django: who may send a body, how large, how long, and how many at once.

`Door` wraps Django's ASGI application (controlplane.asgi); `text` and `host` are its first
middleware; `database` tells a database that does not take writes from one that is well.

Entered by the root alone.
"""

from controlplane.door.door import Door

__all__ = ["Door"]
