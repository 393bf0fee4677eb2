"""The compiler's verdicts as a table for a person, and the whole `plan --compile` of a spec."""

import sys
from collections.abc import Sequence

import click

from dit_grid.experiments.spec import AnyRun, ExperimentSpec, RunSpec
from dit_grid.model.plurals import counted
from dit_grid.orchestrator.compiling.alternatives import complaint, evaluation_complaint, refusal
from dit_grid.orchestrator.compiling.compiler import CompilerError, check_compiler, is_installed
from dit_grid.orchestrator.compiling.generations import GIB
from dit_grid.orchestrator.compiling.roofline import Roofline
from dit_grid.orchestrator.compiling.verdicts import Compiled, RefusedError, judge_all, on_slices, programs_of
from dit_grid.orchestrator.screen.notices import progress
from dit_grid.orchestrator.screen.prose import print_text
from dit_grid.orchestrator.screen.rows import print_rows

COLUMNS = {
    "model": "model", "block": "block", "slice": "slice", "layout": "layout", "GiB needed": "needed",
    "of": "granted", "share": "share", "traffic GiB": "traffic", "GFLOP": "gflop", "of the model": "model_gflop",
    "between chips GiB": "sent", "between hosts": "between", "est. ms": "estimated", "roofline ms": "roofline",
    "bound": "bound",
}  # fmt: skip


def compile_runs(runs: Sequence[RunSpec]) -> tuple[dict[str, Compiled], list[str]]:
    """Return run id -> verdict of the compiler, and in one line each the runs that cannot run as they are.

    Says how far it is on standard error. Raises CompilerError.
    """
    versions = check_compiler()
    with progress("programs compiled", programs_of(runs)) as counter:
        found, refused = judge_all(runs, lambda: counter.add(1))
    return found, [_mistake(run, found.get(run.id), refused.get(run.id), versions) for run in on_slices(runs)
                   if run.id in refused or not (found[run.id].fits and found[run.id].evaluation_fits)]  # fmt: skip


def _mistake(run: RunSpec, one: Compiled | None, why: RefusedError | None, versions: dict[str, str]) -> str:
    """Return in one line why the run cannot run as it is, and what would do; says that it is looking for that."""
    click.echo(f"{run.model.name} does not fit; trying what would", err=True)
    with progress("ways tried", 6) as counter:
        if why is not None:
            return refusal(run, why, versions, counter.one_more)
        assert one is not None
        return (evaluation_complaint if one.fits else complaint)(run, one, versions, counter.one_more)


def check_slices(runs: Sequence[AnyRun], status: int) -> None:
    """Before anything is reserved: leave with the status and a line for each run that does not fit its slice.

    Without the compiler one line says that nobody looked; where no run is on a slice nothing is said or loaded.
    """
    asked = on_slices(run for run in runs if isinstance(run, RunSpec))
    if not asked:
        return
    if not is_installed():
        whose = "the run fits its TPU slice" if len(asked) == 1 else f"{len(asked)} runs fit their TPU slices"
        print_text(
            f"not checked whether {whose}: that needs the TPU compiler, "
            "`uv pip install 'dit-grid[tpu]'` (in a clone `uv sync --extra tpu`)",
            err=True,
        )
        return
    try:
        _, mistakes = compile_runs(asked)
    except CompilerError as error:
        raise CompilerError(f"{error}; `--no-compile` launches without asking it") from None
    end_with(mistakes, status)


EVALUATION_COLUMNS = {
    "model": "model", "block": "block", "program": "program", "of": "what", "GiB needed": "needed", "held": "held",
    "share": "share", "est. s": "estimated", "roofline s": "roofline", "bound": "bound",
}  # fmt: skip

SPARE = ("GFLOP", "of the model", "traffic GiB", "between chips GiB", "between hosts", "block", "roofline ms", "of")
EVALUATION_SPARE = ("block", "of", "roofline s", "bound", "GiB needed")
"""What a narrow terminal does not show, the most dispensable first."""


def rooflines(found: dict[str, Compiled]) -> dict[str, Roofline]:
    """Return run id -> how long an update takes by the compiler, of the runs that fit."""
    return {
        run_id: Roofline(one.roofline_s, one.estimated_s)
        for run_id, one in found.items() if one.roofline_s is not None
    }  # fmt: skip


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
        print_rows(COLUMNS, rows, "one update by the TPU compiler, a core; nothing ran on a TPU", SPARE)
        _print_programs(spec, found)
    for line in unread_lines(spec, found):
        click.echo(line)
    if elsewhere := len(spec.networks) - len(on_slices(spec.networks)):
        click.echo(f"{counted(elsewhere, 'run')} on no TPU slice: not compiled")


def unread_lines(spec: ExperimentSpec, found: dict[str, Compiled]) -> list[str]:
    """Return in a line each why of some programs memory alone is known."""
    why: dict[str, list[str]] = {}
    for run in spec.networks:
        if one := found.get(run.id):
            for what in (one, *one.programs):
                if what.unread:
                    why.setdefault(what.unread, []).append(f"{run.model.name} on {what.slice}")
    return [
        f"memory alone is known of {', '.join(dict.fromkeys(names))}: what libtpu made cannot be read by this jaxlib "
        f"({reason})"
        for reason, names in why.items()
    ]


def _print_programs(spec: ExperimentSpec, found: dict[str, Compiled]) -> None:
    """Print the programs of evaluations, each once for a run, and the most that a core of each run holds."""
    rows = [
        {
            "model": run.model.name, "block": run.model.block, "program": each.program, "what": each.what,
            "needed": each.hbm_needed_bytes / GIB, "held": each.held_bytes / GIB,
            "share": each.held_bytes / each.hbm_granted_bytes, "estimated": each.estimated_s,
            "roofline": each.roofline_s, "bound": each.bound,
        }
        for run in spec.networks if (one := found.get(run.id)) for each in one.programs
    ]  # fmt: skip
    if not rows:
        return
    caption = "its evaluation: a chunk drawn, a batch decoded or looked at, a core"
    print_rows(EVALUATION_COLUMNS, rows, caption, EVALUATION_SPARE)
    decided = [(one.inline_bytes / one.hbm_granted_bytes, run, one) for run in spec.networks
               if (one := found.get(run.id)) and one.inline_bytes is not None]  # fmt: skip
    share, run, one = max(decided, key=lambda each: each[0])
    print_text(
        f"with the evaluation a core holds at most {(one.inline_bytes or 0) / GIB:.2f} of "
        f"{one.hbm_granted_bytes / GIB:.2f} GiB, {share:.0%}: {run.model.name} on {one.slice}"
    )


def end_with(mistakes: list[str], status: int) -> None:
    """Print mistakes, one a line, and leave with the status if there are any."""
    for mistake in mistakes:
        click.echo(mistake, err=True)
    if mistakes:
        sys.exit(status)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
