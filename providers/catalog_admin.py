"""Admin of model facts: what counts for each provider's model, and what was imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import display

from providers.catalog.vendors import vendor_of
from providers.catalog_rows import lookup
from providers.managed.admin import ReadOnly, lines
from providers.models import CatalogEntry, ProviderModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from providers.adapters.spec import PriceTier
    from providers.catalog.effective import Known, Lookup

_UNKNOWN = "unknown"
_SHOWN = ("context_window", "max_output_tokens", "reasons", "family", "retires_on", "deprecated")


def known_of(row: ProviderModel, catalogs: Lookup) -> Known:
    """What is known of a provider's model, by whom."""
    vendor = vendor_of(row.provider.kind, row.provider.base_url)
    return catalogs.known(vendor, row.model_id, row.metadata)


def summary(values: Mapping[str, Any]) -> str:
    """The facts that operators ask for first, in one line; "unknown" if there are none."""
    window = values.get("context_window")
    prices = [values.get("prices.input"), values.get("prices.output")]
    able = [
        name.removeprefix("capabilities.").replace("_", " ")
        for name, is_able in values.items()
        if name.startswith("capabilities.") and is_able
    ]
    parts = [
        f"{window:,} tokens" if window else "",
        " / ".join("?" if p is None else f"${p:g}" for p in prices) if any(prices) else "",
        ", ".join(able),
    ]
    return " · ".join(part for part in parts if part) or _UNKNOWN


def facts_table(known: Known) -> str:
    """Every fact with its source, as a table."""
    names = [*_SHOWN, *sorted(name for name in known.values if name not in _SHOWN)]
    return format_html(
        '<table><thead><tr><th class="pr-6 text-left">fact</th><th class="pr-6 text-left">value'
        '</th><th class="text-left">source</th></tr></thead><tbody>{}</tbody></table>',
        format_html_join(
            "",
            '<tr class="whitespace-nowrap"><td class="pr-6">{}</td><td class="pr-6">{}</td>'
            "<td>{}</td></tr>",
            (
                (
                    name.replace("_", " ").replace(".", ": "),
                    _shown(known.values.get(name)),
                    _linked(known.sources.get(name, "")),
                )
                for name in names
            ),
        ),
    )


def _linked(source: str) -> str:
    """A page by its host, as a link; anything else as it is."""
    address, _, day = source.rpartition(", ")
    if not address.startswith("https://"):
        return source
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}" title="{}"'
        ' rel="noreferrer noopener" target="_blank">{}</a>, {}',
        address,
        address,
        urlsplit(address).hostname,
        day,
    )


def _shown(value: Any) -> str:
    match value:
        case None:
            return _UNKNOWN
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"${value:g} a million tokens"
        case [*items]:
            return "; ".join(item if isinstance(item, str) else _tier(item) for item in items)
        case _:
            return str(value)


def _tier(tier: PriceTier) -> str:
    changes = ", ".join(
        f"{name.replace('_', ' ')} ${price:g}"
        for name in ("input", "output", "cached_input", "cache_write")
        if (price := getattr(tier, name)) is not None
    )
    return f"above {tier.above_input_tokens:,} input tokens: {changes}"


@admin.register(ProviderModel)
class ProviderModelAdmin(ReadOnly, ModelAdmin):
    """A provider's models with their facts. They are edited on the provider's page."""

    rows_called = ("provider model", "provider models")
    list_display = ["model_id", "provider", "known"]
    list_display_links = ["model_id"]
    list_select_related = ["provider"]
    list_filter = ["provider__name"]
    search_fields = ["model_id", "provider__name"]
    ordering = ["provider__name", "provider", "position"]
    list_per_page = 50
    fields = ["provider", "model_id", "matched", "notes", "facts", "metadata"]
    readonly_fields = ["matched", "notes", "facts"]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        catalogs = lookup(timezone.now())  # once for all rows
        for row in page.result_list:
            row.known_facts = known_of(row, catalogs)
        return page

    def get_object(self, *arguments: Any) -> Any:
        row = super().get_object(*arguments)
        if row is not None:
            row.known_facts = known_of(row, lookup(timezone.now()))
        return row

    @display(description="known")
    def known(self, row: Any) -> str:
        return summary(row.known_facts.values)

    @display(description="found in the catalogue as")
    def matched(self, row: Any) -> str:
        return lines(row.known_facts.names)

    @display(description="warnings")
    def notes(self, row: Any) -> str:
        return lines(row.known_facts.warnings(timezone.now().date()))

    @display(description="facts")
    def facts(self, row: Any) -> str:
        return facts_table(row.known_facts)


@admin.register(CatalogEntry)
class CatalogEntryAdmin(ModelAdmin):
    """What `manage.py catalog import` took from files. Deleting brings back what is shipped."""

    rows_called = ("imported entry", "imported entries")
    list_display = ["model_id", "vendor", "source", "as_of"]
    list_filter = ["vendor", "source"]
    search_fields = ["model_id"]
    list_per_page = 50
    fields = ["vendor", "model_id", "source", "as_of", "updated_at", "facts"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False
