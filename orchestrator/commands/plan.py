"""`dit-grid plan`: what a spec would run and cost, and with --calibrate or --compile how fast and whether it fits."""

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.commands.options import GROUPS, JSON, SPEC, WRONG_REQUEST
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.orchestrator.compiling.roofline import Roofline
    from dit_grid.orchestrator.compiling.verdicts import Compiled


SLOWDOWN = 1.2
"""How much slower than the best on its own slice a cheaper way may be, where nothing is said."""


@click.command()
@SPEC
@GROUPS
@JSON
@click.option("--parameters", metavar="MODEL", help="Print every parameter array of one model, e.g. XL/2, instead.")
@click.option("--terms", is_flag=True, help="Say of each part of the time what it comes to and where it is from.")
@click.option("--calibrate", is_flag=True, help="First measure: train each model for a few steps on its resources.")
@click.option("--address", help="With --calibrate: the Ray cluster to measure on; without it this machine.")
@click.option(
    "--compile",
    "compiling",
    is_flag=True,
    help="Compile each model's update for its TPU slice: memory, traffic, communication, time. Needs no TPU.",
)
@click.option("--choose", is_flag=True, help="With --compile: find each model's cheapest slice and layout instead.")
@click.option("--slowdown", type=click.FloatRange(1, 100), help="With --choose: how much slower it may be (1.2).")
@click.option("-o", "--output", metavar="FILE", help="With --choose: write the spec with what is chosen to a file.")
def plan(
    spec: str, groups: tuple[str, ...], as_json: bool, parameters: str | None, terms: bool, calibrate: bool,
    address: str | None, compiling: bool, choose: bool, slowdown: float | None, output: str | None,
) -> None:  # fmt: skip
    """Show what a spec would run: parameters, compute, time and cost.

    \b
    dit-grid plan experiments/grid.yaml
    dit-grid plan experiments/grid.yaml --group long --json
    dit-grid plan experiments/grid.yaml --terms
    dit-grid plan experiments/grid.yaml --parameters XL/2
    dit-grid plan experiments/digits.yaml --calibrate
    dit-grid plan experiments/grid.yaml --group 512 --compile
    dit-grid plan experiments/grid.yaml --compile --choose -o cheaper.yaml

    Hours come from measured speeds where a store or an earlier --calibrate has them, else from each program's roofline
    and plan.efficiency in the spec, else from plan.mfu. Rooflines of the shipped grid come with the package, those of
    other runs with --compile. Billed is what plan.slices cost until all is done, held what runs have them for; --terms
    and --json say what the time is made of. In --json every run has its price, with date and source, and the bill of
    the whole plan.

    What a launch would refuse is refused here; files on this disk that are not there yet are named below the table.
    With --compile a run that does not fit its slice is a mistake in the spec, and exits with status 2.
    """
    from dit_grid.experiments.running.needed_files import spec_mistakes
    from dit_grid.experiments.spec import SpecError
    from dit_grid.orchestrator.advice.expectations import expectations, has_expectations
    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.planning.calibrate import measured_speeds
    from dit_grid.orchestrator.planning.plan import plan as planned
    from dit_grid.orchestrator.planning.wall_time import cores_here, steps_done, wall_time
    from dit_grid.orchestrator.screen.plan_table import print_plan
    from dit_grid.orchestrator.screen.status import without_pandas
    from dit_grid.orchestrator.simulation.bill import bill

    _check_options(compiling, choose, slowdown, output)
    loaded = asked_spec(spec, groups)
    if not (calibrate or compiling or parameters or has_expectations(loaded)):
        without_pandas()
    if parameters:
        from dit_grid.orchestrator.commands.parameters import print_parameters

        print_parameters(loaded, parameters, as_json)
        return
    if mistakes := spec_mistakes(loaded.runs, spec, remote=False):
        raise SpecError(mistakes)
    if choose:
        _choose(loaded, groups, slowdown or SLOWDOWN, output, as_json)
        return
    if calibrate:
        _calibrate(loaded, address)
    found, unfit, roofs = _compiled(loaded) if compiling else (None, [], {})
    speeds, done = measured_speeds(loaded), steps_done(loaded)
    rows = planned(loaded, speeds, roofs)
    wall = None if compiling else wall_time(loaded, rows, done, cores_here())
    billed = bill(loaded, speeds, roofs)
    print_plan(loaded, rows, as_json, expectations(loaded), found, done, wall, billed, terms)
    if found is not None and not as_json:
        from dit_grid.orchestrator.screen.compiled import print_compiled

        print_compiled(loaded, found)
    _say_folders(loaded)
    _say_missing(loaded, spec)
    if unfit:
        from dit_grid.orchestrator.screen.compiled import end_with

        end_with(unfit, WRONG_REQUEST)


