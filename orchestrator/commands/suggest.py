"""`dit-grid suggest`: which runs, or rows of a table, to measure next for a budget.

The ranking is `dit_grid.orchestrator.advice` for runs and `dit_grid.analysis.tables` for rows; here are only the
request and what is printed.
"""

from typing import TYPE_CHECKING, Any

import click

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.commands.forecast import METRIC, SPEC, main_metric_of, opened, refuse
from dit_grid.orchestrator.commands.options import JSON, WHERE
from dit_grid.orchestrator.commands.suggest_rows import ROWS_ONLY, suggest_rows
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.orchestrator.advice.suggest import Suggestion


@click.command()
@WHERE
@click.option("--budget", help="What may be spent: 5000usd, 200h (of runs one after another) or 1e21flops.")
@click.option(
    "--target", help="What to know better: exponent (default), …, forecast:XL/2, or region: all models not measured."
)
@click.option("--models", metavar="NAMES", help="Also consider these models outside the grid, e.g. XL/1,96x6x6/2.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False), help="Write the chosen runs as a spec that `launch` takes."
)
@click.option("--predict", "rows_file", metavar="ROWS", help="A table's rows to be known, which are not for sale.")
@click.option("--y", help="A table's column to predict; rows without a value are for sale.")
@click.option("--x", help="A table's columns to predict from.")
@click.option("--group", help="A table's column that names families; empty for none.")
@click.option("--cost", help="A table's column of what a row costs, in the budget's unit.")
@SPEC
@METRIC
@JSON
def suggest(
    where: str | None,
    budget: str | None,
    target: str | None,
    models: str | None,
    out: str | None,
    rows_file: str | None,
    y: str | None,
    x: str | None,
    group: str | None,
    cost: str | None,
    spec_file: str | None,
    metric: str | None,
    as_json: bool,
) -> None:
    """Rank the next runs by how much they are expected to narrow what is known, per unit of the budget.

    \b
    dit-grid suggest results/digits
    dit-grid suggest experiments/digits.yaml --budget 1h
    dit-grid suggest experiments/grid.yaml --budget 5000usd --target "forecast:XL/2 ±10%" -o next.yaml
    dit-grid suggest experiments/digits.yaml --budget 1h --target region
    dit-grid suggest runs.csv --predict dear.csv --y loss --x params,tokens --cost hours --budget 200h

    Candidates are cells of the grid that are not done, another seed of each measured model, named models, and for FID
    four times the samples. Where these teach nothing, models beyond the grid are candidates: the next size of its
    ladder, and its sizes at other patch sizes. Without --budget the best one is chosen. Expected is the half of the
    95 % interval, from the law's Jacobian and the noise; it does not depend on what the runs will find.

    Of a table the rows without a value of --y are for sale, and those are chosen whose values lessen the mean squared
    error over the rows of --predict most for their cost. Ask again after each result.
    """
    from dit_grid.analysis.forecasting.target import parse_target
    from dit_grid.analysis.tables.table import is_table
    from dit_grid.orchestrator.advice.budgets import parse_budget
    from dit_grid.orchestrator.advice.candidates import recorded_spec
    from dit_grid.orchestrator.advice.suggest import suggest as suggested

    rows_only = dict(zip(ROWS_ONLY, (rows_file, y, x, group, cost), strict=True))
    spending = None if budget is None else parse_budget(budget)
    if is_table(where):
        refuse({"--target": target, "--models": models, "--spec": spec_file, "--metric": metric},
               f"goes with a store or spec; {where} is a table")  # fmt: skip
        suggest_rows(str(where), rows_only, spending, out, as_json)
        return
    refuse(rows_only, "goes with a table, as in `dit-grid suggest runs.csv --predict dear.csv --y loss`")
    wanted = parse_target(target or "exponent")
    results, spec = opened(where, spec_file, paper=False)
    spec = spec or recorded_spec(results)
    if not spec.runs:
        raise RequestError(f"{results.where}: no run that dit-grid made, so none can be suggested; name a --spec FILE")
    named = [name.strip() for name in (models or "").split(",") if name.strip()]
    found = suggested(spec, results, wanted, spending, metric or main_metric_of(results, spec), named)
    if out:
        _write(out, spec, found, budget or "the best for its price")
    _print_suggestion(found, results.where, as_json)
    if out and not as_json:
        print_text(f"Written: {out}; run them with `dit-grid launch {out}`")


