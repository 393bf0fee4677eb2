"""`dit-grid launch`: run a spec to its end, and the exit status that says how it ended."""

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from dit_grid.model.plurals import counted, was
from dit_grid.orchestrator.commands.cost_question import ask_whether_to_pay
from dit_grid.orchestrator.commands.options import DONE, GROUPS, INTERRUPTED, SOME_FAILED, SPEC, WRONG_REQUEST
from dit_grid.orchestrator.commands.results import print_results
from dit_grid.orchestrator.commands.serve import PORT, page_of
from dit_grid.orchestrator.commands.track import TRACKER, mirrored
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.analysis import Results
    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.experiments.spec.track import TrackSpec
    from dit_grid.orchestrator.driving.who_drives import Finish

MANY_RUNS = 200
"""Launching a finished grid of more runs than this says so at once; reading all its rows takes longer."""


@click.command()
@SPEC
@GROUPS
@click.option("--address", help="A running Ray cluster, e.g. ray://head:10001 or auto; without it Ray starts here.")
@click.option("--backend", metavar="NAME", help="Execute with what an installed package registers, not with Ray.")
@click.option("--store", "store_path", help="Use this store instead of the spec's.")
@click.option("--until", metavar="TARGET", help="Stop once known: 'exponent ±0.05', 'forecast:XL/2 ±10%', 'final ±3%'.")
@click.option(
    "--until-metric", metavar="NAME", help="Metric of the target (default: fid, fd_conv, fd or heldout_loss)."
)
@click.option("--when-met", type=click.Choice(["finish", "stop"]), default="finish", help="What runs do then.")
@click.option("--no-compile", is_flag=True, help="Do not ask the TPU compiler first whether runs fit their slices.")
@click.option(
    "--yes", is_flag=True, help="With --address: do not ask before slices with a price and no budget are used."
)
@click.option("--serve", "is_served", is_flag=True, help="Serve a page that shows it live, as `dit-grid serve` does.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="With --serve: where.")
@click.option("--track", "trackers", multiple=True, type=TRACKER, help="Mirror rows there, as `dit-grid track` does.")
def launch(
    spec: str, groups: tuple[str, ...], address: str | None, backend: str | None, store_path: str | None,
    until: str | None, until_metric: str | None, when_met: str, no_compile: bool, yes: bool, is_served: bool, port: int,
    trackers: tuple[str, ...],
) -> None:  # fmt: skip
    """Run a spec to its end: resumes what is unfinished, skips what is done, ends with the scaling law.

    \b
    dit-grid launch experiments/digits.yaml
    dit-grid launch experiments/grid.yaml --address auto
    dit-grid launch experiments/digits.yaml --until "exponent ±0.3"
    dit-grid launch experiments/digits.yaml --serve
    dit-grid launch experiments/digits.yaml --track wandb

    With --until 'final ±3%' a run is ended once its own final value is known so well, from what it and its peers were
    measured at on the way; the end says what that saved.

    With any other target the law is refitted as results arrive, the runs that narrow it most for their cost come
    first, and none is started once the target is met. Launched again without it, the rest is run.

    Where the TPU compiler is installed (`plan --compile`), runs on slices that they do not fit are refused before
    anything is reserved. On a cluster whose slices have a price in the spec it first says what will be billed; without
    a cluster.budget it asks, and --yes goes on.

    Ctrl-C writes checkpoints and stops; the same command goes on from there.
    """
    from dit_grid.experiments.running.needed_files import check_runs
    from dit_grid.experiments.running.owed_evaluations import jobs_of, trainings_of
    from dit_grid.orchestrator.advice.until import asked_until
    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.driving.who_drives import launch_here, launch_on_cluster
    from dit_grid.orchestrator.planning.account import check_budget
    from dit_grid.orchestrator.planning.work import unfinished
    from dit_grid.orchestrator.screen.live_grid import display
    from dit_grid.orchestrator.screen.notices import plain_warnings

    if backend and address:
        raise RequestError(f"--backend {backend} with --address {address}: an address is of Ray; leave one of them out")
    loaded = asked_spec(spec, groups)
    if store_path:
        loaded = loaded.model_copy(update={"store": store_path})
    check_budget(loaded)
    asked = _trackers(loaded, trackers)
    loaded = asked_until(loaded, until, until_metric, when_met)
    todo = unfinished(loaded)
    if not todo:
        _say_done(loaded, spec)
        return
    runs, measuring = trainings_of(todo), len(jobs_of(todo))
    check_runs(runs, spec, here=address is None)
    if not no_compile and any(run.execution.resources.slice for run in runs):
        from dit_grid.orchestrator.screen.compiled import check_slices

        check_slices(runs, WRONG_REQUEST)
    also = f", {counted(measuring, 'evaluation')} as jobs of their own" if measuring else ""
    print_text(f"{loaded.name}: {len(runs)} of {counted(len(loaded.runs), 'run')} to do{also}, in {loaded.store}")
    page = page_of(loaded.store, spec, port) if is_served else nullcontext()
    with page, mirrored(loaded.store, asked, loaded.name) if asked else nullcontext(), plain_warnings():
        if address is None:
            finish = launch_here(loaded, display, backend)
        else:
            finish = launch_on_cluster(loaded, address, lambda: ask_whether_to_pay(loaded, runs, yes))
    if spent := _spent(finish, loaded):
        print_text(spent)
    interrupted = finish.state is not None and finish.state.stopping  # who interrupts wants the prompt back
    found = print_results(loaded.store, figures=not interrupted)
    if not interrupted:
        _print_closing(loaded, found)
    sys.exit(_exit_status(finish))


def _say_done(loaded: "ExperimentSpec", spec: str) -> None:
    """That there is nothing to launch, and what came of it."""
    all_runs, are = (f"All {len(loaded.runs)} runs", "are") if len(loaded.runs) > 1 else ("The only run", "is")
    print_text(f"{all_runs} of {loaded.name} {are} done, in {loaded.store}; nothing to launch.")
    if len(loaded.runs) > MANY_RUNS:
        print_text(f"`dit-grid analyze {spec}` fits the law, `dit-grid results {spec}` has the table.")
    else:
        print_results(loaded.store, figures=False)


def _trackers(loaded: "ExperimentSpec", named: tuple[str, ...]) -> "list[TrackSpec]":
    """The spec's trackers, and those named that it does not have."""
    from dit_grid.experiments.spec.track import TrackSpec

    known = {one.to for one in loaded.track}
    return [*loaded.track, *(TrackSpec.model_validate(name) for name in named if name not in known)]


def _print_closing(loaded: "ExperimentSpec", found: "Results") -> None:
    """How good the best samples are, what to run next, where to look."""
    from dit_grid.orchestrator.advice.closing import closing
    from dit_grid.orchestrator.commands.where import figures_folder

    for line in closing(found, loaded, figures_folder(loaded.store)):
        print_text(line)


def _spent(finish: "Finish", spec: "ExperimentSpec") -> str:
    """What the slices cost, in a sentence; empty where none were held."""
    from dit_grid.orchestrator.planning.account import account

    if finish.state is None:
        return str((finish.other.detail if finish.other else {}).get("spent", ""))
    found = account(finish.state, spec.plan)
    return found.line if found else ""


def _exit_status(finish: "Finish") -> int:
    from dit_grid.orchestrator.core import Phase, why

    if finish.state is None:
        return _others_exit_status(finish.other.detail if finish.other else {})
    state = finish.state
    known = [run for run in state.in_order() if run.known and run.phase is Phase.CANCELLED]
    _say_known([run.id + " " + run.known for run in known])
    phases = {run.phase for run in state.in_order() if run not in known}
    for run in state.in_order():
        if run in known:
            continue
        if run.phase is Phase.FAILED:
            print_text(f"{run.id} {run.phase}: {run.reason}; see `dit-grid logs {run.id}`", err=True)
        elif run.phase in (Phase.WAITING, Phase.CANCELLED, Phase.PAUSED) and not (state.stopping or state.enough):
            print_text(f"{run.id} {run.phase}: {why(state, run.id) or run.reason}", err=True)
    if state.stopping:
        print_text("Stopped. The same command goes on from the last checkpoints.", err=True)
        return INTERRUPTED
    if state.enough:
        print_text(state.enough + "; " + _left_waiting(sum(run.phase is Phase.WAITING for run in state.in_order())))
        phases.discard(Phase.WAITING)
    return DONE if phases <= {Phase.DONE} else SOME_FAILED


def _say_known(lines: list[str]) -> None:
    """Say which runs were ended because their end is known, and that nothing of them is lost."""
    for line in lines:
        print_text(line)
    if lines:
        ended = f"{counted(len(lines), 'run')} {was(len(lines))} ended early"
        print_text(f"{ended}. Launched without --until they go on from their checkpoints.")


def _left_waiting(runs: int) -> str:
    return f"{counted(runs, 'run')} {was(runs)} not started or not finished. Launched without --until they are run."


def _others_exit_status(said: "dict[str, Any]") -> int:
    """Return the exit status for what another driver left behind."""
    if said.get("outcome") != "ended":
        message = said.get("message", "launch again to go on")
        print_text(f"the driver {said.get('outcome', 'ended')}: {message}", err=True)
        return SOME_FAILED
    if said.get("enough"):
        print_text(said["enough"])
    known = said.get("known") or {}
    _say_known([f"{run_id} {why}" for run_id, why in known.items()])
    fine = {"done", "waiting"} if said.get("enough") else {"done"}
    rest = {run_id: phase for run_id, phase in said["phases"].items() if run_id not in known}
    for run_id, phase in rest.items():
        if phase not in fine:
            print_text(f"{run_id} {phase}; see `dit-grid logs {run_id}`", err=True)
    return DONE if set(rest.values()) <= fine else SOME_FAILED


COMMANDS = (launch,)
