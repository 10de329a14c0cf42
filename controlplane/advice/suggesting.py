"""The job that looks what could be set better, and whether what was accepted has helped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controlplane.advice.evidence import Picture
from controlplane.advice.finding.domains import domains
from controlplane.advice.finding.limits import is_always_limited, limits
from controlplane.advice.finding.pools import dead, spares
from controlplane.advice.finding.rules import rules
from controlplane.advice.finding.shares import orders, weights
from controlplane.advice.finding.values import Ground
from controlplane.advice.keeping import keep
from controlplane.advice.outcomes import fill_outcomes
from controlplane.health.status_pages import words_by_provider
from providers.saying.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controlplane.advice.finding.values import Proposal
    from controlplane.jobs.running import Run


def suggest(run: Run) -> str:
    """One pass over the configuration and the rollups; what it found, in words."""
    pages = words_by_provider()
    found = (with_pages(proposal, pages) for proposal in found_in(Picture(run.began_at)))
    kept = keep(found, run.began_at)
    judged = fill_outcomes(run.began_at)
    return f"{kept}; {counted(judged, 'outcome')}" if judged else str(kept)


def with_pages(proposal: Proposal, pages: Mapping[str, str]) -> Proposal:
    """With what the status pages of the providers that it is about say: beside the figures."""
    said = tuple(Ground(text=pages[name]) for name in sorted(proposal.providers & pages.keys()))
    return replace(proposal, grounds=(*proposal.grounds, *said)) if said else proposal


def found_in(seen: Picture) -> Iterator[Proposal]:
    """Every proposal. What one kind has an answer for is not brought up by another."""
    gone = list(dead(seen.lines, seen.day))
    yield from gone
    names = {step.candidate for proposal in gone for step in proposal.steps}
    lines = [
        replace(
            line,
            seats=tuple(
                replace(seat, is_live=False) if seat.name in names else seat for seat in line.seats
            ),
        )
        for line in seen.lines
    ]
    yield from spares(seen.lines, seen.listed, domain=seen.fails_with, price=seen.price)
    limited = {
        (seat.provider, seat.model)
        for line in lines
        for seat in line.live
        if is_always_limited(seen.whole_tally(seat))
    }
    yield from limits(lines, seen.whole_tally, seen.passed, seen.day)
    yield from orders(lines, seen.day)
    yield from weights(lines, seen.day, limited)
    yield from domains(seen.bad_minutes, seen.domain, seen.is_one_domain, seen.week)
    yield from rules(seen.models, seen.market, seen.price_of, seen.week)
