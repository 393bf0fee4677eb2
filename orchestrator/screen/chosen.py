"""The cheapest ways that the compiler found, beside what the spec has, and the overrides that make them so."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from dit_grid.experiments.spec import ExperimentSpec, RunSpec, load_spec
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.experiments.spec.slices import chips_and_cores
from dit_grid.orchestrator.compiling.choosing import Choice, Chooser, Way, overrides_of
from dit_grid.orchestrator.compiling.compiler import check_compiler
from dit_grid.orchestrator.compiling.generations import GIB
from dit_grid.orchestrator.compiling.layouts import layout_of
from dit_grid.orchestrator.compiling.overridden import as_yaml, with_overrides
from dit_grid.orchestrator.compiling.verdicts import on_slices
from dit_grid.orchestrator.screen.notices import progress
from dit_grid.orchestrator.screen.rows import print_rows
from dit_grid.orchestrator.screen.tables import print_json

COLUMNS = {
    "model": "model", "now": "now", "GiB": "now_gib", "ms": "now_ms", "{unit}": "now_cost",
    "chosen": "chosen", "GiB then": "chosen_gib", "ms then": "chosen_ms", "{unit} then": "chosen_cost",
}  # fmt: skip
SPARE = ("GiB", "ms", "GiB then", "ms then")


def rates(
    spec: ExperimentSpec, hourly: Callable[[ResourceSpec], float | None]
) -> tuple[Callable[[ResourceSpec], float], str]:
    """Return what an hour of a slice costs and in which unit, one for all that is compared.

    USD where every slice of the spec has a price, one without being dearer than any; else core-hours.
    """
    if any(hourly(run.execution.resources) is None for run in on_slices(spec.networks)):
        return _cores, "core-h"
    return lambda resources: hourly(resources) or math.inf, "USD"


def choose(spec: ExperimentSpec, slowdown: float, hourly: Callable[[ResourceSpec], float]) -> list[Choice]:
    """Return what is chosen for each model of the spec that trains on a slice, saying how far it is.

    Raises CompilerError.
    """
    models: dict[str, list[RunSpec]] = {}
    for run in on_slices(spec.networks):
        models.setdefault(run.model.name, []).append(run)
    versions = check_compiler()
    with progress("programs tried", 6 * len(models)) as counter:
        chooser = Chooser(versions, hourly, slowdown, counter.one_more)
        return [chooser.choose(runs) for runs in models.values()]


def print_choices(choices: Sequence[Choice], unit: str, as_json: bool) -> None:
    """Print what is chosen beside what the spec has, and the overrides that make it so."""
    rows = [{"model": choice.model, **_row("now", choice.present), **_row("chosen", choice.chosen)}
            for choice in choices]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("no run names a TPU slice; there is nothing to choose")
        return
    columns = {heading.format(unit=unit): key for heading, key in COLUMNS.items()}
    caption = f"GiB a core, ms an update, {unit} of 1,000 updates, by the TPU compiler; nothing ran on a TPU"
    print_rows(columns, rows, caption, SPARE)
    click.echo(as_yaml(overrides_of(choices)), nl=False)


def nothing_fits(choices: Sequence[Choice]) -> list[str]:
    """Return a line for each model for which nothing that was tried fits."""
    return [
        f"{choice.model}: nothing that was tried fits {choice.asked[0].execution.resources.slice}; name a larger slice"
        for choice in choices if not choice.chosen
    ]  # fmt: skip


def write_chosen(spec: ExperimentSpec, choices: Sequence[Choice], output: str, groups: Sequence[str]) -> None:
    """Write the spec with the overrides; a file that would not load is not left. Raises SpecError, OSError."""
    text = with_overrides(Path(spec.file).read_text(encoding="utf-8"), overrides_of(choices))
    unfinished = Path(f"{output}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        load_spec(unfinished, groups)
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)


def _row(name: str, way: Way | None) -> dict[str, object]:
    if way is None:
        return {name: "does not fit" if name == "now" else "nothing", **dict.fromkeys(
            (f"{name}_gib", f"{name}_ms", f"{name}_cost"))}  # fmt: skip
    many = len(way.runs)
    return {name: f"{way.slice}, {layout_of(way.runs[0])}", f"{name}_gib": way.needed_bytes / GIB,
            f"{name}_ms": 1e3 * way.seconds / many, f"{name}_cost": way.cost / many}  # fmt: skip


def _cores(resources: ResourceSpec) -> float:
    """Where a price is missing, what is compared is core-hours."""
    return float(chips_and_cores(str(resources.slice))[1])
