"""Which slices to reserve: the numbers of each type with which a campaign ends in time and is billed least.

Found by playing it: from the fewest that can hold its runs, one more of what ended last, until nobody waits. What a
person says of deadline and money is read by the command.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.simulation.campaign import Outcome
from dit_grid.orchestrator.simulation.of_spec import Campaign

MOST_SETS = 200
"""Sets that are played at the most; a grid of more runs than that is seldom given a slice for each."""

IN_TIME = 0.95
"""Share of the campaigns that must end before the deadline."""


@dataclass(frozen=True)
class Reservation:
    """So many slices of each type, and what campaigns on them took."""

    slices: Mapping[str, int]
    outcomes: tuple[Outcome, ...]

    @property
    def hours(self) -> float:
        """Return the makespan that `IN_TIME` of the campaigns keep."""
        ordered = sorted(one.makespan_h for one in self.outcomes)
        return ordered[round(IN_TIME * (len(ordered) - 1))]

    @property
    def billed_usd(self) -> float:
        """Return the mean of what is billed, 0 where nothing has a price."""
        return sum(one.billed_usd or 0.0 for one in self.outcomes) / len(self.outcomes)

    @property
    def billed_hours(self) -> float:
        """Return the mean of the slice-hours that are billed."""
        return sum(one.billed_hours for one in self.outcomes) / len(self.outcomes)

    @property
    def usd(self) -> float:
        """Return the mean of what is held."""
        return sum(one.usd for one in self.outcomes) / len(self.outcomes)


def reservations(
    campaign: Campaign, seeds: int, played: Callable[[], None] = lambda: None
) -> list[Reservation]:  # fmt: skip
    """Return what was tried, from one slice of each type of the campaign on: each has one more of the type that held
    the campaign up. Types are independent where evaluations do not go apart; then nothing between is cheaper.

    `played` is called after each.
    """
    most = {kind: sum(run.kind == kind for run in campaign.runs) for kind in campaign.slices}
    slices, found = dict.fromkeys(campaign.slices, 1), list[Reservation]()
    while len(found) < MOST_SETS:
        there = campaign.on(dict(slices))
        found.append(Reservation(dict(slices), tuple(there.outcome(seed) for seed in range(seeds))))
        played()
        kind = _last(found[-1].outcomes, [kind for kind in slices if slices[kind] < most[kind]])
        if kind is None:
            break
        slices[kind] += 1
    return found


def _last(outcomes: Sequence[Outcome], open_kinds: Sequence[str]) -> str | None:
    """Return the type whose runs ended last, by the mean over the seeds; None where more of it would stand idle."""
    ends: dict[str, float] = {}
    for one in outcomes:
        for kind, hour in one.ends_h.items():
            ends[kind] = ends.get(kind, 0.0) + hour
    last = max(ends, key=lambda kind: ends[kind], default=None)
    return last if last in open_kinds else None


def cheapest(found: Sequence[Reservation], deadline_h: float, most_usd: float | None) -> list[Reservation]:
    """Return those that end in time and within the money, the cheapest first.

    Raises RequestError, in a line, where there is none: with the quickest, or the cheapest that is in time.
    """
    whole = [one for one in found if not any(outcome.unfinished for outcome in one.outcomes)]
    if not whole:
        raise RequestError("no set of slices ends the campaign: runs are left waiting (cluster.budget in the spec?)")
    timely = sorted((one for one in whole if one.hours <= deadline_h), key=lambda one: (_price(one), one.hours))
    if not timely:
        quick = min(whole, key=lambda one: one.hours)
        raise RequestError(
            f"--deadline {deadline_h:g}h: no number of slices is quick enough; {said(quick.slices)} takes "
            f"{quick.hours:.4g} h, {_longest(quick)}; give it longer, or give those runs larger slices"
        )
    paid = [one for one in timely if most_usd is None or one.billed_usd <= most_usd]
    if not paid:
        best = timely[0]
        raise RequestError(
            f"--budget {most_usd:g}: no set that ends in {deadline_h:g} h is billed so little; the cheapest, "
            f"{said(best.slices)}, is {best.billed_usd:,.0f} USD for {best.hours:.4g} h"
        )
    return paid


def _price(one: Reservation) -> float:
    return one.billed_usd or one.billed_hours


def _longest(one: Reservation) -> str:
    ends = one.outcomes[0].ends_h
    return f"held up by the runs on {max(ends, key=lambda kind: ends[kind])}"


def said(slices: Mapping[str, int]) -> str:
    """Return the slices as `--slices` takes them."""
    return ",".join(f"{kind}={count}" for kind, count in slices.items())