COMMANDS = (suggest,)


def _write(out: str, spec: "ExperimentSpec", found: "Suggestion", asked: str) -> None:
    """Write the chosen runs as a spec. Raises RequestError where none is chosen."""
    from dit_grid.orchestrator.advice.chosen_spec import spec_yaml

    if not found.runs:
        raise RequestError(f"-o {out}: nothing to write; {' '.join(found.notes) or 'no run fits the budget'}")
    chosen = f"{asked} for {found.target}, chosen by dit-grid suggest: {counted(len(found.runs), 'run')}"
    with open(out, "w", encoding="utf-8") as file:
        file.write(spec_yaml(spec, found.runs, f"{chosen}.\n\n  dit-grid launch {out}"))


KEYS = ("bought", "kind", "model", "run_seed", "run_id", "hours", "usd", "flops", "width_after", "narrows", "per_cost")


def _print_suggestion(found: "Suggestion", where: str, as_json: bool) -> None:
    from dit_grid.orchestrator.screen.rows import time_unit
    from dit_grid.orchestrator.screen.tables import print_json, print_rows

    target, unit = found.target, found.budget.unit
    table = found.candidates.reindex(columns=list(KEYS))
    table = table.astype(object).where(table.notna() & ~table.isin([float("inf")]), None)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if as_json:
        print_json({"store": where, "target": str(target), "width": found.now, "width_expected": found.then,
                    "noise": found.noise, "budget": found.budget.amount, "unit": unit, "notes": found.notes,
                    "candidates": rows})  # fmt: skip
        return
    bought = int(table["bought"].notna().sum())
    if found.now is not None and found.then is not None:
        then = f"; with the {bought} chosen {target.tolerance(found.then)} is expected" if bought else ""
        print_text(f"{target.name}: now {target.tolerance(found.now)} (95 %){then}")
        print_text(f"  Noise: {found.noise}.")
    times, scale = time_unit([row["hours"] for row in rows])
    columns = {
        "buy": "bought", "what": "kind", "model": "model", "seed": "seed", "expected": "after", "narrows by": "narrows",
        f"per {unit.removesuffix('s')}": "per_cost", times: "time", "usd": "usd", "TMACs": "tmacs", "run": "run_id",
    }  # fmt: skip
    shown = [_shown(row, found, scale) for row in rows[: max(SHOWN, bought)]]
    print_rows({h: key for h, key in columns.items() if any(row[key] is not None for row in shown)}, shown,
               spare=SPARE)  # fmt: skip
    if len(rows) > len(shown):
        click.echo(f"  and {len(rows) - len(shown)} more; --json has all")
    for note in found.notes:
        print_text(f"  {note}")


SHOWN = 24
"""Candidates that a person sees; --json has all."""

SPARE = ("run", "narrows by", "TMACs", "usd", "seed", "per hour", "per usd", "per flop")
"""What a narrow terminal does not show, the most dispensable first."""


def _shown(row: dict[str, Any], found: "Suggestion", scale: float) -> dict[str, Any]:
    from dit_grid.model.accounting import FLOPS_PER_MAC

    return row | {
        "time": None if row["hours"] is None else row["hours"] * scale,
        "seed": None if row["run_seed"] is None else int(row["run_seed"]),
        "after": None if row["width_after"] is None else found.target.tolerance(row["width_after"]),
        "bought": None if row["bought"] is None else int(row["bought"]),
        "tmacs": None if row["flops"] is None else row["flops"] / FLOPS_PER_MAC / 1e12,  # as a plan has it
    }
