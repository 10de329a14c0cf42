"""API of the catalogue: what is known of models, and where each fact comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from providers.adapters.spec import CAPABILITIES
from providers.catalog.entry import PRICES
from providers.catalog.vendors import vendor_of
from providers.catalog_rows import lookup
from providers.models import CatalogEntry, Provider

if TYPE_CHECKING:
    from rest_framework.request import Request

    from providers.catalog.effective import Known


class TierView(serializers.Serializer[Any]):
    """What replaces prices where a request's input is over so many tokens."""

    above_input_tokens = serializers.IntegerField()
    input = serializers.FloatField(allow_null=True)
    output = serializers.FloatField(allow_null=True)
    cached_input = serializers.FloatField(allow_null=True)
    cache_write = serializers.FloatField(allow_null=True)


class PricesView(serializers.Serializer[Any]):
    """US dollars a million tokens, as of now. Null is unknown, 0 is free."""

    input = serializers.FloatField(allow_null=True)
    output = serializers.FloatField(allow_null=True)
    cached_input = serializers.FloatField(allow_null=True)
    cache_write = serializers.FloatField(allow_null=True)
    tiers = TierView(many=True)


class CapabilitiesView(serializers.Serializer[Any]):
    """Null is unknown, which keeps nobody out."""

    def get_fields(self) -> dict[str, Any]:
        return {name: serializers.BooleanField(allow_null=True) for name in CAPABILITIES}


class FactsView(serializers.Serializer[Any]):
    family = serializers.CharField(allow_null=True)
    context_window = serializers.IntegerField(allow_null=True, help_text="Tokens.")
    max_output_tokens = serializers.IntegerField(allow_null=True)
    input = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Modalities."
    )
    capabilities = CapabilitiesView()
    reasons = serializers.BooleanField(allow_null=True, help_text="It reasons unasked.")
    prices = PricesView()
    deprecated = serializers.BooleanField(allow_null=True)
    retires_on = serializers.DateField(allow_null=True, help_text="Its vendor's last day for it.")
    sources = serializers.DictField(
        child=serializers.CharField(), help_text="Where each fact comes from, by dotted name."
    )


class EntryView(FactsView):
    """A vendor's model, as the catalogue knows it: imports over what is shipped."""

    vendor = serializers.CharField()
    model = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())


class ProviderModelFacts(FactsView):
    """What counts for a provider's model: operators' metadata over the catalogue."""

    provider = serializers.CharField()
    model = serializers.CharField()
    vendor = serializers.CharField(allow_blank=True, help_text="Empty if it is not certain.")
    matched = serializers.ListField(
        child=serializers.CharField(), help_text="The entries that it was found in."
    )
    warnings = serializers.ListField(child=serializers.CharField())


class CatalogView(APIView):
    permission_model = CatalogEntry

    @extend_schema(
        operation_id="catalog_list",
        parameters=[
            OpenApiParameter("vendor", str, description="Only this vendor's."),
            OpenApiParameter("model", str, description="Only the entry that this id finds."),
            OpenApiParameter("search", str, description="Only ids that hold this text."),
        ],
        responses=EntryView(many=True),
    )
    def get(self, request: Request) -> Response:
        """The catalogue, by vendor and id."""
        vendor = request.query_params.get("vendor", "")
        model = request.query_params.get("model", "")
        text = request.query_params.get("search", "").lower()
        catalogs = lookup(timezone.now())
        names = [
            (owner, name)
            for owner, name in catalogs.names()
            if vendor in ("", owner) and text in name.lower()
        ]
        if model:
            owners = dict.fromkeys(owner for owner, _ in names)
            found = [catalogs.entries(owner, model) for owner in owners]
            wanted = {(entries[0].vendor, entries[0].id) for entries in found if entries}
            names = [name for name in names if name in wanted]
        return Response(
            [
                {"vendor": owner, "model": name, "aliases": _aliases(known), **facts_view(known)}
                for owner, name in names
                for known in [catalogs.known(owner, name, {})]
            ]
        )


class ProviderModelFactsView(APIView):
    permission_model = CatalogEntry

    @extend_schema(
        operation_id="catalog_facts",
        parameters=[
            OpenApiParameter("provider", str, required=True),
            OpenApiParameter("model", str, required=True, description="The provider's own id."),
        ],
        responses={200: ProviderModelFacts, 404: None},
    )
    def get(self, request: Request) -> Response:
        """What is known of one provider's model, listed or not, and by whom."""
        given = {name: request.query_params.get(name, "") for name in ("provider", "model")}
        if missing := [name for name, value in given.items() if not value]:
            raise ValidationError({name: ["This parameter is needed."] for name in missing})
        provider = Provider.named(given["provider"])
        if provider is None:
            raise Http404
        listed = provider.models.filter(model_id=given["model"]).first()
        vendor = vendor_of(provider.kind, provider.base_url)
        now = timezone.now()
        known = lookup(now).known(vendor, given["model"], listed.metadata if listed else {})
        return Response(
            {
                **given,
                "vendor": vendor,
                "matched": known.names,
                "warnings": known.warnings(now.date()),
                **facts_view(known),
            }
        )


def facts_view(known: Known) -> dict[str, Any]:
    values = known.values
    return {
        **{
            name: values.get(name)
            for name in (
                "family", "context_window", "max_output_tokens", "input", "reasons", "deprecated",
                "retires_on",
            )
        },
        "capabilities": {name: values.get(f"capabilities.{name}") for name in CAPABILITIES},
        "prices": {
            **{name: values.get(f"prices.{name}") for name in PRICES},
            "tiers": [
                {name: getattr(tier, name) for name in ("above_input_tokens", *PRICES)}
                for tier in values.get("prices.tiers", ())
            ],
        },
        "sources": dict(sorted(known.sources.items())),
    }  # fmt: skip


def _aliases(known: Known) -> list[str]:
    return sorted({alias for entry in known.matched for alias in entry.aliases})


urlpatterns = [
    re_path(r"^catalog/?$", CatalogView.as_view(), name="api-catalog"),
    re_path(r"^catalog/facts/?$", ProviderModelFactsView.as_view(), name="api-catalog-facts"),
]
