"""Admin of published snapshots: which there were, and when."""

from __future__ import annotations

from typing import Final

from unfold.admin import ModelAdmin

from providers.managed.admin import ReadOnly
from providers.saying.ages import aged_column

CREATED: Final = aged_column("created_at", "created at")


class PublishedSnapshotAdmin(ReadOnly, ModelAdmin):
    list_display = ["generation", CREATED, "checksum"]
    fields = ["generation", CREATED, "checksum"]
    readonly_fields = fields
    list_per_page = 50
