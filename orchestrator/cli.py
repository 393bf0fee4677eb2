"""The command line: thin commands over the library, and the only place that sees all four rooms.

Every import of weight stands inside a command, so that `dit-grid --help` answers at once.
"""

import os
import sys
from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.store_commands import store_group

if TYPE_CHECKING:
    from dit_grid.experiments.spec import ExperimentSpec, RunSpec
    from dit_grid.orchestrator.core import State

DONE, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; 130 is the shell's for a program ended by Ctrl-C."""

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
def plan(spec: str, groups: tuple[str, ...], as_json: bool, parameters: str | None) -> None:
    """Show what a spec would run: parameters, compute, time and cost.

    \b
    dit-grid plan experiments/grid.yaml
    dit-grid plan experiments/grid.yaml --group long --json
    dit-grid plan experiments/grid.yaml --parameters XL/2
    """
    from dit_grid.experiments.spec import load_spec
    from dit_grid.orchestrator.plan import plan as planned
    from dit_grid.orchestrator.tables import print_plan

    loaded = load_spec(spec, groups)
    if parameters:
        click.echo(_parameter_table(loaded, parameters))
        return
    print_plan(loaded, planned(loaded, _measured_speeds(loaded)), as_json)


@cli.command()
@click.argument("spec", type=click.Path(dir_okay=False))
@GROUPS
@click.option("--address", help="A running Ray cluster, e.g. ray://head:10001 or auto; without it Ray starts here.")
@click.option("--store", "store_path", help="Use this store instead of the spec's.")
def launch(spec: str, groups: tuple[str, ...], address: str | None, store_path: str | None) -> None:
    """Run a spec to its end: resumes what is unfinished, skips what is done, ends with the scaling law.

    \b
    dit-grid launch experiments/digits.yaml
    dit-grid launch experiments/grid.yaml --address auto

    Ctrl-C writes checkpoints and stops; the same command goes on from there.
    """
    from dit_grid.experiments.spec import load_spec
    from dit_grid.orchestrator.launch import unfinished

    loaded = load_spec(spec, groups)
    if store_path:
        loaded = loaded.model_copy(update={"store": store_path})
    todo = unfinished(loaded)
    if not todo:
        click.echo(f"All {len(loaded.runs)} runs of {loaded.name} are done.")
        _print_results(loaded.store, figures=False)
        return
    state = _drive(loaded, todo, address)
    _print_results(loaded.store, figures=True)
    sys.exit(_exit_status(state))


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
    from dit_grid.orchestrator.status import read_status, without_pandas
    from dit_grid.orchestrator.tables import print_status

    without_pandas()
    store = Store.open(_store(where))
    while True:
        if watch and not as_json:
            click.clear()
        print_status(read_status(store), as_json)
        if not watch:
            return
        _sleep(2.0)


@cli.command()
@click.argument("run")
@WHERE
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
def logs(run: str, where: str | None, follow: bool) -> None:
    """Print a run's log, or the traceback that ended it.

    RUN is a run id, the beginning of one, or a model such as XL/2.

    \b
    dit-grid logs XL/2
    dit-grid logs xl-2-3f9c results/digits -f
    """
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.logs import follow_log, print_log

    store = Store.open(_store(where))
    (follow_log if follow else print_log)(store, run)


@cli.command()
@WHERE
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write to this file (needed for parquet).")
def results(where: str | None, form: str, out: str | None) -> None:
    """Print or export the results table: one row a run, with its latest loss and metrics.

    \b
    dit-grid results
    dit-grid results results/digits --format parquet -o digits.parquet
    """
    from dit_grid.analysis import load, results_table
    from dit_grid.orchestrator.tables import write_frame

    write_frame(results_table(load(_store(where))), form, out)


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
        from dit_grid.analysis.paper import analyze_paper, paper_text

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
    from dit_grid.orchestrator.doctor import examine
    from dit_grid.orchestrator.tables import print_findings

    findings = examine(address)
    print_findings(findings, as_json)
    sys.exit(SOME_FAILED if any(finding.level == "problem" for finding in findings) else DONE)


