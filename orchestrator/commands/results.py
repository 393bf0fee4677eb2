"""`dit-grid results` and `analyze`: the table, the law and the figures of a store."""

import os
from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.options import JSON, WHERE, store_named
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.analysis import Results


@click.command()
@WHERE
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@JSON
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write to this file (needed for parquet).")
def results(where: str | None, form: str, as_json: bool, out: str | None) -> None:
    """Print or export the results table: one row a run, with its latest loss and metrics.

    Settings that the runs were swept over are columns, named as in the spec; `best` marks the best of each model, by
    the metric of the law. Metrics are those of the step
    `evaluated_at`: empty where a metric was not finite or not measured then, and a line below says which.

    \b
    dit-grid results
    dit-grid results results/digits --format parquet -o digits.parquet
    """
    from dit_grid.analysis import load, remarks, results_table
    from dit_grid.orchestrator.screen.tables import write_frame

    found = load(store_named(where))
    form = "json" if as_json else form
    write_frame(results_table(found), form, out)
    for line in remarks(found):
        print_text(line, err=form != "table" or out is not None)


@click.command()
@WHERE
@click.option("-o", "--out", type=click.Path(file_okay=False), help="Folder for the figures (default: in the store).")
@click.option("--paper", is_flag=True, help="Work on the numbers that the paper prints, with nothing run.")
@click.option("--metric", metavar="NAME", help="Metric of the law (default: fid, fd_conv, fd or heldout_loss).")
@click.option("--x", type=click.Choice(["forward", "training", "params", "steps"]), help="What the law is against.")
@click.option("--form", type=click.Choice(["power", "line", "powers", "isoflop"]),
              help="powers: L(N, D) in parameters and images; isoflop: the best size for a budget.")  # fmt: skip
@click.option("--where", "conditions", multiple=True, metavar="KEY=VALUE",
              help="Only of runs with this, e.g. patch=2, 'model=XL/*', train.batch=128.")  # fmt: skip
@JSON
def analyze(
    where: str | None, out: str | None, paper: bool, metric: str | None, x: str | None, form: str | None,
    conditions: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Fit the law, print it with its interval, and write the figures.

    Of models that were swept over a hyperparameter (learning rate, dropout, …) the law takes the best of each, says
    which lie at the edge of their sweep, and how the optimum moves with size.

    \b
    dit-grid analyze
    dit-grid analyze experiments/digits.yaml -o figures
    dit-grid analyze --metric heldout_loss --x training --json
    dit-grid analyze results/digits --form isoflop --where patch=2
    dit-grid analyze --paper

    With --metric, --x, --form, --where or --json a law is printed and no figure is drawn, unless -o says where.
    """
    from dit_grid.orchestrator.control.errors import RequestError

    if paper and (metric or x or form or conditions or as_json or where):
        raise RequestError("--paper works on the paper's own numbers; it goes with -o alone")
    if paper:
        from dit_grid.analysis.figures.paper_folder import analyze_paper, paper_text

        folder = out or "results/paper"
        analyze_paper(folder)
        click.echo(f"{paper_text()}\n\nFigures and tables: {folder}")
        return
    if form in ("powers", "isoflop") and x:
        raise RequestError(f"--form {form} has its own axes, parameters and training; leave --x {x} out")
    if metric or x or form or conditions or as_json:
        _asked(store_named(where), metric, x, form, conditions, as_json)
        if out is None:
            return
    print_results(store_named(where), figures=True, out=out, table=False)


def _asked(
    store: str, metric: str | None, x: str | None, form: str | None, conditions: tuple[str, ...], as_json: bool
) -> None:
    """Print one law that was asked for; without an axis and a form the grid's own."""
    from dit_grid.analysis import law, load
    from dit_grid.analysis.laws.asked_law import asked_law
    from dit_grid.analysis.laws.objectives import in_words
    from dit_grid.analysis.laws.record import record_of
    from dit_grid.analysis.results.chosen_runs import chosen_runs
    from dit_grid.orchestrator.commands.forecast import main_metric_of
    from dit_grid.orchestrator.screen.tables import print_json

    found = chosen_runs(load(store), conditions)
    metric = metric or main_metric_of(found)
    is_the_grids = x in (None, "forward") and form is None
    if as_json:
        asked = {} if is_the_grids else {"asked": asked_law(found, metric, x or "forward", form).record()}
        print_json({"store": store, "where": list(conditions), "law": record_of(law(found, metric))} | asked)
    elif is_the_grids:
        print_text(in_words(found, law(found, metric)))
    else:
        print_text(asked_law(found, metric, x or "forward", form).to_text())


def print_results(where: str, figures: bool, out: str | None = None, table: bool = True) -> "Results":
    """Print the results table, the law of the main metric, and where the figures are; return what was read."""
    from dit_grid.analysis import law, load, remarks, results_table
    from dit_grid.analysis.laws.objectives import in_words
    from dit_grid.analysis.results.metric_names import main_metric
    from dit_grid.orchestrator.commands.where import figures_folder
    from dit_grid.orchestrator.screen.tables import write_frame

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
        return found
    print_text(f"\n{in_words(found, fitted)}")
    folder = out or figures_folder(where)
    if figures:
        from dit_grid.analysis import write_figures  # matplotlib; a finished launch answers sooner without

        write_figures(found, folder, headline_only=table)
    if os.path.isdir(folder):
        more = "; `dit-grid analyze` draws all of them" if figures and table else ""
        click.echo(f"\nFigures of {where}: {folder}{more}")
    return found


COMMANDS = (
    results,
    analyze,
)
