"""What `suggest` says of a table: which of its rows without a value to measure next, and for how much.

The choice is `dit_grid.analysis.tables.choice`.
"""

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis.tables import NextRows
    from dit_grid.orchestrator.advice.budgets import Budget

ROWS_ONLY = ("--predict", "--y", "--x", "--group", "--cost")
"""Options that are about a table."""

SHOWN = 12
"""Candidates that a person sees; --json has all."""


def suggest_rows(
    where: str, asked: Mapping[str, str | None], budget: "Budget | None", out: str | None, as_json: bool
) -> None:
    """Print the rows of the table at `where` to measure next, and write the chosen ones to `out` as CSV.

    Without a budget these are all that are worth their cost.

    Raises RequestError where an option is missing, TableError where a table cannot be used.
    """
    from dit_grid.analysis.tables import next_rows
    from dit_grid.analysis.tables.table import FIRST_LINE, has_columns, numbers, read_table

    missing = [name for name in ROWS_ONLY if name != "--group" and not asked[name]]
    if missing:
        raise RequestError(
            f"a table's suggestion needs {', '.join(missing)}: dit-grid suggest runs.csv --predict dear.csv --y loss "
            "--x params,tokens --cost hours"
        )
    most = float("inf") if budget is None else budget.amount or 0.0
    rows_file, y, x, group, cost = (str(asked[name] or "").strip() for name in ROWS_ONLY)
    table, region = read_table(where), read_table(rows_file)
    has_columns(table, [y, cost], where)
    values = numbers(table, [y, cost], where)
    left = values[y].isna()
    for row in values.index[left & ~(values[cost] > 0)]:
        got = f"{where}, line {row + FIRST_LINE}, column {cost!r}: {values[cost][row]:g}"
        raise RequestError(f"{got}; what a row for sale costs must be a number above zero")
    sold = table[left].reset_index(drop=True)
    found = next_rows(
        table[~left], sold, region, y, x.split(","), values.loc[left, cost].tolist(), most, group or None,
        names=(where, rows_file),
    )  # fmt: skip
    chosen = sold.iloc[found.rows.loc[found.rows["bought"].notna(), "row"]]
    if out and chosen.empty:
        raise RequestError(f"-o {out}: nothing to write; no row within the budget is worth its cost")
    if out:
        chosen.to_csv(out, index=False)
    unit = budget.unit if budget else cost
    (_print_json(found, sold, y, unit, most) if as_json else _print(found, sold, y, unit, most, out))


def _records(found: "NextRows", sold: "pd.DataFrame", y: str) -> list[dict]:
    rows = sold.drop(columns=y).iloc[found.rows["row"]].reset_index(drop=True)
    told = found.rows[["bought", "error_after", "gain_per_cost"]]
    table = rows.join(told).astype(object)
    records = table.where(table.notna(), None).to_dict("records")
    return [{str(k): v for k, v in row.items()} | {"bought": row["bought"] and int(row["bought"])} for row in records]


def _print_json(found: "NextRows", sold: "pd.DataFrame", y: str, unit: str, most: float) -> None:
    from dit_grid.orchestrator.screen.tables import print_json

    print_json({
        "error": found.now, "error_expected": found.then, "spent": found.spent,
        "budget": most, "unit": unit, "candidates": _records(found, sold, y), "notes": list(found.notes),
    })  # fmt: skip


def _print(found: "NextRows", sold: "pd.DataFrame", y: str, unit: str, most: float, out: str | None) -> None:
    from dit_grid.orchestrator.screen.tables import print_rows

    records, bought = _records(found, sold, y), int(found.rows["bought"].notna().sum())
    of = f"of {most:,.4g} " if isfinite(most) else ""
    print_text(
        f"{y} of the rows to be known: now within {found.now:.1%} (root mean squared, of the law), with the {bought} "
        f"chosen {found.then:.1%} is expected, for {found.spent:,.4g} {of}{unit}"
    )
    for row in records:
        row["after"] = f"{row['error_after']:.1%}"
    columns = {"buy": "bought", **{str(name): str(name) for name in sold.columns if name != y}, "alone": "after"}
    print_rows(columns, records[: max(SHOWN, bought)])
    if len(records) > max(SHOWN, bought):
        click.echo(f"  and {len(records) - max(SHOWN, bought)} more; --json has all")
    if not bought:
        print_text("  No row within the budget is worth its cost; a larger budget may hold one that is.")
    for note in found.notes:
        print_text(f"  Note: {note}.")
    if out:
        click.echo(f"Written: {out}")
