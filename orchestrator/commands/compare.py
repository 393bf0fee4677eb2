"""`dit-grid compare`: own results beside the paper's, or one store beside another, run by run.

The verdicts are `dit_grid.analysis.paper.reproduction`; here are only the request and what is printed.
"""

import click

WHERE = click.argument("where", required=False)


@click.command()
@WHERE
@click.argument("other", required=False)
@click.option(
    "--metric", help="Metric of two stores (default: fid, else fd_conv, fd, heldout_loss, …); the paper's is fid."
)
@click.option("--anyway", is_flag=True, help="Compare two stores although they were measured under different settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program instead of a table.")
def compare(where: str | None, other: str | None, metric: str | None, anyway: bool, as_json: bool) -> None:
    """Put own results beside the paper's Table 4, or beside OTHER store's: gap, seed noise, what differs, usual causes.

    \b
    dit-grid compare results/imagenet256
    dit-grid compare results/digits results/digits-again --metric fd_conv

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
    columns = {"model": "model", "step": "steps", "own": "own", "other": "other", "ratio": "ratio", "gap": "verdict"}
    print_rows(columns | {"run": "run_id"}, rows)
    for line in found.summary():
        click.echo(line)


COMMANDS = (compare,)
