"""What a cloud will bill for a spec on the slices that it reserves: one campaign in virtual time, as `plan` reckons it.

Over many seeds, with other faults and on other slices, it is `dit-grid simulate`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.orchestrator.compiling.roofline import Roofline
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.planning.plan import Speed
from dit_grid.orchestrator.simulation.campaign import Outcome
from dit_grid.orchestrator.simulation.faults import Faults
from dit_grid.orchestrator.simulation.of_spec import campaign, slices_needed

MOST_RUNS = 1_000
"""A larger grid takes seconds to play, which somebody asks `simulate` for."""


class Bill(NamedTuple):
    """The slices that are reserved, and what the campaign on them takes."""

    slices: Mapping[str, int]
    outcome: Outcome

    @property
    def usd(self) -> float:
        """Return the dollars that are billed."""
        return self.outcome.billed_usd or 0.0


def bill(
    spec: ExperimentSpec, speeds: Mapping[str, Speed] | None = None, rooflines: Mapping[str, Roofline] | None = None
) -> Bill | None:
    """Return what the spec's runs are billed; None where no price or no speed is known, or they are on no slices.

    Preemptions come as often as `plan.preemptions_per_hour` says. It is the whole bill, whatever `cluster.budget` caps.
    """
    price, slices, spec = spec.plan, slices_needed(spec), _uncapped(spec)
    if not slices or len(spec.runs) > MOST_RUNS or any(price.hourly(kind) is None for kind in slices):
        return None
    faults = Faults(preemption=price.preemptions_per_hour, back_s=max(price.back_s, 1.0))
    try:
        outcome = campaign(spec, slices, {}, faults, speeds, rooflines).outcome(seed=0)
    except RequestError:  # a run on cores or GPUs, or of which no speed is known
        return None
    return Bill(slices, outcome) if outcome.billed_usd and not outcome.unfinished else None


def _uncapped(spec: ExperimentSpec) -> ExperimentSpec:
    budget = spec.cluster.budget.model_copy(update={"usd": None, "slice_hours": None})
    return spec.model_copy(update={"cluster": spec.cluster.model_copy(update={"budget": budget})})
