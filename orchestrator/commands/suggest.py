"""`dit-grid suggest`: which runs, or rows of a table, to measure next for a budget.

The ranking is `dit_grid.orchestrator.advice` for runs and `dit_grid.analysis.tables` for rows; here are only the
request and what is printed.
"""

from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.forecast import METRIC, SPEC, main_metric_of, opened, refuse
from dit_grid.orchestrator.commands.options import JSON, WHERE
from dit_grid.orchestrator.commands.suggest_rows import ROWS_ONLY, suggest_rows
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    from dit_grid.orchestrator.advice.suggest import Suggestion


@click.command()
@WHERE
@click.option(
    "--budget", required=True, help="What may be spent: 5000usd, 200h (of runs one after another) or 1e21flops."
)
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
    budget: str,
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
    dit-grid suggest experiments/digits.yaml --budget 1h
    dit-grid suggest experiments/grid.yaml --budget 5000usd --target "forecast:XL/2 ±10%" -o next.yaml
    dit-grid suggest experiments/digits.yaml --budget 1h --target region
    dit-grid suggest runs.csv --predict dear.csv --y loss --x params,tokens --cost hours --budget 200h

    Candidates are cells of the grid that are not done, another seed of each measured model, named models, and for FID
    four times the samples. Expected is the half of the 95 % interval, from the law's Jacobian and the noise; it does
    not depend on what the runs will find.

    Of a table the rows without a value of --y are for sale, and those are chosen whose values lessen the mean squared
    error over the rows of --predict most for their cost. Ask again after each result.
    """
    from dit_grid.analysis.forecasting.target import parse_target
    from dit_grid.analysis.tables.table import is_table
    from dit_grid.orchestrator.advice.suggest import parse_budget, spec_yaml, suggest as suggested

    rows_only = dict(zip(ROWS_ONLY, (rows_file, y, x, group, cost), strict=True))
    if is_table(where):
        refuse({"--target": target, "--models": models, "--spec": spec_file, "--metric": metric},
               f"goes with a store or spec; {where} is a table")  # fmt: skip
        suggest_rows(str(where), rows_only, parse_budget(budget), out, as_json)
        return
    refuse(rows_only, "goes with a table, as in `dit-grid suggest runs.csv --predict dear.csv --y loss`")
    wanted, spending = parse_target(target or "exponent"), parse_budget(budget)
    results, spec = opened(where, spec_file, paper=False)
    if spec is None:
        raise RequestError(
            f"{results.where} is a store; name the spec whose runs to choose from, with --spec FILE.yaml"
        )
    named = [name.strip() for name in (models or "").split(",") if name.strip()]
    found = suggested(spec, results, wanted, spending, metric or main_metric_of(results), named)
    if out and not found.runs:
        raise RequestError(f"-o {out}: nothing to write; {' '.join(found.notes) or 'no run fits the budget'}")
    if out:
        comment = (
            f"{budget} for {wanted}, chosen by dit-grid suggest: {len(found.runs)} runs.\n\n  dit-grid launch {out}"
        )
        with open(out, "w", encoding="utf-8") as file:
            file.write(spec_yaml(spec, found.runs, comment))
    _print_suggestion(found, as_json)
    if out and not as_json:
        click.echo(f"Written: {out}; run them with `dit-grid launch {out}`")


COMMANDS = (suggest,)


def _print_suggestion(found: "Suggestion", as_json: bool) -> None:
    from dit_grid.orchestrator.screen.tables import print_json, print_rows

    target = found.target
    keys = [
        "bought",
        "kind",
        "model",
        "run_seed",
        "run_id",
        "hours",
        "usd",
        "flops",
        "width_after",
        "narrows",
        "per_cost",
    ]
    table = found.candidates.reindex(columns=keys)
    table = table.astype(object).where(table.notna() & ~table.isin([float("inf")]), None)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if as_json:
        print_json({"target": str(target), "width": found.now, "width_expected": found.then, "noise": found.noise,
                    "budget": found.budget.amount, "unit": found.budget.unit, "notes": found.notes,
                    "candidates": rows})  # fmt: skip
        return
    if found.now is not None and found.then is not None:
        then = f"; with the {table['bought'].notna().sum()} chosen {target.tolerance(found.then)} is expected"
        click.echo(f"{target.name}: now {target.tolerance(found.now)} (95 %){then}")
        click.echo(f"  Noise: {found.noise}.")
    for row in rows:
        row["seed"] = None if row["run_seed"] is None else int(row["run_seed"])
        row["after"] = None if row["width_after"] is None else target.tolerance(row["width_after"])
        row["bought"] = None if row["bought"] is None else int(row["bought"])
        row["tmacs"] = None if row["flops"] is None else 0.5e-12 * row["flops"]  # as a plan has it
    columns = {
        "buy": "bought",
        "what": "kind",
        "model": "model",
        "seed": "seed",
        "expected": "after",
        "narrows by": "narrows",
    }
    columns |= {
        f"per {found.budget.unit.removesuffix('s')}": "per_cost",
        "hours": "hours",
        "usd": "usd",
        "TMACs": "tmacs",
        "run": "run_id",
    }
    print_rows({heading: key for heading, key in columns.items() if any(row[key] is not None for row in rows)}, rows)
    for note in found.notes:
        click.echo(f"  {note}")
