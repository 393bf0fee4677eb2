"""`dit-grid results` and `analyze`: the table, the law and the figures of a store."""

import os

import click

from dit_grid.orchestrator.commands.options import JSON, WHERE, store_named
from dit_grid.orchestrator.control.errors import RequestError


@click.command()
@WHERE
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write to this file (needed for parquet).")
def results(where: str | None, form: str, out: str | None) -> None:
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
    write_frame(results_table(found), form, out)
    for line in remarks(found):
        click.echo(line, err=form != "table" or out is not None)


@click.command()
@WHERE
@click.option("-o", "--out", type=click.Path(file_okay=False), help="Folder for the figures (default: in the store).")
@click.option("--paper", is_flag=True, help="Work on the numbers that the paper prints, with nothing run.")
@JSON
def analyze(where: str | None, out: str | None, paper: bool, as_json: bool) -> None:
    """Fit the law, print it with its interval, and write the figures.

    Of models that were swept over a hyperparameter (learning rate, dropout, …) the law takes the best of each, says
    which lie at the edge of their sweep, and how the optimum moves with size.

    \b
    dit-grid analyze
    dit-grid analyze results/digits -o figures
    dit-grid analyze --json
    dit-grid analyze --paper -o paper
    """
    if paper and as_json:
        raise RequestError("--json is of a store's law; leave out --paper, whose tables lie beside its figures as CSV")
    if paper:
        from dit_grid.analysis.figures.paper_folder import analyze_paper, paper_text

        folder = out or "results/paper"
        analyze_paper(folder)
        click.echo(f"{paper_text()}\n\nFigures and tables: {folder}")
        return
    if as_json:
        _print_record(store_named(where), out)
        return
    print_results(store_named(where), figures=True, out=out, table=False)


def _print_record(where: str, out: str | None) -> None:
    """Write the figures and print the law of the main metric as JSON; null where nothing was measured."""
    from dit_grid.analysis import law, load, write_figures
    from dit_grid.analysis.laws.record import record_of
    from dit_grid.analysis.results.metric_names import main_metric
    from dit_grid.orchestrator.commands.where import figures_folder
    from dit_grid.orchestrator.screen.tables import print_json

    found, folder = load(where), out or figures_folder(where)
    metric = main_metric(set(found.evals["metric"]))
    written = write_figures(where, folder)
    print_json(
        {"store": where, "law": record_of(law(found, metric)) if metric else None, "figures": [*map(str, written)]}
    )


def print_results(where: str, figures: bool, out: str | None = None, table: bool = True) -> None:
    """Print the results table, the law of the main metric, and where the figures are."""
    from dit_grid.analysis import law, load, remarks, results_table
    from dit_grid.analysis.laws.objectives import in_words
    from dit_grid.analysis.results.metric_names import main_metric
    from dit_grid.orchestrator.commands.where import figures_folder
    from dit_grid.orchestrator.screen.tables import print_text, write_frame

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
        return
    print_text(f"\n{in_words(found, fitted)}")
    folder = out or figures_folder(where)
    if figures:
        from dit_grid.analysis import write_figures  # matplotlib; a finished launch answers sooner without

        write_figures(where, folder, headline_only=table)
    if os.path.isdir(folder):
        more = "; `dit-grid analyze` draws all of them" if figures and table else ""
        click.echo(f"\nFigures: {folder}{more}")


COMMANDS = (
    results,
    analyze,
)
