"""One request, and what of it each provider of another protocol can take."""

from __future__ import annotations

from failover.engine.plan import Candidate
from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS, Request
from providers.protocols.canonical import Prompt, Unfit
from providers.protocols.translating import Translated


class Fitting:
    """
    `request` as its candidates would get it: read once, and written once for each who is asked
    about. Nothing is done for those who speak its protocol.

    `is_strict`: who cannot take every member is unfit. `misfits` are the unfit who have been asked
    about, each with the member that it cannot take. `contradiction`: why it can be told in no other
    protocol at all.
    """

    __slots__ = ("_prompt", "_told", "contradiction", "is_strict", "misfits", "request")

    def __init__(self, request: Request, *, is_strict: bool = False) -> None:
        self.request = request
        self.is_strict = is_strict
        self.misfits: dict[str, str] = {}
        self.contradiction: ProtocolError | None = None
        self._prompt: Prompt | None = None
        self._told: dict[str, Translated] = {}

    def misfit(self, candidate: Candidate) -> str:
        """The member for which `candidate` has to be left out; "" if it need not be."""
        upstream = candidate.upstream
        if upstream is None or upstream.speaks(self.request.protocol.name):
            return ""
        name = candidate.name
        is_known = name in self._told or name in self.misfits
        if not is_known and (what := self._tell(candidate)):
            self.misfits[name] = what
        return self.misfits.get(name, "")

    def told(self, candidate: Candidate) -> Translated:
        """The request for `candidate`, which is no misfit and speaks another protocol."""
        if candidate.name not in self._told:
            self._tell(candidate)
        return self._told[candidate.name]

    def dropped(self, candidate: Candidate) -> tuple[str, ...]:
        """The members that `candidate`, which is no misfit, would not get."""
        upstream = candidate.upstream
        if upstream is None or upstream.speaks(self.request.protocol.name):
            return ()
        return self.told(candidate).written().dropped

    def _tell(self, candidate: Candidate) -> str:
        """Write the request for `candidate`; the member that it cannot take, or ""."""
        upstream, request = candidate.upstream, self.request
        assert upstream is not None  # noqa: S101  # the planner rejects candidates without one
        if self.contradiction is not None:
            return self.contradiction.param or "request"
        spoken = PROTOCOLS[upstream.spoken(request.protocol.name)]
        try:
            told = Translated(request, spoken, candidate.target, self._prompt)
            self._prompt = told.prompt
            dropped = told.written().dropped
        except ProtocolError as error:
            self.contradiction = error
            return error.param or "request"
        except Unfit as error:
            return error.what or "request"
        if dropped and self.is_strict:
            return dropped[0]
        self._told[candidate.name] = told
        return ""
