"""Every kind of alert: its words, how urgent it is, and which page of admin shows its cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertKind:
    """
    `begun` and `ended` are sentences about the `{subject}`. Urgent is what is unavailable: quiet
    hours do not hold it back. A message waits `settle_s` seconds, so that what is over by then
    bothers nobody. `page` is a page below /admin/, with `query` after it: the worker, which has no
    pages of its own, tells of it, too.
    """

    name: str
    about: str
    begun: str
    ended: str
    page: str
    query: str = ""
    is_urgent: bool = False
    settle_s: float = 0.0

    def path(self, subject: str) -> str:
        """The page of admin that shows the cause."""
        return f"/admin/{self.page}{self.query.format(subject=quote(subject, safe=''))}"


KINDS: Final = {
    kind.name: kind
    for kind in (
        AlertKind(
            name="provider_unhealthy",
            about="Health checks cannot reach a provider, and no traffic has succeeded since.",
            begun="Provider {subject} is unhealthy.",
            ended="Provider {subject} is back.",
            page="controlplane/healthsnapshot/",
            query="?q={subject}",
            is_urgent=True,
        ),
        AlertKind(
            name="pool_unavailable",
            about="Nobody of a pool can be chosen.",
            begun="Pool {subject} is unavailable.",
            ended="Pool {subject} is available again.",
            page="pools-now/",
            is_urgent=True,
        ),
        AlertKind(
            name="pool_degraded",
            about="Somebody of a pool cannot be chosen, or not the one that is configured first is,"
            " for another reason than an operator's switch.",
            begun="Pool {subject} is degraded.",
            ended="Pool {subject} is whole again.",
            page="pools-now/",
            settle_s=60,
        ),
        AlertKind(
            name="credential_refused",
            about="A provider refuses one of its credentials.",
            begun="The credential {subject} is refused.",
            ended="The credential {subject} is no longer benched for being refused.",
            page="failover/bench/",
        ),
        AlertKind(
            name="credential_out_of_quota",
            about="The quota or the balance of a credential is used up.",
            begun="The credential {subject} is out of quota.",
            ended="The credential {subject} is no longer benched for its quota.",
            page="failover/bench/",
        ),
        AlertKind(
            name="failover_rate",
            about="More of a pool's requests fail over than `alerts.failover_rate` says.",
            begun="Many requests of pool {subject} fail over.",
            ended="Few requests of pool {subject} fail over now.",
            page="controlplane/requestrecord/",
            query="?canonical_model={subject}&failover=True",
        ),
        AlertKind(
            name="suggestion_waiting",
            about="A suggestion waits to be accepted or dismissed.",
            begun="Suggestions wait for a decision.",
            ended="No suggestion waits any more.",
            page="controlplane/suggestion/",
        ),
        AlertKind(
            name="job_missed",
            about="A job of the worker should have begun twice since it last did.",
            begun="The job {subject} does not run.",
            ended="The job {subject} runs again.",
            page="jobs/",
        ),
        AlertKind(
            name="worker_silent",
            about="No job has begun for a minute: the worker, or its beat, is away.",
            begun="The worker is silent.",
            ended="The worker is back.",
            page="jobs/",
        ),
        AlertKind(
            name="configuration_refused",
            about="The last edit of the configuration file was refused.",
            begun="An edit of the configuration was refused.",
            ended="The configuration is accepted again.",
            page="controlplane/configsource/",
        ),
        AlertKind(
            name="records_dropped",
            about="A host had no room for request records in the last five minutes.",
            begun="Host {subject} drops request records.",
            ended="Host {subject} keeps all request records again.",
            page="processes/",
        ),
    )
}
# While the first is there, the second goes without saying: it neither begins nor ends.
IMPLIED: Final = {"pool_unavailable": "pool_degraded"}
