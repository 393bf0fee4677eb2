"""The question that stands before a launch which spends money without a cap: what it will cost, and whether to go on.

What it costs is reckoned by `simulation.bill`; with a budget it is said and not asked, a finished grid and a launch
here say nothing.
"""

import sys
from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.options import INTERRUPTED
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    from dit_grid.experiments.spec import AnyRun, ExperimentSpec


def ask_whether_to_pay(spec: "ExperimentSpec", runs: "list[AnyRun]", yes: bool) -> None:
    """Say what the runs will be billed, and return if a person goes on; leave with status 130 if not.

    Raises RequestError where nobody can be asked and `yes` is not given. A run that has begun counts as a whole one.
    """
    from dit_grid.orchestrator.screen.prose import print_text

    if not (spec.plan.has_price and any(run.execution.resources.slice for run in runs)):
        return
    cost, caps = _cost(spec.model_copy(update={"runs": tuple(runs)}))
    if yes or caps:
        print_text("\n".join(filter(None, [cost, caps])))
        return
    if not sys.stdin.isatty():
        raise RequestError(
            f"{cost}; nobody is there to be asked: add --yes, or a cap to the spec, cluster: {{budget: {{usd: …}}}}"
        )
    print_text(f"{cost}; the spec has no cluster.budget")
    if not click.confirm("Go on?"):
        click.echo("nothing was started", err=True)
        sys.exit(INTERRUPTED)


def _cost(spec: "ExperimentSpec") -> tuple[str, str]:
    """What will be billed, and what the budget caps, each in a line."""
    from dit_grid.orchestrator.planning.calibrate import measured_speeds
    from dit_grid.orchestrator.screen.money import billed_line, cap_line
    from dit_grid.orchestrator.simulation.bill import bill

    billed = bill(spec, measured_speeds(spec))
    if billed is None:
        unknown = f"what {len(spec.runs)} runs will be billed is not known (dit-grid plan {spec.file} says why)"
        return unknown, cap_line(spec, None)
    return billed_line(spec, billed), cap_line(spec, billed)
