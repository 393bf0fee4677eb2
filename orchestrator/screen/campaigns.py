"""Campaigns in virtual time as tables: what they took, over the seeds, and which slices to reserve.

What happened in them is `simulation`.
"""

from collections.abc import Sequence
from dataclasses import asdict

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.model.plurals import counted
from dit_grid.orchestrator.screen.prose import print_text
from dit_grid.orchestrator.screen.rows import print_rows
from dit_grid.orchestrator.screen.tables import print_json
from dit_grid.orchestrator.simulation.campaign import Outcome
from dit_grid.orchestrator.simulation.reservation import Reservation, said


def print_campaigns(spec: ExperimentSpec, found: Sequence[Outcome], as_json: bool) -> None:
    """Print each quantity's mean and the range of nine tenths of the campaigns, what is billed first."""
    if as_json:
        print_json([asdict(one) | {"billed_hours": one.billed_hours} for one in found])
        return
    priced = spec.plan.has_price
    quantities = {
        "USD billed": [one.billed_usd for one in found if one.billed_usd is not None] if priced else [],
        "USD held by runs": [one.usd for one in found] if priced else [],
        "makespan, hours": [one.makespan_h for one in found],
        "slice-hours billed": [one.billed_hours for one in found],
        "slice-hours held by runs": [one.slice_hours for one in found],
        "idle share of slices": [one.idle for one in found],
        "compute run again": [one.lost for one in found],
        "preemptions": [float(one.preemptions) for one in found],
        "starts": [float(one.starts) for one in found],
        "runs done": [float(one.done) for one in found],
        "runs failed": [float(one.failed) for one in found],
        "runs left waiting": [float(one.unfinished) for one in found],
        "evaluations done, as jobs of their own": [float(one.evaluated) for one in found if one.evaluations],
        "evaluations not done": [float(one.evaluations - one.evaluated) for one in found if one.evaluations],
    }
    rows = [_row(name, values) for name, values in quantities.items() if values]
    columns = {"quantity": "name", "mean": "mean", "5 %": "low", "median": "median", "95 %": "high"}
    head = f"{counted(len(found), 'campaign')} of {counted(len(spec.runs), 'run')}, seeds 0 to {len(found) - 1}"
    print_rows(columns, rows, head)
    print_text(billing_words(spec))


def billing_words(spec: ExperimentSpec) -> str:
    """Return what "billed" means for the spec's cluster, in a sentence or two."""
    price = spec.plan
    if price.capacity == "autoscaled":
        return (
            f"billed: slices come when a run wants one ({price.come_s:g} s) and go {price.go_s:g} s after their last "
            "run (plan.capacity: autoscaled); held: from a run's start to its end"
        )
    return (
        "billed: every slice from the first start to the last end, as the files of `dit-grid cluster` keep them "
        "(plan.capacity: fixed); held: from a run's start to its end"
    )


def _row(name: str, values: list[float]) -> dict[str, object]:
    ordered, last = sorted(values), len(values) - 1
    at = {"low": 0.05, "median": 0.5, "high": 0.95}
    return {"name": name, "mean": sum(values) / len(values), **{k: ordered[round(q * last)] for k, q in at.items()}}


def print_reservations(spec: ExperimentSpec, best: Sequence[Reservation], tried: int, as_json: bool) -> None:
    """Print sets of slices, the cheapest first."""
    priced = spec.plan.has_price
    rows = [
        {
            "slices": said(one.slices), "hours": one.hours, "billed_usd": one.billed_usd if priced else None,
            "usd": one.usd if priced else None, "billed_hours": one.billed_hours,
            "slice_hours": sum(o.slice_hours for o in one.outcomes) / len(one.outcomes),
        }
        for one in best
    ]  # fmt: skip
    if as_json:
        print_json([row | {"slices": dict(one.slices)} for row, one in zip(rows, best, strict=True)])
        return
    columns = {
        "slices": "slices", "hours": "hours", "USD billed": "billed_usd", "USD held": "usd",
        "slice-hours billed": "billed_hours", "slice-hours held": "slice_hours",
    }  # fmt: skip
    print_rows(columns, rows, spare=("slice-hours held", "slice-hours billed", "USD held"))
    seeds = len(best[0].outcomes)
    print_text(f"the cheapest of {tried} sets played, {seeds} campaigns each; hours that 95 % of them keep")
    print_text(billing_words(spec))
    kept = ", ".join(f"{kind}: {count}" for kind, count in best[0].slices.items())
    print_text(f"in the spec, for the first: plan: {{slices: {{{kept}}}}}")