def _compiled(spec: "ExperimentSpec") -> "tuple[dict[str, Compiled], list[str], dict[str, Roofline]]":
    """The compiler's verdicts, the runs that cannot run as they are, and how long an update takes, by run id."""
    from dit_grid.orchestrator.screen.compiled import compile_runs, rooflines

    found, unfit = compile_runs(spec.networks)
    return found, unfit, rooflines(found)


def _check_options(compiling: bool, choose: bool, slowdown: float | None, output: str | None) -> None:
    """Raise RequestError for an option without the one that it belongs to."""
    from dit_grid.orchestrator.control.errors import RequestError

    if choose and not compiling:
        raise RequestError("--choose asks the TPU compiler: give --compile with it")
    for name, value in (("--slowdown", slowdown), ("--output", output)):
        if value is not None and not choose:
            raise RequestError(f"{name} {value} without --choose: it says how, or where to, one chooses; add --choose")


def _choose(
    spec: "ExperimentSpec", groups: tuple[str, ...], slowdown: float, output: str | None, as_json: bool
) -> None:
    """Print, and with `output` write, each model's cheapest way."""
    from dit_grid.orchestrator.planning.plan import usd_per_hour
    from dit_grid.orchestrator.screen.chosen import choose, nothing_fits, print_choices, rates, write_chosen
    from dit_grid.orchestrator.screen.compiled import end_with

    hourly, unit = rates(spec, lambda resources: usd_per_hour(resources, spec.plan))
    choices = choose(spec, slowdown, hourly)
    print_choices(choices, unit, as_json)
    if output:
        write_chosen(spec, choices, output, groups)
        click.echo(f"written to {output}", err=True)
    end_with(nothing_fits(choices), WRONG_REQUEST)


def _say_folders(spec: "ExperimentSpec") -> None:
    """Say of every folder of images that is trained on which classes it has, and what in it is left out."""
    from dit_grid.experiments.data.dataset import DataError
    from dit_grid.experiments.data.registry import folder_notes

    for path in sorted({run.data.path for run in spec.networks if run.data.path}):
        with contextlib.suppress(DataError, OSError):  # what is wrong with data is said where it is checked
            for line in folder_notes(path):
                print_text(line, err=True)


def _say_missing(spec: "ExperimentSpec", file: str) -> None:
    """Name the files on this disk that a launch would need and that are not there yet."""
    from dit_grid.experiments.running.needed_files import missing_files

    for problem in missing_files(spec.runs, file, remote=False):
        print_text(f"a launch needs: {problem}", err=True)


def _calibrate(spec: "ExperimentSpec", address: str | None) -> None:
    """Measure what was not measured yet; what it says goes to standard error, so that --json stays readable."""
    from dit_grid.orchestrator.driving.who_drives import launch_here, launch_on_cluster
    from dit_grid.orchestrator.planning.calibrate import calibration
    from dit_grid.orchestrator.planning.work import unfinished
    from dit_grid.orchestrator.screen.live_grid import display

    short = calibration(spec)
    todo = unfinished(short)
    if todo:
        print_text(f"measuring {len(todo)} of {counted(len(short.runs), 'model')}, kept in {short.store}", err=True)
        with contextlib.redirect_stdout(sys.stderr):
            launch_here(short, display) if address is None else launch_on_cluster(short, address)


COMMANDS = (plan,)
