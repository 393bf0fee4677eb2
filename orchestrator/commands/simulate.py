"""`dit-grid simulate`: what a campaign takes on slices that come and go, before any is reserved.

Only the request and what is printed are here; the scheduler is the real one, driven by `simulation`.
"""

import re
from typing import TYPE_CHECKING

import click

from dit_grid.model.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dit_grid.orchestrator.simulation.campaign import Outcome

KINDS = (
    "preemption, kill, process, hang, storage, broken, driver (an hour and slice), nan, out-of-memory (share of runs)"
)


MOST_A_RATE = 1e4
"""Of anything, in an hour or a day: a campaign in which nothing lives for a second never ends."""


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@click.option("--group", "groups", multiple=True, help="Add a group of extra runs that the spec defines.")
@click.option(
    "--slices", multiple=True, metavar="TYPE=N", help="So many slices of a type, e.g. v3-32=4; also cpu=2, gpu=8."
)
@click.option(
    "--preemption-rate", metavar="RATE", default="0/h", show_default=True, help="Preemptions of a slice, e.g. 0.1/h."
)
@click.option("--fault", "faults", multiple=True, metavar="KIND=RATE", help=f"What else goes wrong: {KINDS}.")
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="How many campaigns.")
@click.option("--journal", type=click.Path(dir_okay=False), help="Write the first campaign's journal to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program: one object a campaign.")
def simulate(
    spec: str, groups: tuple[str, ...], slices: tuple[str, ...], preemption_rate: str, faults: tuple[str, ...],
    seeds: int, journal: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Play a spec's campaign in virtual time: makespan, cost, idle share and preemptions, over many seeds.

    \b
    dit-grid simulate experiments/digits.yaml --slices cpu=2
    dit-grid simulate experiments/grid.yaml --slices v3-32=2 --slices v3-64=2 --slices v3-128=1 \\
        --slices v3-256=1 --preemption-rate 0.1/h --seeds 20

    The scheduler, its policies and the spec's `cluster` settings are the real ones; speeds are those of dit-grid plan.
    The same seed gives the same campaign, to the byte of its journal.
    """
    from dataclasses import asdict, replace

    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.planning.calibrate import measured_speeds
    from dit_grid.orchestrator.screen.notices import progress
    from dit_grid.orchestrator.screen.tables import print_json
    from dit_grid.orchestrator.simulation.campaign import Lines
    from dit_grid.orchestrator.simulation.faults import Faults
    from dit_grid.orchestrator.simulation.of_spec import campaign

    loaded = asked_spec(spec, groups)
    there = counts(slices)
    pools: dict[str, int] = {kind: there.pop(kind) for kind in ("cpu", "gpu") if kind in there}
    going_wrong = replace(Faults(preemption=rate("--preemption-rate", preemption_rate)), **fault_rates(faults))
    played = campaign(loaded, there, pools, going_wrong, measured_speeds(loaded))
    lines, found = Lines() if journal else None, []
    with progress("campaigns", seeds) as done:
        for seed in range(seeds):
            found.append(played.outcome(seed, lines if seed == 0 else None))
            done.add(1)
    if journal and lines:
        with open(journal, "wb") as file:
            file.write(lines.bytes())
    if as_json:
        print_json([asdict(one) for one in found])
        return
    _print(found, len(loaded.runs), has_price=loaded.plan.usd_per_chip_hour or loaded.plan.usd_per_core_hour)


COMMANDS = (simulate,)


def counts(slices: tuple[str, ...]) -> dict[str, int]:
    """Return type -> number from `v3-32=4,v3-128=1`. Raises RequestError for an unknown type or no number."""
    from dit_grid.experiments.spec.slices import slice_mistake
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError

    found: dict[str, int] = {}
    for item in (part for text in slices for part in text.split(",")):
        kind, _, count = item.strip().partition("=")
        mistake = "" if kind in ("cpu", "gpu") else slice_mistake(kind)
        if mistake or not (count.isascii() and count.isdecimal() and len(count) <= 6):
            mistake = mistake or "give a type and a number below a million, for example v3-32=4"
            raise RequestError(f"--slices {shown(item)}: {mistake}")
        found[kind] = found.get(kind, 0) + int(count)
    return found


def rate(option: str, text: str) -> float:
    """Return events an hour from `0.1/h`, `2/d` or a plain number. Raises RequestError."""
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError

    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(?:/(h|d))?", text.strip(), re.ASCII)
    if match is None or float(match[1]) > MOST_A_RATE:
        raise RequestError(
            f"{option} {shown(text)}: give a number an hour or a day, for example 0.1/h or 2/d, at most {MOST_A_RATE:g}"
        )
    return float(match[1]) / (24 if match[2] == "d" else 1)


def fault_rates(faults: tuple[str, ...]) -> dict[str, float]:
    """Return fields of `Faults` from `kill=0.1/h`. Raises RequestError for an unknown kind."""
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.simulation.faults import PER_SLICE

    shares, found = ("nan", "out_of_memory"), {}
    for item in faults:
        kind, _, text = item.partition("=")
        name = kind.strip().replace("-", "_")
        if name not in (*PER_SLICE, "driver", *shares):
            raise RequestError(f"--fault {shown(item)}: unknown kind; kinds: {KINDS}")
        found[name] = rate("--fault", text)
        if name in shares and found[name] > 0.5:
            raise RequestError(f"--fault {item}: a share of runs, at most 0.5")
    return found


def _print(found: "Sequence[Outcome]", runs: int, has_price: object) -> None:
    """Print each quantity's mean and the range of nine tenths of the campaigns."""
    from dit_grid.orchestrator.screen.tables import print_rows

    quantities = {
        "makespan, hours": [one.makespan_h for one in found],
        "slice-hours held": [one.slice_hours for one in found],
        "USD": [one.usd for one in found] if has_price else [],
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
    print_rows(
        columns, rows, f"{counted(len(found), 'campaign')} of {counted(runs, 'run')}, seeds 0 to {len(found) - 1}"
    )


def _row(name: str, values: list[float]) -> dict[str, object]:
    ordered, last = sorted(values), len(values) - 1
    at = {"low": 0.05, "median": 0.5, "high": 0.95}
    return {"name": name, "mean": sum(values) / len(values), **{k: ordered[round(q * last)] for k, q in at.items()}}
