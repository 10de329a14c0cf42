"""Publishing in the place of a control child that has died, until its successor is there."""

from __future__ import annotations

import logging

from django.conf import settings

from controlplane.publishing.lock import hold_lock
from controlplane.publishing.publisher import publish

logger = logging.getLogger("switchyard.control")


def publish_alone() -> bool:
    """
    Publish what the database says, unless a control child has the right to.

    Never raises: what fails here, the next control child tries again, and says so.
    """
    try:
        with hold_lock(settings.DATA_DIR) as lock:
            if not lock.is_ours():
                return False
            publish(settings.DATA_DIR)
    except Exception as error:  # noqa: BLE001 - as said
        logger.warning("an edit could not be published without a control child: %s", error)
        return False
    return True
