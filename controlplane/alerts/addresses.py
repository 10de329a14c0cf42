"""Where alerts go: the webhooks and e-mail addresses that count, and what is sent to each."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.conf import settings

from controlplane.alerts.kinds import KINDS
from controlplane.alerts.models import Webhook
from controlplane.alerts.world import settings_now
from controlplane.validation import SLACK
from providers.secrets.encryption import CannotDecrypt

if TYPE_CHECKING:
    from controlplane.alerts.models import Alert

EMAIL: Final = "email"
SIGNATURE: Final = "x-switchyard-signature"
EMAIL_IS_OFF: Final = "EMAIL_URL is not set, so no e-mail is sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAddress:
    """
    One of those that alerts go to. `channel` is its name, `kind` signed, slack or email.

    `problem` says why nothing can be sent there, "" if it can. `is_guarded`: private addresses
    are refused.
    """

    channel: str
    kind: str
    target: str = field(repr=False)
    secret: str = field(default="", repr=False)
    is_guarded: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    What is said of an alert: that it is there, or with `ended_at` that it is over.

    `url` leads to the page that shows the cause; without a known address of admin it is a path.
    """

    id: int
    kind: str
    subject: str
    text: str
    since: datetime
    ended_at: datetime | None = None
    url: str = ""

    @classmethod
    def of(cls, alert: Alert, *, is_end: bool) -> Message:
        ended = KINDS[alert.kind].ended if alert.kind in KINDS else "{subject}: over."
        return cls(
            id=alert.pk,
            kind=alert.kind,
            subject=alert.subject,
            text=ended.format(subject=alert.subject) if is_end else alert.text,
            since=alert.since,
            ended_at=alert.ended_at if is_end else None,
            url=absolute(alert.path),
        )

    def members(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "subject": self.subject,
            "text": self.text,
            "since": moment(self.since),
            "ended_at": None if self.ended_at is None else moment(self.ended_at),
            "url": self.url,
        }


def addresses() -> list[AlertAddress]:
    """Every address that counts, the webhooks first, by name."""
    emails = settings_now()["alerts_email"]
    found = [of_webhook(row) for row in Webhook.effective().filter(enabled=True).order_by("name")]
    return found + [of_email(str(one)) for one in (emails if isinstance(emails, list) else ())]


def of_webhook(row: Webhook) -> AlertAddress:
    target = secret = problem = ""
    try:
        target, secret = row.url.reveal(), row.secret.reveal()
        if problem := row.secret_problem:
            secret = ""
    except CannotDecrypt as error:
        problem = str(error)
    return AlertAddress(
        channel=row.channel,
        kind=row.kind,
        target=target,
        secret=secret,
        is_guarded=row.is_guarded,
        problem=problem,
    )


def of_email(address: str) -> AlertAddress:
    return AlertAddress(
        channel=f"{EMAIL} {address}",
        kind=EMAIL,
        target=address,
        problem="" if settings.EMAIL_URL else EMAIL_IS_OFF,
    )


def absolute(path: str) -> str:
    """`path` below the address of admin, if an origin that browsers use is known."""
    origins = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin]
    return origins[0].rstrip("/") + path if origins and path else path


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def posted(address: AlertAddress, message: Message, at: int) -> tuple[dict[str, str], bytes]:
    """Headers and body for a webhook; `at` is Unix time in seconds."""
    if address.kind == SLACK:
        # What a provider said may not call everybody in a channel. Slack wants exactly these three
        # escaped.
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        if message.url:
            text += f"\n{message.url}"
        return {}, msgspec.json.encode({"text": text})
    body = msgspec.json.encode(message.members())
    if not address.secret:
        return {}, body
    return {SIGNATURE: signature(address.secret, at, body)}, body


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=UNIX,v1=HEX`: HMAC-SHA256 of `t.body`."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


def mailed(message: Message) -> tuple[str, str]:
    """Subject and text of an e-mail."""
    lines = [message.text, "", f"since {moment(message.since)}"]
    if message.ended_at is not None:
        lines.append(f"over at {moment(message.ended_at)}")
    if message.url:
        lines.append(message.url)
    first = message.text.partition(". ")[0].rstrip(".")
    return f"[Switchyard] {' '.join(first.split())}"[:150], "\n".join(lines) + "\n"
