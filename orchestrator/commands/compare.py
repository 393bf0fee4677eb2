"""`dit-grid compare`: own results beside the paper's, or one store beside another, run by run.

The verdicts are `dit_grid.analysis.paper.reproduction`; here are only the request and what is printed.
"""

from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.options import JSON, WHERE
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.analysis import Results


@click.command()
@WHERE
@click.argument("other", required=False)
@click.option(
    "--metric", help="Metric of two stores (default: fid, else fd_conv, fd, heldout_loss, …); the paper's is fid."
)
@click.option("--objectives", is_flag=True, help="Compare the objectives of one store: a law each, where laws cross.")
@click.option("--figure", metavar="FILE", help="With --objectives: draw the laws as SVG, PNG or PDF.")
@click.option("--anyway", is_flag=True, help="Compare two stores although they were measured under different settings.")
@JSON
def compare(
    where: str | None, other: str | None, metric: str | None, objectives: bool, figure: str | None, anyway: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Put own results beside the paper's Table 4, or beside OTHER store's: gap, seed noise, what differs, usual causes.
    Or the objectives of one store beside one another.

    \b
    dit-grid compare results/imagenet256
    dit-grid compare results/digits results/digits-again --metric fd_conv
    dit-grid compare results/objectives --objectives --figure objectives.svg

    Two stores must have been measured under the same settings; what differs is an error that names it, unless --anyway.
    """
    from dataclasses import asdict

    from dit_grid.analysis import load
    from dit_grid.analysis.paper.reproduction import compare_stores, compare_with_paper
    from dit_grid.orchestrator.commands.forecast import main_metric_of
    from dit_grid.orchestrator.commands.where import store_of
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.screen.tables import print_json, print_rows

    own = load(store_of(where))
    if figure is not None and not objectives:
        raise RequestError("--figure is of --objectives; dit-grid analyze draws the figures of one law")
    if objectives:
        if other is not None:
            raise RequestError(f"--objectives compares those of one store; leave {other} out")
        _objectives(own, metric or main_metric_of(own), figure, as_json)
        return
    if other is None and metric not in (None, "fid"):
        raise RequestError(f"--metric {metric}: the paper reports fid; name a second store to compare {metric} with")
    if other is None:
        found = compare_with_paper(own)
    else:
        found = compare_stores(own, load(store_of(other)), metric or main_metric_of(own), anyway)
    finite = found.table.replace([float("inf"), -float("inf")], float("nan"))
    table = finite.astype(object).where(finite.notna(), None)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    if as_json:
        print_json(asdict(found) | {"table": rows})
        return
    columns = {"model": "model"} | ({"seed": "seed"} if table["model"].duplicated().any() else {})
    columns |= {"step": "steps", "own": "own", "other": "other", "ratio": "ratio", "gap": "verdict", "run": "run_id"}
    print_rows(columns, rows)
    for line in found.summary():
        print_text(line)


def _objectives(own: "Results", metric: str, figure: str | None, as_json: bool) -> None:
    from dataclasses import asdict

    from dit_grid.analysis.laws.objectives import compare_objectives
    from dit_grid.orchestrator.commands.coordinates import check_figure, write_figure
    from dit_grid.orchestrator.screen.tables import print_json

    check_figure(figure)
    found = compare_objectives(own, metric)
    if figure:
        from dit_grid.analysis.figures.objectives import objectives_against_compute

        write_figure(objectives_against_compute(found), figure)
    if as_json:
        pairs = [asdict(pair) for pair in found.contrasts]
        for pair in pairs:
            pair["high"] = pair["high"] if pair["high"] != float("inf") else None
        columns = ["objective", "model", "gmacs", "params", "tokens", "value", "seeds"]
        print_json({"metric": metric, "points": found.table()[columns].to_dict("records"), "contrasts": pairs})
        return
    print_text(found.to_text())
    if figure:
        click.echo(f"\nFigure: {figure}")


COMMANDS = (compare,)
