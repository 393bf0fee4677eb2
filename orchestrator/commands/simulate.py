"""`dit-grid simulate`: what a campaign takes on slices that come and go, before any is reserved.

Only the request and what is printed are here; the scheduler is the real one, driven by `simulation`.
"""

from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.simulate_request import KINDS, counts, deadline, fault_rates, money, rate

if TYPE_CHECKING:
    from dit_grid.orchestrator.simulation.of_spec import Campaign

MOST_SHOWN = 5
"""Sets of slices that are printed."""


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@click.option("--group", "groups", multiple=True, help="Add a group of extra runs that the spec defines.")
@click.option(
    "--slices",
    multiple=True,
    metavar="TYPE=N",
    help="So many slices of a type, e.g. v3-32=4; also cpu=2, gpu=8. Without it plan.slices of the spec.",
)
@click.option(
    "--preemption-rate", metavar="RATE", default="0/h", show_default=True, help="Preemptions of a slice, e.g. 0.1/h."
)
@click.option("--fault", "faults", multiple=True, metavar="KIND=RATE", help=f"What else goes wrong: {KINDS}.")
@click.option(
    "--deadline", "until", metavar="TIME", help="Find the slices that end in time, e.g. 7d, for the least money."
)
@click.option("--budget", metavar="USD", help="With --deadline: of those, what is billed at most so much.")
@click.option("--capacity", type=click.Choice(["fixed", "autoscaled"]), help="In place of the spec's plan.capacity.")
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="How many campaigns.")
@click.option("--journal", type=click.Path(dir_okay=False), help="Write the first campaign's journal to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program: one object a campaign.")
def simulate(
    spec: str, groups: tuple[str, ...], slices: tuple[str, ...], preemption_rate: str, faults: tuple[str, ...],
    until: str | None, budget: str | None, capacity: str | None, seeds: int, journal: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Play a spec's campaign in virtual time: what is billed, makespan, idle share, preemptions, over many seeds.

    \b
    dit-grid simulate experiments/digits.yaml --slices cpu=2
    dit-grid simulate experiments/grid.yaml --preemption-rate 0.1/h --seeds 20
    dit-grid simulate experiments/grid.yaml --slices v3-32=2,v3-64=3,v3-128=1,v3-256=1
    dit-grid simulate experiments/grid.yaml --deadline 4d

    The scheduler, its policies and the spec's `cluster` settings are the real ones; speeds are those of dit-grid plan.
    The same seed gives the same campaign, to the byte of its journal. Billed is every slice for the whole campaign, or
    with --capacity autoscaled from when a run wants it until plan.go_s after its last; held is what runs had.
    """
    from dataclasses import replace

    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.planning.account import check_budget
    from dit_grid.orchestrator.planning.calibrate import measured_speeds
    from dit_grid.orchestrator.screen.campaigns import print_campaigns
    from dit_grid.orchestrator.screen.notices import progress
    from dit_grid.orchestrator.simulation.campaign import Lines
    from dit_grid.orchestrator.simulation.faults import Faults
    from dit_grid.orchestrator.simulation.of_spec import campaign, slices_needed

    loaded = asked_spec(spec, groups)
    check_budget(loaded)
    if capacity:
        loaded = loaded.model_copy(update={"plan": loaded.plan.model_copy(update={"capacity": capacity})})
    there = counts(slices)
    pools: dict[str, int] = {kind: there.pop(kind) for kind in ("cpu", "gpu") if kind in there}
    asked = there if slices and until is None else slices_needed(loaded)
    back = Faults(preemption=rate("--preemption-rate", preemption_rate), back_s=max(loaded.plan.back_s, 1.0))
    played = campaign(loaded, asked, pools, replace(back, **fault_rates(faults)), measured_speeds(loaded))
    if until is not None:
        if journal or (slices and there):
            raise RequestError(
                "--deadline finds the slices itself: leave out --journal, and --slices but for cpu and gpu"
            )
        _find(played, deadline(until), None if budget is None else money(budget), seeds, as_json)
        return
    if budget is not None:
        raise RequestError("--budget goes with --deadline; what is spent at most is cluster.budget in the spec")
    lines, found = Lines() if journal else None, []
    with progress("campaigns", seeds) as done:
        for seed in range(seeds):
            found.append(played.outcome(seed, lines if seed == 0 else None))
            done.add(1)
    if journal and lines:
        with open(journal, "wb") as file:
            file.write(lines.bytes())
    print_campaigns(loaded, found, as_json)


COMMANDS = (simulate,)


def _find(played: "Campaign", hours: float, most_usd: float | None, seeds: int, as_json: bool) -> None:
    """Print the few sets of slices that end in time for the least money."""
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.screen.campaigns import print_reservations
    from dit_grid.orchestrator.screen.notices import progress
    from dit_grid.orchestrator.simulation.reservation import cheapest, reservations

    price = played.spec.plan
    unpriced = [kind for kind in played.slices if price.hourly(kind) is None]
    if unpriced and (most_usd is not None or price.has_price):
        raise RequestError(f"no price is known for {', '.join(unpriced)}; set plan.prices or plan.usd_per_core_hour")
    with progress("sets of slices", len(played.runs)) as done:
        found = reservations(played, seeds, lambda: done.add(1))
    best = cheapest(found, hours, most_usd)
    print_reservations(played.spec, best[:MOST_SHOWN], len(found), as_json)
