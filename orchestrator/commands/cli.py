"""The command line: thin commands over the library, and the only place that sees all four rooms.

Every import of weight stands inside a command, so that `dit-grid --help` answers at once.
"""

import contextlib
import errno
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from dit_grid.orchestrator.commands.cluster import COMMANDS as CLUSTER_COMMANDS
from dit_grid.orchestrator.commands.compare import COMMANDS as COMPARE_COMMANDS
from dit_grid.orchestrator.commands.control import COMMANDS as CONTROL_COMMANDS
from dit_grid.orchestrator.commands.coordinates import COMMANDS as COORDINATES_COMMANDS
from dit_grid.orchestrator.commands.encode import COMMANDS as ENCODE_COMMANDS
from dit_grid.orchestrator.commands.evaluate import COMMANDS as EVALUATE_COMMANDS
from dit_grid.orchestrator.commands.forecast import COMMANDS as FORECAST_COMMANDS
from dit_grid.orchestrator.commands.import_weights import COMMANDS as IMPORT_COMMANDS
from dit_grid.orchestrator.commands.report import COMMANDS as REPORT_COMMANDS
from dit_grid.orchestrator.commands.sample import COMMANDS as SAMPLE_COMMANDS
from dit_grid.orchestrator.commands.sentinel import COMMANDS as SENTINEL_COMMANDS
from dit_grid.orchestrator.commands.simulate import COMMANDS as SIMULATE_COMMANDS
from dit_grid.orchestrator.commands.store import store_group
from dit_grid.orchestrator.commands.trainer_client import COMMANDS as TRAINER_COMMANDS
from dit_grid.orchestrator.control.errors import ClusterLostError

if TYPE_CHECKING:
    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.orchestrator.driving.drivers import Finish

DONE, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; 130 is the shell's for a program ended by Ctrl-C."""

