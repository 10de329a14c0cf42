"""
Notices: one message per alert and address, and one more when the alert is over.

Level-triggered: which notices there must be follows from alerts and addresses, and each is made
once, by a constraint. A try is written down before it is made; whoever is killed in the middle has
it made again later, so a receiver may see one message twice but never none, and tells them apart
by `id` and `ended_at`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from controlplane.alerts.addresses import Message
from controlplane.alerts.kinds import KINDS
from controlplane.alerts.models import Alert, Notice
from controlplane.alerts.senders import SEND_S, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from controlplane.alerts.addresses import AlertAddress
    from controlplane.alerts.senders import Receipt

# Seconds from one try to the next: eight in an hour.
BACKOFF_S: Final = (10, 30, 60, 120, 300, 900, 2100)
AT_ONCE: Final = 5  # to one address in one run
ADDRESSES_AT_ONCE: Final = 8
BUDGET_S: Final = 8.0
RECENT: Final = timedelta(hours=2)
OVER_BEFORE: Final = "it was over before it was sent"
NO_ADDRESS: Final = "the address is gone"


def prepare(addresses: Sequence[AlertAddress], now: datetime) -> None:
    """Make the notices that there are to be, and drop those that nobody needs any more."""
    channels = [address.channel for address in addresses]
    waiting = Notice.objects.filter(sent_at=None).exclude(due_at=None)
    waiting.filter(is_end=False, alert__ended_at__isnull=False).update(
        due_at=None, error=OVER_BEFORE
    )
    waiting.exclude(channel__in=channels).update(due_at=None, error=NO_ADDRESS)
    wanted = [
        (alert, channel, False)
        for alert in Alert.objects.filter(ended_at=None)
        for channel in channels
    ]
    # That it is over concerns those who heard that it was there.
    told = Notice.objects.filter(
        is_end=False,
        sent_at__isnull=False,
        alert__ended_at__gt=now - RECENT,
        channel__in=channels,
    )
    wanted += [(notice.alert, notice.channel, True) for notice in told.select_related("alert")]
    ids = {alert.pk for alert, _channel, _is_end in wanted}
    known = set(
        Notice.objects.filter(alert_id__in=ids).values_list("alert_id", "channel", "is_end")
    )
    Notice.objects.bulk_create(
        [
            Notice(
                alert=alert,
                channel=channel,
                is_end=is_end,
                due_at=now if is_end else alert.since + _settle(alert),
            )
            for alert, channel, is_end in wanted
            if (alert.pk, channel, is_end) not in known
        ],
        ignore_conflicts=True,
        batch_size=500,
    )


def _settle(alert: Alert) -> timedelta:
    kind = KINDS.get(alert.kind)
    return timedelta(seconds=kind.settle_s if kind is not None else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A notice that is being sent; `number` counts from 1."""

    notice: int
    number: int
    address: AlertAddress
    message: Message


@transaction.atomic
def take(addresses: Iterable[AlertAddress], now: datetime, *, is_quiet: bool) -> list[Try]:
    """
    The tries that are due, the oldest first, written down as made.

    While it `is_quiet` only what is unavailable, and that it is over, is sent.
    """
    tries = []
    for address in addresses:
        due = Notice.objects.filter(channel=address.channel, sent_at=None, due_at__lte=now)
        if is_quiet:
            due = due.filter(alert__is_urgent=True)
        for notice in due.select_related("alert").order_by("due_at", "pk")[:AT_ONCE]:
            later = BACKOFF_S[notice.tries] if notice.tries < len(BACKOFF_S) else None
            taken = Notice.objects.filter(
                pk=notice.pk, tries=notice.tries, sent_at=None, due_at=notice.due_at
            ).update(
                tries=notice.tries + 1,
                due_at=None if later is None else now + timedelta(seconds=later),
            )
            if taken:
                message = Message.of(notice.alert, is_end=notice.is_end)
                tries.append(
                    Try(
                        notice=notice.pk,
                        number=notice.tries + 1,
                        address=address,
                        message=message,
                    )
                )
    return tries


def deliver(tries: Sequence[Try], now: datetime, *, within_s: float = SEND_S) -> tuple[int, int]:
    """Make the tries, and note what came of each: how many were taken, and how many not."""
    answers = asyncio.run(_all(tries, within_s)) if tries else {}
    sent = failed = 0
    for one in tries:
        rows = Notice.objects.filter(pk=one.notice, sent_at=None)
        answer = answers.get(one.notice)
        if answer is None:  # no time was left: as if it had not been tried
            rows.update(tries=one.number - 1, due_at=now)
        elif answer.is_taken:
            sent += rows.update(sent_at=now, due_at=None, error="")
        else:
            failed += rows.update(error=answer.said[:500])
    return sent, failed


async def _all(tries: Sequence[Try], within_s: float) -> dict[int, Receipt]:
    """Addresses side by side, those of one in order. Who is slow costs only themselves."""
    by_address: defaultdict[str, list[Try]] = defaultdict(list)
    for one in tries:
        by_address[one.address.channel].append(one)
    answers: dict[int, Receipt] = {}
    places = asyncio.Semaphore(ADDRESSES_AT_ONCE)
    ends_at = asyncio.get_running_loop().time() + BUDGET_S

    async def to_one(some: list[Try]) -> None:
        async with places:
            for one in some:
                if asyncio.get_running_loop().time() >= ends_at:
                    return
                answers[one.notice] = answer = await send(one.address, one.message, within_s)
                if not answer.is_taken:
                    return  # the others would meet the same

    await asyncio.gather(*(to_one(some) for some in by_address.values()))
    return answers