cli.add_command(store_group)


def main() -> None:
    """Run the command line; a mistake of the user's is one line (or one a mistake) and exit status 2."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the driver fits twelve points; threads only cost start-up
    try:
        cli()
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except ValueError as error:
        if not _is_a_users_mistake(error):
            raise
        click.echo(str(error), err=True)
        sys.exit(WRONG_REQUEST)


def _is_a_users_mistake(error: ValueError) -> bool:
    from dit_grid.experiments.spec import SpecError
    from dit_grid.experiments.store import StoreError
    from dit_grid.orchestrator.errors import RequestError

    return isinstance(error, SpecError | StoreError | RequestError)


def _store(where: str | None) -> str:
    from dit_grid.orchestrator.where import store_of

    return store_of(where)


def _measured_speeds(spec: "ExperimentSpec") -> dict[str, float]:
    from dit_grid.experiments.store import NotAStoreError, Store
    from dit_grid.orchestrator.status import median_speeds

    try:
        return median_speeds(Store.open(spec.store))
    except NotAStoreError:
        return {}


def _parameter_table(spec: "ExperimentSpec", model: str) -> str:
    from clu.parameter_overview import get_parameter_overview
    from flax import nnx

    from dit_grid.model import DiT
    from dit_grid.orchestrator.errors import RequestError

    networks = {run.model.name: run.network for run in spec.runs}
    if model not in networks:
        raise RequestError(f"{spec.file} has no model {model!r}; it has {', '.join(networks)}")
    shapes = nnx.eval_shape(lambda: nnx.state(DiT(networks[model], nnx.Rngs(0)), nnx.Param))
    return get_parameter_overview(nnx.to_pure_dict(shapes), include_stats=False)


def _drive(spec: "ExperimentSpec", todo: "list[RunSpec]", address: str | None) -> "State":
    """Run what is left, showing progress; Ray and its workers end with it, however it ends."""
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.launch import check_placeable, drive, record_runs
    from dit_grid.orchestrator.progress import display
    from dit_grid.orchestrator.ray_backend import RayBackend

    click.echo(f"{spec.name}: {len(todo)} of {len(spec.runs)} runs to do, in {spec.store}")
    backend = RayBackend(os.path.abspath(spec.store) if "://" not in spec.store else spec.store, address)
    try:
        check_placeable(todo, backend.capacity())
        store = Store.create(spec.store)
        record_runs(spec, store)
        with display() as show:
            return drive(todo, store, backend, show)
    finally:
        backend.close()


def _print_results(where: str, figures: bool, out: str | None = None, table: bool = True) -> None:
    """Print the results table, the law of the main metric, and where the figures are."""
    from dit_grid.analysis import law, load, results_table
    from dit_grid.analysis.metrics import main_metric
    from dit_grid.orchestrator.tables import write_frame

    found = load(where)
    if table:
        write_frame(results_table(found), "table", None)
    metric = main_metric(set(found.evals["metric"]))
    if metric is None:
        click.echo("Nothing was measured yet, so there is no law to fit.")
        return
    click.echo(f"\n{law(found, metric)}")
    folder = out or f"{where}/figures"
    if figures:
        from dit_grid.analysis import write_figures  # matplotlib; a finished launch answers sooner without

        write_figures(where, folder)
    if os.path.isdir(folder):
        click.echo(f"\nFigures: {folder}")


def _exit_status(state: "State") -> int:
    from dit_grid.orchestrator.core import Phase

    phases = {run.phase for run in state.runs.values()}
    for run in state.runs.values():
        if run.phase in (Phase.FAILED, Phase.UNPLACEABLE):
            click.echo(f"{run.id} {run.phase}: {run.reason}; see `dit-grid logs {run.id}`", err=True)
    if state.stopping:
        click.echo("Stopped. The same command goes on from the last checkpoints.", err=True)
        return INTERRUPTED
    return DONE if phases <= {Phase.DONE} else SOME_FAILED


def _sleep(seconds: float) -> None:
    import time

    time.sleep(seconds)


if __name__ == "__main__":
    main()
