"""Every host and its processes, as the database has it from their control children."""

from __future__ import annotations

import logging
import socket
import time
from typing import Final

import msgspec
from django.conf import settings
from django.db.models.functions import Now

from controlplane.hosts.models import HostReport
from controlplane.models import PublishedSnapshot
from routing.gateway.link.children import read_children
from routing.gateway.link.fleet import Fleet, HostSeen, judge

GENERATIONS: Final = 100  # so far back lag is counted

logger = logging.getLogger("switchyard.control")
_decoder: msgspec.json.Decoder[HostSeen] = msgspec.json.Decoder(HostSeen)


def fleet() -> Fleet:
    """Every process that the database knows of. Raises what the database raises."""
    hosts = []
    here = (socket.gethostname(), str(settings.DATA_DIR))
    told = HostReport.objects.annotate(now=Now()).values_list("report", "seen_at", "now")
    for report, seen_at, now in told:
        try:
            host = _decoder.decode(report)
        except msgspec.DecodeError as error:
            # Written by a release that is newer than this one; the others are shown.
            logger.warning("a host's report cannot be read: %s", error)
            continue
        if (host.host, host.data_dir) == here:
            # By the file itself: the control child that tells of it may be what ends all the time.
            host = msgspec.structs.replace(host, children=read_children(settings.DATA_DIR))
        silent_s = max(0.0, round((now - seen_at).total_seconds(), 1))
        hosts.append(msgspec.structs.replace(host, silent_s=silent_s))
    return judge(hosts, _published(), time.time())


def _published() -> list[tuple[int, float]]:
    rows = PublishedSnapshot.objects.order_by("-generation")
    newest = rows.values_list("generation", "created_at")[:GENERATIONS]
    return [(generation, at.timestamp()) for generation, at in newest]
