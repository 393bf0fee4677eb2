"""`dit-grid results` and `analyze`: the table, the law and the figures of a store."""

import os

import click

from dit_grid.orchestrator.commands.options import WHERE, store_named


@click.command()
@WHERE
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write to this file (needed for parquet).")
def results(where: str | None, form: str, out: str | None) -> None:
    """Print or export the results table: one row a run, with its latest loss and metrics.

    Settings that the runs were swept over are columns, named as in the spec. Metrics are those of the step
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
def analyze(where: str | None, out: str | None, paper: bool) -> None:
    """Fit the law, print it with its interval, and write the figures.

    \b
    dit-grid analyze
    dit-grid analyze results/digits -o figures
    dit-grid analyze --paper -o paper
    """
    if paper:
        from dit_grid.analysis.figures.paper_folder import analyze_paper, paper_text

        folder = out or "results/paper"
        analyze_paper(folder)
        click.echo(f"{paper_text()}\n\nFigures and tables: {folder}")
        return
    print_results(store_named(where), figures=True, out=out, table=False)


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
