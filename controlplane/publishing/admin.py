"""Admin of published snapshots: which there were, and when."""

from __future__ import annotations

from unfold.admin import ModelAdmin

from providers.managed.admin import ReadOnly


class PublishedSnapshotAdmin(ReadOnly, ModelAdmin):
    list_display = ["generation", "created_at", "checksum"]
    fields = ["generation", "created_at", "checksum"]
    list_per_page = 50
