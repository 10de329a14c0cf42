"""
The documentation beside the code, as pages of admin: nothing is asked of another host.

`{% docs_link %}`, in the head of every page, leads to the part that is about the page.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from django import template
from django.conf import settings
from django.contrib import admin
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from pathlib import Path

    from django.http import HttpRequest, HttpResponse

register = template.Library()

FIRST: Final = "operations"
# In the order in which they are listed; what is for developers alone is not.
PAGES: Final = {
    "operations": "Running it",
    "configuration": "Configuration",
    "failover": "Failover",
    "explain": "Explain",
    "health": "Health and model lists",
    "catalogue": "Model facts",
    "suggestions": "Suggestions",
    "alerts": "Alerts",
    "records": "Request records",
    "metrics": "Metrics and logs",
    "access": "Who may do what",
    "inference": "For callers",
    "clients": "Clients",
    "matrix": "What works between protocols",
    "glossary": "Glossary",
}
# By the beginning of a page's name: the first that fits counts.
ABOUT: Final = (
    ("controlplane_requestrecord", "records"),
    ("controlplane_captured", "records#prompts-and-answers"),
    ("controlplane_alert", "alerts"),
    ("controlplane_webhook", "alerts#where-they-go"),
    ("alert-addresses", "alerts#where-they-go"),
    ("pools-now", "explain#pools-as-they-stand"),
    ("controlplane_suggestion", "suggestions"),
    ("failover_bench", "failover#benches"),
    ("explain", "explain"),
    ("try-it", "explain#trying-it"),
    ("routing_alias", "failover#from-a-name-to-candidates"),
    ("routing_canonicalmodel", "failover#order"),
    ("routing_candidate", "failover#order"),
    ("failover_failoverrule", "failover#from-a-name-to-candidates"),
    ("routing_routingstate", "operations#switches"),
    ("routing_historicalroutingstate", "operations#switches"),
    ("controlplane_settings", "configuration#reference"),
    ("providers_providermodel", "catalogue"),
    ("providers_catalogentry", "catalogue#importing"),
    ("providers_provider", "configuration#reference"),
    ("controlplane_health", "health"),
    ("controlplane_apikey", "access"),
    ("controlplane_team", "access"),
    ("auth_", "access"),
    ("processes", "operations#processes"),
    ("jobs", "operations#the-worker"),
    ("controlplane_configsource", "configuration#what-happens-with-the-file"),
    ("configuration", "configuration#configuration-as-code-without-a-file-that-is-watched"),
    ("controlplane_revision", "configuration#revisions"),
    ("controlplane_publishedsnapshot", "configuration#revisions"),
    ("index", "operations"),
)
_LINK: Final = re.compile(r"(?:\./)?([\w-]+)\.md(#.*)?")


@register.simple_tag(takes_context=True)
def docs_link(context: Any) -> str:
    """A link to what the documentation says of this page; nothing where it says nothing."""
    match = getattr(context.get("request"), "resolver_match", None)
    name = (match and match.url_name) or ""
    about = next((page for start, page in ABOUT if name.startswith(start)), "")
    if not about:
        return ""
    return format_html(
        '<a class="docs-link" href="{}" title="Documentation of this page"'
        ' aria-label="Documentation of this page">'
        '<span class="material-symbols-outlined" aria-hidden="true">help</span></a>',
        _url(about),
    )


@require_safe
def docs_page(request: HttpRequest, name: str = FIRST) -> HttpResponse:
    if name not in PAGES:
        raise Http404
    context = {
        **admin.site.each_context(request),
        "title": PAGES[name],
        "pages": [
            (title, reverse("docs-page", args=[page]), page == name)
            for page, title in PAGES.items()
        ],
        "text": _html(settings.BASE_DIR / "docs" / f"{name}.md"),
    }
    return TemplateResponse(request, "admin/docs.html", context)


@lru_cache(maxsize=32)
def _html(file: Path) -> str:
    """The page without its heading, which is the title of ours. Its markup is the project's own."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = markdown.parse(file.read_text("utf-8"))
    seen: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            slug = _slug(tokens[place + 1].content)
            number = seen[slug] = seen.get(slug, -1) + 1
            token.attrSet("id", f"{slug}-{number}" if number else slug)
        if token.type in {"fence", "table_open"}:
            token.attrSet("tabindex", "0")  # wide ones are moved by keyboard, too
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _href(str(child.attrGet("href"))))
    first = next((at for at, token in enumerate(tokens) if token.type == "heading_close"), -1)
    text = str(markdown.renderer.render(tokens[first + 1 :], markdown.options, {}))
    return mark_safe(text)  # noqa: S308 - a file of the project


def _slug(title: str) -> str:
    """As the repository's own links have it: GitHub's."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")


def _href(target: str) -> str:
    """A link of the repository as one of ours. What admin does not show leads nowhere else."""
    found = _LINK.fullmatch(target)
    if found is None or found[1] not in PAGES:
        return target if target.startswith(("#", "http://", "https://")) else "#"
    return _url(found[1] + (found[2] or ""))


def _url(about: str) -> str:
    page, _, part = about.partition("#")
    return reverse("docs-page", args=[page]) + (f"#{part}" if part else "")


pages = [
    path("admin/docs/", admin.site.admin_view(docs_page), name="docs"),
    path("admin/docs/<slug:name>/", admin.site.admin_view(docs_page), name="docs-page"),
]
