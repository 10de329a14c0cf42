"""
Nonces of the content security policy, for scripts that stand in templates.

A template gets them when it is loaded, so ours and the theme's need nothing for it; a script that
comes into a page by any other way, as a name or a message, has none and is not run.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

from django import template
from django.template.loaders import app_directories, filesystem

register = template.Library()
current: ContextVar[str] = ContextVar("nonce", default="")

_SCRIPT = re.compile(r"<script(?=[\s>])")


@register.simple_tag
def script_nonce() -> str:
    return current.get()


class Filesystem(filesystem.Loader):
    def get_contents(self, origin: Any) -> str:
        return with_nonces(super().get_contents(origin))


class AppDirectories(app_directories.Loader):
    def get_contents(self, origin: Any) -> str:
        return with_nonces(super().get_contents(origin))


def with_nonces(text: str) -> str:
    return _SCRIPT.sub('<script nonce="{% script_nonce %}"', text)
