"""How often one operator may ask for what is dear to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.throttling import SimpleRateThrottle

from controlplane.authentication import KeyHolder
from controlplane.models import digest_of

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class DraftsThrottle(SimpleRateThrottle):
    """Counted per person or key, in each worker process by itself."""

    scope = "drafts"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        del view
        holder: object = request.auth
        who = f"key:{holder.name}" if isinstance(holder, KeyHolder) else f"user:{request.user.pk}"
        return f"throttle:{self.scope}:{digest_of(who)}"  # a name may hold what no cache key may