DISK_SAYS_NO = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk answers that is full or may not be written: one line, as for every mistake of a request."""

MANY_RUNS = 200
"""Launching a finished grid of more runs than this says so at once; reading all its rows takes longer."""

WHERE = click.argument("where", required=False)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program instead of a table.")
GROUPS = click.option("--group", "groups", multiple=True, help="Add a group of extra runs that the spec defines.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dit-grid")
def cli() -> None:
    """Scaling-law experiments for diffusion transformers.

    \b
    dit-grid launch experiments/digits.yaml    twelve models trained here, in minutes
    dit-grid status                            how they stand, from another terminal
    dit-grid analyze                           the fitted law and the figures
    """


@cli.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@GROUPS
@JSON
@click.option("--parameters", metavar="MODEL", help="Print every parameter array of one model, e.g. XL/2, instead.")
@click.option("--calibrate", is_flag=True, help="First measure: train each model for a few steps on its resources.")
@click.option("--address", help="With --calibrate: the Ray cluster to measure on; without it this machine.")
@click.option(
    "--compile",
    "compiling",
    is_flag=True,
    help="Compile each model's update for its TPU slice: memory, traffic, communication, time. Needs no TPU.",
)
def plan(
    spec: str, groups: tuple[str, ...], as_json: bool, parameters: str | None, calibrate: bool, address: str | None,
    compiling: bool,
) -> None:  # fmt: skip
    """Show what a spec would run: parameters, compute, time and cost.

    \b
    dit-grid plan experiments/grid.yaml
    dit-grid plan experiments/grid.yaml --group long --json
    dit-grid plan experiments/grid.yaml --parameters XL/2
    dit-grid plan experiments/digits.yaml --calibrate
    dit-grid plan experiments/grid.yaml --group 512 --compile

    Hours come from measured speeds where a store or an earlier --calibrate has them, else with --compile from each
    program's roofline and plan.efficiency in the spec, else from plan.mfu.

    What a launch would refuse is refused here; files on this disk that are not there yet are named below the table.
    With --compile a run that does not fit its slice is a mistake in the spec, and exits with status 2.
    """
    from dit_grid.experiments.running.needed_files import spec_mistakes
    from dit_grid.experiments.spec import SpecError
    from dit_grid.orchestrator.advice.expectations import expectations
    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.planning.calibrate import measured_speeds
    from dit_grid.orchestrator.planning.plan import plan as planned
    from dit_grid.orchestrator.screen.tables import print_plan

    loaded = asked_spec(spec, groups)
    if parameters:
        click.echo(_parameter_table(loaded, parameters))
        return
    if mistakes := spec_mistakes(loaded.runs, spec, remote=False):
        raise SpecError(mistakes)
    if calibrate:
        _calibrate(loaded, address)
    if not compiling:
        print_plan(loaded, planned(loaded, measured_speeds(loaded)), as_json, expectations(loaded))
        _say_folders(loaded)
        _say_missing(loaded, spec)
        return
    from dit_grid.orchestrator.screen.compiled import compile_spec, end_with, print_compiled, rooflines

    found, unfit = compile_spec(loaded)
    rows = planned(loaded, measured_speeds(loaded), rooflines(found))
    print_plan(loaded, rows, as_json, expectations(loaded), found)
    if not as_json:
        print_compiled(loaded, found)
    _say_folders(loaded)
    _say_missing(loaded, spec)
    end_with(unfit, WRONG_REQUEST)


@cli.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@GROUPS
@click.option("--address", help="A running Ray cluster, e.g. ray://head:10001 or auto; without it Ray starts here.")
@click.option("--store", "store_path", help="Use this store instead of the spec's.")
@click.option("--until", metavar="TARGET", help="Stop once this is known: 'exponent ±0.05', 'forecast:XL/2 ±10%'.")
@click.option(
    "--until-metric", metavar="NAME", help="Metric of the target (default: fid, fd_conv, fd or heldout_loss)."
)
@click.option("--when-met", type=click.Choice(["finish", "stop"]), default="finish", help="What runs do then.")
def launch(
    spec: str, groups: tuple[str, ...], address: str | None, store_path: str | None, until: str | None,
    until_metric: str | None, when_met: str,
) -> None:  # fmt: skip
    """Run a spec to its end: resumes what is unfinished, skips what is done, ends with the scaling law.

    \b
    dit-grid launch experiments/digits.yaml
    dit-grid launch experiments/grid.yaml --address auto
    dit-grid launch experiments/digits.yaml --until "exponent ±0.3"

    With --until the law is refitted as results arrive, the runs that narrow it most for their cost come first, and none
    is started once the target is met. Launched again without it, the rest is run.

    Ctrl-C writes checkpoints and stops; the same command goes on from there.
    """
    from dit_grid.experiments.running.needed_files import check_runs
    from dit_grid.experiments.running.owed_evaluations import jobs_of, trainings_of
    from dit_grid.orchestrator.advice.until import asked_until
    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.driving.drivers import launch_here, launch_on_cluster
    from dit_grid.orchestrator.planning.work import unfinished
    from dit_grid.orchestrator.screen.live_grid import display
    from dit_grid.orchestrator.screen.notices import plain_warnings

    loaded = asked_spec(spec, groups)
    if store_path:
        loaded = loaded.model_copy(update={"store": store_path})
    loaded = asked_until(loaded, until, until_metric, when_met)
    todo = unfinished(loaded)
    if not todo:
        click.echo(f"All {len(loaded.runs)} runs of {loaded.name} are done.")
        if len(loaded.runs) > MANY_RUNS:
            click.echo(f"`dit-grid analyze {spec}` fits the law, `dit-grid results {spec}` has the table.")
        else:
            _print_results(loaded.store, figures=False)
        return
    runs, measuring = trainings_of(todo), len(jobs_of(todo))
    check_runs(runs, spec, here=address is None)
    also = f", {measuring} evaluations as jobs of their own" if measuring else ""
    click.echo(f"{loaded.name}: {len(runs)} of {len(loaded.runs)} runs to do{also}, in {loaded.store}")
    with plain_warnings():
        finish = launch_here(loaded, display) if address is None else launch_on_cluster(loaded, address)
    _print_results(loaded.store, figures=True)
    sys.exit(_exit_status(finish))


@cli.command()
@WHERE
@JSON
@click.option("--watch", is_flag=True, help="Look again every two seconds until interrupted.")
def status(where: str | None, as_json: bool, watch: bool) -> None:
    """Show how every run stands: state, step, speed, loss, metrics, time to go.

    \b
    dit-grid status
    dit-grid status experiments/digits.yaml --watch
    dit-grid status results/digits --json
    """
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.screen.notices import plain_warnings
    from dit_grid.orchestrator.screen.status import driver_line, read_status, without_pandas
    from dit_grid.orchestrator.screen.tables import print_status

    without_pandas()
    store = Store.open(_store(where))
    while True:
        if watch and not as_json:
            click.clear()
        with plain_warnings():
            rows = read_status(store)
        print_status(rows, as_json)
        if not as_json:
            click.echo(driver_line(store))
        if not watch:
            return
        time.sleep(2.0)


@cli.command()
@click.argument("run")
@WHERE
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--rank", type=click.IntRange(0), default=0, help="Of a run on several hosts, which process's log.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt's log instead of the newest's.")
def logs(run: str, where: str | None, follow: bool, rank: int, attempt: int | None) -> None:
    """Print a run's log, or the traceback that ended it.

    RUN is a run id, the beginning of one, or a model such as XL/2.

    \b
    dit-grid logs XL/2
    dit-grid logs xl-2-3f9c results/digits -f
    dit-grid logs XL/2 --rank 3 --attempt 1
    """
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.screen.logs import follow_log, print_log

    store = Store.open(_store(where))
    (follow_log if follow else print_log)(store, run, attempt, rank)


@cli.command()
@WHERE
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write to this file (needed for parquet).")
def results(where: str | None, form: str, out: str | None) -> None:
    """Print or export the results table: one row a run, with its latest loss and metrics.

    Settings that the runs were swept over are columns, named as in the spec. Metrics are those of the step
    `evaluated_at`: empty where a metric was not finite or not measured then, and a line below says which.

    \b
    dit-grid results
    dit-grid results results/digits --format parquet -o digits.parquet
    """
    from dit_grid.analysis import load, remarks, results_table
    from dit_grid.orchestrator.screen.tables import write_frame

    found = load(_store(where))
    write_frame(results_table(found), form, out)
    for line in remarks(found):
        click.echo(line, err=form != "table" or out is not None)


@cli.command()
@WHERE
@click.option("-o", "--out", type=click.Path(file_okay=False), help="Folder for the figures (default: in the store).")
@click.option("--paper", is_flag=True, help="Work on the numbers that the paper prints, with nothing run.")
def analyze(where: str | None, out: str | None, paper: bool) -> None:
    """Fit the law, print it with its interval, and write the figures.

    \b
    dit-grid analyze
    dit-grid analyze results/digits -o figures
    dit-grid analyze --paper -o paper
    """
    if paper:
        from dit_grid.analysis.figures.paper_folder import analyze_paper, paper_text

        folder = out or "results/paper"
        analyze_paper(folder)
        click.echo(f"{paper_text()}\n\nFigures and tables: {folder}")
        return
    _print_results(_store(where), figures=True, out=out, table=False)


@cli.command()
@click.option("--address", help="Also look at the Ray cluster at this address.")
@JSON
def doctor(address: str | None, as_json: bool) -> None:
    """Say what this machine and cluster can do, what is missing, and the command that fixes it.

    \b
    dit-grid doctor
    dit-grid doctor --address auto
    """
    from dit_grid.orchestrator.backends.doctor import examine
    from dit_grid.orchestrator.screen.tables import print_findings

    findings = examine(address)
    print_findings(findings, as_json)
    sys.exit(SOME_FAILED if any(finding.level == "problem" for finding in findings) else DONE)


cli.add_command(store_group)
for commands in (
    CLUSTER_COMMANDS,
    COMPARE_COMMANDS,
    CONTROL_COMMANDS,
    COORDINATES_COMMANDS,
    ENCODE_COMMANDS,
    EVALUATE_COMMANDS,
    FORECAST_COMMANDS,
    IMPORT_COMMANDS,
    REPORT_COMMANDS,
    SAMPLE_COMMANDS,
    SENTINEL_COMMANDS,
    SIMULATE_COMMANDS,
    TRAINER_COMMANDS,
):
    for command in commands:
        cli.add_command(command)


def main() -> None:
    """Run the command line; a mistake of the user's is one line (or one a mistake) and exit status 2."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the driver fits twelve points; threads only cost start-up
    try:
        cli(standalone_mode=False)  # which would turn Ctrl-C into "Aborted!" and status 1
        sys.exit(DONE)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except ClusterLostError as error:
        click.echo(str(error), err=True)
        sys.stdout.flush()
        os._exit(SOME_FAILED)  # seen: Ray's threads crash at Python's usual end once their raylet is dead
    except ValueError as error:
        if not _is_a_users_mistake(error):
            raise
        click.echo(str(error), err=True)
        sys.exit(WRONG_REQUEST)
    except OSError as error:  # the store has words of its own; this is a figure, a report, a table
        if error.errno not in DISK_SAYS_NO:
            raise
        click.echo(f"cannot write {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(WRONG_REQUEST)


def _is_a_users_mistake(error: ValueError) -> bool:
    """Every ValueError of a class of this project is one: its message is written for the user."""
    return type(error).__module__.startswith("dit_grid.")


def _store(where: str | None) -> str:
    from dit_grid.orchestrator.commands.where import store_of

    return store_of(where)


def _say_folders(spec: "ExperimentSpec") -> None:
    """Say of every folder of images that is trained on which classes it has, and what in it is left out."""
    from dit_grid.experiments.data.dataset import DataError
    from dit_grid.experiments.data.registry import folder_notes

    for path in sorted({run.data.path for run in spec.networks if run.data.path}):
        with contextlib.suppress(DataError, OSError):  # what is wrong with data is said where it is checked
            for line in folder_notes(path):
                click.echo(line, err=True)


def _say_missing(spec: "ExperimentSpec", file: str) -> None:
    """Name the files on this disk that a launch would need and that are not there yet."""
    from dit_grid.experiments.running.needed_files import missing_files

    for problem in missing_files(spec.runs, file, remote=False):
        click.echo(f"a launch needs: {problem}", err=True)


def _calibrate(spec: "ExperimentSpec", address: str | None) -> None:
    """Measure what was not measured yet; what it says goes to standard error, so that --json stays readable."""
    from dit_grid.orchestrator.driving.drivers import launch_here, launch_on_cluster
    from dit_grid.orchestrator.planning.calibrate import calibration
    from dit_grid.orchestrator.planning.work import unfinished
    from dit_grid.orchestrator.screen.live_grid import display

    short = calibration(spec)
    todo = unfinished(short)
    if todo:
        click.echo(f"measuring {len(todo)} of {len(short.runs)} models, kept in {short.store}", err=True)
        with contextlib.redirect_stdout(sys.stderr):
            launch_here(short, display) if address is None else launch_on_cluster(short, address)


def _parameter_table(spec: "ExperimentSpec", model: str) -> str:
    from clu.parameter_overview import get_parameter_overview
    from flax import nnx

    from dit_grid.model import DiT
    from dit_grid.orchestrator.control.errors import RequestError

    networks = {run.model.name: run.network for run in spec.networks}
    if model not in networks:
        there = ", ".join(networks) or "trainers of its own alone, whose parameters only they know"
        raise RequestError(f"{spec.file} has no model {model!r}; it has {there}")
    shapes = nnx.eval_shape(lambda: nnx.state(DiT(networks[model], nnx.Rngs(0)), nnx.Param))
    return get_parameter_overview(nnx.to_pure_dict(shapes), include_stats=False)


def _print_results(where: str, figures: bool, out: str | None = None, table: bool = True) -> None:
    """Print the results table, the law of the main metric, and where the figures are."""
    from dit_grid.analysis import law, load, remarks, results_table
    from dit_grid.analysis.laws.objectives import in_words
    from dit_grid.analysis.results.metric_names import main_metric
    from dit_grid.orchestrator.commands.where import figures_folder
    from dit_grid.orchestrator.screen.tables import print_text, write_frame

    found = load(where)
    metric = main_metric(set(found.evals["metric"]))
    fitted = law(found, metric) if metric else None
    if table:
        write_frame(results_table(found), "table", None)
        for line in remarks(found):
            if fitted is None or line not in fitted.choices:  # which the law says itself
                print_text(line)
    if fitted is None:
        click.echo("Nothing was measured yet, so there is no law to fit.")
        return
    print_text(f"\n{in_words(found, fitted)}")
    folder = out or figures_folder(where)
    if figures:
        from dit_grid.analysis import write_figures  # matplotlib; a finished launch answers sooner without

        write_figures(where, folder, headline_only=table)
    if os.path.isdir(folder):
        more = "; `dit-grid analyze` draws all of them" if figures and table else ""
        click.echo(f"\nFigures: {folder}{more}")


def _exit_status(finish: "Finish") -> int:
    from dit_grid.orchestrator.core import Phase, why

    if finish.state is None:
        return _others_exit_status(finish.other.detail if finish.other else {})
    state = finish.state
    phases = {run.phase for run in state.in_order()}
    for run in state.in_order():
        if run.phase is Phase.FAILED:
            click.echo(f"{run.id} {run.phase}: {run.reason}; see `dit-grid logs {run.id}`", err=True)
        elif run.phase in (Phase.WAITING, Phase.CANCELLED, Phase.PAUSED) and not (state.stopping or state.enough):
            click.echo(f"{run.id} {run.phase}: {why(state, run.id) or run.reason}", err=True)
    if state.stopping:
        click.echo("Stopped. The same command goes on from the last checkpoints.", err=True)
        return INTERRUPTED
    if state.enough:
        click.echo(state.enough + "; " + _left_waiting(sum(run.phase is Phase.WAITING for run in state.in_order())))
        phases.discard(Phase.WAITING)
    return DONE if phases <= {Phase.DONE} else SOME_FAILED


def _left_waiting(runs: int) -> str:
    return f"{runs} runs were not started or not finished. Launched without --until they are run."


def _others_exit_status(said: "dict[str, Any]") -> int:
    """Return the exit status for what another driver left behind."""
    if said.get("outcome") != "ended":
        message = said.get("message", "launch again to go on")
        click.echo(f"the driver {said.get('outcome', 'ended')}: {message}", err=True)
        return SOME_FAILED
    if said.get("enough"):
        click.echo(said["enough"])
    fine = {"done", "waiting"} if said.get("enough") else {"done"}
    for run_id, phase in said["phases"].items():
        if phase not in fine:
            click.echo(f"{run_id} {phase}; see `dit-grid logs {run_id}`", err=True)
    return DONE if set(said["phases"].values()) <= fine else SOME_FAILED


if __name__ == "__main__":
    main()
