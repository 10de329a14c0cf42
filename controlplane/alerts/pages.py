"""The page of admin that shows where alerts go, and sends a test there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from controlplane.alerts.addresses import EMAIL, Message, absolute, addresses
from controlplane.alerts.models import Notice, Webhook
from controlplane.alerts.senders import send
from controlplane.alerts.world import settings_now

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from controlplane.alerts.addresses import AlertAddress

VIEW: Final = "controlplane.view_webhook"
TEST: Final = "controlplane.change_webhook"
KINDS_IN_WORDS: Final = {
    "signed": "webhook, signed JSON",
    "slack": "webhook, Slack-shaped",
    EMAIL: "e-mail",
}


@require_http_methods(["GET", "HEAD", "POST"])
def addresses_page(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    if request.method == "POST":
        return _test(request)
    settings = settings_now()
    return TemplateResponse(
        request,
        "admin/alert_addresses.html",
        {
            **admin.site.each_context(request),
            "title": "Alert addresses",
            "addresses": [_shown(address) for address in addresses()],
            "may_test": request.user.has_perm(TEST),
            "quiet_hours": settings["alerts_quiet_hours"],
            "webhooks_url": reverse("admin:controlplane_webhook_changelist"),
            "settings_url": reverse("admin:controlplane_settings_changelist"),
        },
    )


def _shown(address: AlertAddress) -> dict[str, Any]:
    notices = Notice.objects.filter(channel=address.channel).order_by("-pk")
    last = notices.filter(sent_at__isnull=False).first()
    failing = notices.filter(sent_at=None).exclude(error="").exclude(due_at=None).first()
    colour, state = ("success", "ready")
    if failing is not None:
        colour, state = ("warning", "does not take messages")
    if address.problem:
        colour, state = ("danger", "off")
    webhook = Webhook.named(address.channel.partition(" ")[2]) if address.kind != EMAIL else None
    return {
        "channel": address.channel,
        "name": address.channel.partition(" ")[2],
        "kind": KINDS_IN_WORDS[address.kind],
        "place": webhook.place if webhook is not None else address.target,
        "source": "configuration" if webhook is not None and webhook.is_managed_by_config else "",
        "colour": colour,
        "state": state,
        "why": address.problem or (failing.error if failing is not None else ""),
        "last": last,
    }


def _test(request: HttpRequest) -> HttpResponse:
    """Send a message to one address, and say what its receiver answered."""
    if not request.user.has_perm(TEST):
        raise PermissionDenied
    asked = request.POST.get("channel", "")
    address = next((one for one in addresses() if one.channel == asked), None)
    if address is None:
        messages.error(request, "There is no such address any more.")
        return HttpResponseRedirect(request.path)
    answer = asyncio.run(send(address, test_message(request.user.get_username())))
    level = messages.SUCCESS if answer.is_taken else messages.ERROR
    what = "took the test" if answer.is_taken else "did not take the test"
    messages.add_message(request, level, f"{address.channel} {what}: {answer.said}.")
    return HttpResponseRedirect(request.path)


def test_message(sender: str) -> Message:
    return Message(
        id=0,
        kind="test",
        subject="test",
        text=f"This is a test of alerts, sent by {sender}.",
        since=timezone.now(),
        url=absolute(reverse("alert-addresses")),
    )


pages = [
    path("admin/alerts/addresses/", admin.site.admin_view(addresses_page), name="alert-addresses")
]
