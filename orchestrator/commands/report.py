"""`dit-grid report` and `dit-grid fit`: a page about a store, and a law fitted to a table of one's own.

What is here reads arguments and prints; the page is `dit_grid.analysis.report`, the fits are `dit_grid.analysis.fits`.
"""

import os
from typing import Any

import click

from dit_grid.orchestrator.commands.options import JSON, WHERE
from dit_grid.orchestrator.screen.prose import print_text


@click.command()
@WHERE
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="File to write (default: report.html in the store).")
@JSON
def report(where: str | None, out: str | None, as_json: bool) -> None:
    """Write one self-contained HTML page about a store: law, plots, runs, samples, settings, failures, what next.

    \b
    dit-grid report
    dit-grid report results/digits -o digits.html

    The page needs no network. While runs go on it shows what is there; `dit-grid serve` shows the same page live.
    """
    from dit_grid.analysis.report import write_report
    from dit_grid.orchestrator.commands.serve import advice_for
    from dit_grid.orchestrator.commands.where import store_of
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.screen.tables import print_json

    store = store_of(where)
    if out is None and "://" in store:
        raise RequestError(f"{store} is a bucket: say where to write the page, e.g. -o report.html")
    path = write_report(store, out or os.path.join(store, "report.html"), advice_for(where))
    size = path.stat().st_size
    if as_json:
        print_json({"store": store, "page": str(path), "bytes": size})
    else:
        click.echo(f"{store}: {path} ({size / 1e6:.1f} MB)")


@click.command()
@click.argument("table", type=click.Path(dir_okay=False))
@click.option("--y", "y", default="loss", show_default=True, help="Column of what was measured.")
@click.option("--x", "x", default="params,tokens", show_default=True, help="Columns that it depends on, with commas.")
@click.option("--form", type=click.Choice(["powers", "power", "line", "quadratic", "interaction"]), default="powers",
              show_default=True, help="powers: a sum of a power a column and a floor (Chinchilla's).")  # fmt: skip
@click.option("--delta", type=click.FloatRange(min=0, min_open=True), help="Huber's threshold on ln y, e.g. 1e-3.")
@click.option("--bootstrap", "replicates", type=click.IntRange(min=0), default=0, help="Refits for standard errors.")
@JSON
def fit(table: str, y: str, x: str, form: str, delta: float | None, replicates: int, as_json: bool) -> None:
    """Fit a law to a CSV of runs made anywhere, and print all that a reader needs to fit it again.

    \b
    dit-grid fit runs.csv --delta 1e-3 --bootstrap 4000
    dit-grid fit runs.csv --y fid --x gmacs --form power

    A row without a number in one of the columns is dropped, and named. 10,000,000 in quotes is read as a number.
    Columns params, tokens and loss are enough; where flops stands instead of tokens, tokens = flops / (6 params).
    """
    import numpy as np

    from dit_grid.analysis.fits import bootstrap
    from dit_grid.analysis.fits.points import law_named, read_points
    from dit_grid.orchestrator.screen.notices import plain_warnings

    columns = tuple(name.strip() for name in x.split(",") if name.strip())
    law = law_named(form, columns, y, delta)
    with plain_warnings(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        points = read_points(table, (*columns, y))
        found = law.fit(points)
        spread = bootstrap(found, points, replicates) if replicates else None
        refits = spread.interval().assign(se=spread.se()) if spread is not None else None
    if as_json:
        from dit_grid.orchestrator.screen.tables import print_json

        print_json(_fit_record(found, spread, refits))
        return
    print_text(found.report())
    if spread is not None and refits is not None:
        print_text(f"bootstrap of {len(spread.samples)} refits, seed 0 ({spread.degenerate} degenerate):")
        for name, row in refits.iterrows():
            print_text(f"  {name}: standard error {row['se']:.4g}, 95 % [{row['low']:.4g}, {row['high']:.4g}]")


def _fit_record(found: Any, spread: Any, refits: Any) -> dict[str, Any]:
    free = {name: estimate for name, estimate in found.params.items() if name not in found.fixed}
    record = {
        "law": found.law.name,
        "equation": found.law.equation(found.theta),
        "coefficients": {
            n: {"value": _number(e.value), "se": _number(e.se), "unit": found.units[n]} for n, e in free.items()
        },
        "at_bound": list(found.fixed),
        "objective": _number(found.objective),
        "n": found.n,
        "dropped": [{"row": dropped.row, "reason": dropped.reason} for dropped in found.dropped],
        "condition": _number(found.condition),
        "status": str(found.status),
        "search": found.search,
    }
    if spread is not None:
        rows = refits.to_dict("index")
        ends = {name: {key: _number(value) for key, value in row.items()} for name, row in rows.items()}
        record["bootstrap"] = {"refits": len(spread.samples), "degenerate": spread.degenerate, "coefficients": ends}
    return record


def _number(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    import math

    return value if math.isfinite(value) else None


COMMANDS = (report, fit)
