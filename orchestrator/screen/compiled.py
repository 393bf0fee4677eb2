"""The compiler's verdicts as a table for a person, and the whole `plan --compile` of a spec."""

import sys

import click

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.orchestrator.compiling.alternatives import complaint
from dit_grid.orchestrator.compiling.compiler import check_compiler
from dit_grid.orchestrator.compiling.generations import GIB
from dit_grid.orchestrator.compiling.verdicts import Compiled, judge_all
from dit_grid.orchestrator.screen.notices import progress
from dit_grid.orchestrator.screen.tables import print_rows

COLUMNS = {
    "model": "model", "block": "block", "slice": "slice", "layout": "layout", "GiB needed": "needed",
    "of": "granted", "share": "share", "traffic GiB": "traffic", "GFLOP": "gflop", "of the model": "model_gflop",
    "between chips GiB": "sent", "between hosts": "between", "est. ms": "estimated", "roofline ms": "roofline",
    "bound": "bound",
}  # fmt: skip


def compile_spec(spec: ExperimentSpec) -> tuple[dict[str, Compiled], list[str]]:
    """Return run id -> verdict of the compiler, and in one line each the runs that cannot run as they are.

    Says how far it is on standard error. Raises CompilerError.
    """
    versions = check_compiler()
    with progress("programs compiled", len(spec.networks)) as counter:
        found, mistakes = judge_all(spec.networks, lambda: counter.add(1))
    too_large = [run for run in spec.networks if run.id in found and not found[run.id].fits]
    for run in too_large:
        click.echo(f"{run.model.name} does not fit; trying what would", err=True)
        with progress("ways tried", 6) as counter:
            mistakes.append(complaint(run, found[run.id], versions, lambda: counter.add(1)))
    return found, mistakes


def rooflines(found: dict[str, Compiled]) -> dict[str, float]:
    """Return run id -> seconds of an update at peak, of the runs that fit."""
    return {run_id: one.roofline_s for run_id, one in found.items() if one.roofline_s is not None}


def print_compiled(spec: ExperimentSpec, found: dict[str, Compiled]) -> None:
    """Print the verdicts, a row a run; nothing where no run names a slice."""
    rows = [
        {
            "model": run.model.name, "block": run.model.block, "slice": one.slice, "layout": one.layout,
            "needed": one.hbm_needed_bytes / GIB, "granted": one.hbm_granted_bytes / GIB,
            "share": one.hbm_needed_bytes / one.hbm_granted_bytes, "traffic": _scaled(one.traffic_bytes, 1 / GIB),
            "gflop": _scaled(one.flops, 1e-9), "model_gflop": one.model_flops / 1e9,
            "sent": ", ".join(f"{kind} {size / GIB:.2f}" for kind, size in sorted(one.collective_bytes.items())),
            "between": _scaled(one.between_hosts_bytes, 1 / GIB), "estimated": _scaled(one.estimated_s, 1e3),
            "roofline": _scaled(one.roofline_s, 1e3), "bound": one.bound,
        }
        for run in spec.networks if (one := found.get(run.id))
    ]  # fmt: skip
    if rows:
        print_rows(COLUMNS, rows, "one update by the TPU compiler, a core; nothing ran on a TPU")
    if len(rows) < len(spec.networks):
        click.echo(f"{len(spec.networks) - len(rows)} runs name no TPU slice and were not compiled")


def end_with(mistakes: list[str], status: int) -> None:
    """Print mistakes, one a line, and leave with the status if there are any."""
    for mistake in mistakes:
        click.echo(mistake, err=True)
    if mistakes:
        sys.exit(status)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
