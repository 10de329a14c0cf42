"""The REST API as its callers have it."""

from __future__ import annotations

from django.test import Client

ADMIN_KEY = "sy_admin-key-of-the-tests-0123456789"


class Api:
    """The admin API as a script uses it."""

    def __init__(self, key: str = ADMIN_KEY) -> None:
        self.client = Client(headers={"authorization": f"Bearer {key}"} if key else {})

    def __call__(self, method: str, path: str, body: object = None):
        arguments = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(f"/api/{path}", **arguments)
