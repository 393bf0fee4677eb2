"""`dit-grid forecast`: what models not yet run would reach and cost, and where runs that train will end.

The statistics are `dit_grid.analysis`; here are only the request and what is printed.
"""

from typing import TYPE_CHECKING, Any

import click

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.commands.along_training import along_training, longer_training, print_along, rows_of
from dit_grid.orchestrator.commands.options import JSON, WHERE
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Forecast, Results
    from dit_grid.analysis.tables import TableForecast
    from dit_grid.experiments.spec import ExperimentSpec

SPEC = click.option(
    "--spec", "spec_file", type=click.Path(dir_okay=False), help="Spec with runs and prices, where WHERE is a store."
)
METRIC = click.option("--metric", help="Metric to predict (default: fid, else fd_conv, fd, heldout_loss, …).")


@click.command()
@WHERE
@click.option(
    "--models", metavar="NAMES", help="Models to predict, e.g. XL/1,B/2 or a network: 96x6x6/2 (width, depth, heads)."
)
@click.option(
    "--cheapest", type=click.IntRange(1), metavar="K", help="Fit the K cheapest models only and predict the others."
)
@click.option("--paper", is_flag=True, help="Work on the paper's Table 4 (by default: XL/2 from the other eleven).")
@click.option(
    "--predict", "rows_file", metavar="ROWS", help="A table's rows to predict: a file with the columns of --x."
)
@click.option("--y", help="A table's column to predict; lower is better.")
@click.option("--x", help="A table's columns to predict from, e.g. params,gflops,steps.")
@click.option("--group", help="A table's column that names families or curves; empty for none.")
@click.option(
    "--compute",
    type=click.Choice(["gmacs", "gflops", "flops"]),
    help="What the table counts compute in; only said, as no forecast depends on units.",
)
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), help="How a table's forecast is printed."
)
@click.option(
    "--longer",
    type=float,
    metavar="FACTOR",
    help="What so many times its steps would bring each run: 2 for twice.",
)
@SPEC
@METRIC
@JSON
def forecast(
    where: str | None, models: str | None, cheapest: int | None, paper: bool, rows_file: str | None, y: str | None,
    x: str | None, group: str | None, compute: str | None, form: str | None, longer: float | None,
    spec_file: str | None, metric: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Predict the metric of models not yet run, with 95 % intervals, cost, and how far past the data they lie.

    \b
    dit-grid forecast experiments/digits.yaml
    dit-grid forecast results/digits --models XL/1,96x6x6/2
    dit-grid forecast --paper --cheapest 9
    dit-grid forecast results/digits --longer 2
    dit-grid forecast runs.csv --predict rows.csv --y fid --x params,gflops,steps --group family

    Without --models: the runs that are unfinished, or if none is, the next size of the ladder. Runs that train are also
    told where they will end, from what they and their peers were measured at on the way. A model that was measured is
    kept out of the fit and its value shown beside the prediction. Needs six measured models.

    With --predict WHERE is any table, of DiTs or not (CSV, TSV, Parquet; two rows suffice): a mixture of laws, each
    weighed by how well it predicts the dearer rows from the cheaper ones. --format csv prints predicted, low, high.
    """
    from dit_grid.analysis.tables.table import is_table

    table_only = {"--y": y, "--x": x, "--group": group, "--compute": compute, "--format": form}
    if rows_file is not None or is_table(where):
        store_only = {"--models": models, "--cheapest": cheapest, "--paper": paper or None, "--spec": spec_file,
                      "--metric": metric, "--longer": longer}  # fmt: skip
        refuse(store_only, f"goes with a store or spec; {where} is a table")
        _forecast_of_table(where, rows_file, y, x, group, compute, "json" if as_json else form or "table")
        return
    refuse(table_only, "goes with a table and --predict ROWS, as in `dit-grid forecast runs.csv --predict rows.csv`")
    from dit_grid.analysis.forecasting.prediction import forecast as predict

    results, spec = opened(where, spec_file, paper)
    chosen = metric or main_metric_of(results)
    if longer is not None:
        refuse({"--models": models, "--cheapest": cheapest}, "chooses models, and --longer is about runs; give one")
        _print_along(longer_training(results, chosen, longer), chosen, longer, as_json)
        return
    along = None if models or cheapest or paper else along_training(results, chosen)
    if along is not None and not _has_a_law(results, chosen):
        _print_along(along, chosen, 1.0, as_json)
        return
    asked = _asked(results, spec, chosen, models or ("XL/2" if paper and not cheapest else None), cheapest)
    found = predict(results, asked, chosen)
    rows = _with_costs(found, results, spec, asked)
    every = None if paper else _from_every_evaluation(results, asked, chosen)
    if as_json:
        _print_json(found, rows, along, every)
        return
    _print_table(found, rows)
    if every is not None:
        _print_every(every)
    if along is not None:
        print_along(along, chosen)


COMMANDS = (forecast,)


def refuse(options: dict[str, Any], why: str) -> None:
    """Raise RequestError for the first of the options that was given."""
    for name, value in options.items():
        if value is not None:
            raise RequestError(f"{name} {why}")


def _forecast_of_table(
    where: str | None, rows: str | None, y: str | None, x: str | None, group: str | None, compute: str | None, form: str
) -> None:
    """Print the forecast of any table; what was left out or looks odd goes to standard error beside CSV."""
    from dit_grid.analysis.tables.any_table import forecast_table
    from dit_grid.analysis.tables.table import read_table
    from dit_grid.orchestrator.screen.tables import print_json

    given = {"TABLE": where, "--predict": rows, "--y": y, "--x": x}
    missing = [name for name, value in given.items() if not value]
    if not where or not rows or not y or not x:
        raise RequestError(
            f"a table's forecast needs {', '.join(missing)}: "
            "dit-grid forecast runs.csv --predict rows.csv --y fid --x gflops"
        )
    names = (where, rows)
    found = forecast_table(
        read_table(where), read_table(rows), y.strip(), x.split(","), (group or "").strip() or None, names=names
    )
    if form == "csv":
        for note in found.notes:
            print_text(note, err=True)
        click.echo(found.predictions[["predicted", "low", "high"]].to_csv(index=False), nl=False)
    elif form == "json":
        print_json(found.to_record())
    else:
        _print_of_table(found, compute)


def _print_of_table(found: "TableForecast", compute: str | None) -> None:
    """Print the rows as a table, and what a reader has to know before believing one."""
    from dit_grid.analysis.tables.wording import explained, heading
    from dit_grid.orchestrator.screen.tables import print_rows

    print_text(heading(found), inset=2)
    names = sorted(map(str, found.tables.asked), key=lambda name: name != found.tables.group)
    columns = {name: name for name in names} | {"predicted": "predicted", "95 % low": "low", "95 % high": "high"}
    columns |= {"decades past": "past"} if (found.predictions["decades"] > 0).any() else {}
    rows = found.to_record()["predictions"]
    print_rows(columns, [row | {"past": round(row["decades"], 2)} for row in rows], spare=("decades past",))
    unit = [f"  Compute is in {compute}; forecasts do not depend on it."] if compute else []
    print_text("\n".join([*explained(found), *unit]))


def opened(where: str | None, spec_file: str | None, paper: bool) -> "tuple[Results, ExperimentSpec | None]":
    """The results and, where one is named, the spec; without a store yet the results are those of no run."""
    from dit_grid.analysis import load
    from dit_grid.experiments.spec import load_spec
    from dit_grid.orchestrator.commands.where import store_of

    if paper:
        from dit_grid.analysis.paper.selections import twelve

        if where:
            raise RequestError(f"--paper works on the printed table; leave out {where!r}, or --paper")
        return twelve(), load_spec(spec_file) if spec_file else None
    is_spec = where is not None and where.endswith((".yaml", ".yml"))
    spec = load_spec(spec_file or where) if spec_file or is_spec else None  # type: ignore[arg-type]
    return load(store_of(where) if where or spec is None else spec.store), spec


def main_metric_of(results: "Results", spec: "ExperimentSpec | None" = None) -> str:
    """The metric a law is drawn in when none is named, before anything was measured the one that `spec` will measure.

    Raises RequestError where there is none.
    """
    from dit_grid.analysis import main_metric

    asked = {
        metric for run in (spec.networks if spec else ()) for one in run.evaluate.settings for metric in one.metrics
    }
    metric = main_metric(set(results.evals["metric"])) or main_metric(asked)
    if metric is None:
        raise RequestError(f"{results.where}: nothing was measured, no fid, fd_conv or heldout_loss; launch it first")
    return metric


def _asked(
    results: "Results", spec: "ExperimentSpec | None", metric: str, models: str | None, cheapest: int | None
) -> "pd.DataFrame":
    """The models to predict: those named, all but the cheapest, or those that have no final value."""
    import pandas as pd

    from dit_grid.analysis import law
    from dit_grid.analysis.forecasting.candidates import named_models
    from dit_grid.analysis.forecasting.prediction import costlier_than_cheapest, unfinished

    found = law(results, metric)
    points = found.points
    if models and cheapest:
        raise RequestError("--models and --cheapest both choose what to predict; give one")
    if models:
        return named_models([name.strip() for name in models.split(",") if name.strip()], results)
    if cheapest:
        dearer = costlier_than_cheapest(found, cheapest)
        if not dearer:
            raise RequestError(
                f"--cheapest {cheapest}: a final {metric} is known of {counted(len(points), 'model')}, so none is left"
            )
        return named_models(dearer, results)
    waiting = unfinished(results, points)
    if spec is not None:
        waiting = pd.concat([waiting, _of_spec(spec, points, results)]).drop_duplicates("model")
    return _next_sizes(results, points, metric) if waiting.empty else waiting.reset_index(drop=True)


def _next_sizes(results: "Results", points: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """The size that follows the largest, where nothing is unfinished. Raises RequestError where none can be made up."""
    from dit_grid.analysis.forecasting.candidates import named_models
    from dit_grid.analysis.forecasting.next_models import next_sizes

    names = next_sizes(results, list(points["model"]))
    if not names:
        raise RequestError(
            f"every model of {results.where} has a final {metric}; name models to predict, e.g. --models XL/1, or ask "
            "for a back-test, e.g. --cheapest 9"
        )
    print_text(
        f"Every model of {results.where} has a final {metric}; forecast is the next size of its ladder.", err=True
    )
    return named_models(names, results)


def _of_spec(spec: "ExperimentSpec", points: "pd.DataFrame", results: "Results") -> "pd.DataFrame":
    """The spec's models of the law's family that the store may not know yet."""
    from dit_grid.orchestrator.advice.candidates import in_family, spec_frame

    frame = in_family(spec_frame(spec, spec.runs), results, points)
    return frame[~frame["model"].isin(points["model"])]


def _with_costs(
    found: "Forecast", results: "Results", spec: "ExperimentSpec | None", asked: "pd.DataFrame"
) -> list[dict[str, Any]]:
    """A row a prediction with hours and money: by the spec's prices, else hours at the speeds that were measured."""
    from dit_grid.orchestrator.advice.candidates import hours_as_measured, named_runs, priced

    finite = found.predictions.replace(float("inf"), float("nan"))  # an interval may end beyond what a float holds
    rows = finite.astype(object).where(finite.notna(), None).to_dict("records")
    if spec is not None:
        costs = priced(spec, named_runs(spec, asked))
        extra = [{"on": c.on, "hours": c.hours, "usd": c.usd, "hours_from": c.speed_from} for c in costs]
    else:
        hours = hours_as_measured(results, asked)
        extra = [{"on": None, "hours": h, "usd": None, "hours_from": "speeds in the store" if h else ""} for h in hours]
    return [{str(k): v for k, v in row.items()} | cost for row, cost in zip(rows, extra, strict=True)]


def _has_a_law(results: "Results", metric: str) -> bool:
    """Whether enough models were measured at their end for a law of models."""
    from dit_grid.analysis import law
    from dit_grid.analysis.forecasting.target import ENOUGH
    from dit_grid.analysis.results.frames import NotMeasuredError

    try:
        return len(law(results, metric).points) >= ENOUGH
    except NotMeasuredError:
        return False


def _print_along(ends: "pd.DataFrame", metric: str, factor: float, as_json: bool) -> None:
    from dit_grid.orchestrator.screen.tables import print_json

    if as_json:
        print_json({"metric": metric, "longer": factor, "interval": 0.95, "runs": rows_of(ends)})
        return
    print_along(ends, metric, factor)
    if factor == 1:
        print_text("  Models that have not begun are forecast once six have a final value.")


def _from_every_evaluation(results: "Results", asked: "pd.DataFrame", metric: str) -> "list[dict[str, Any]] | None":
    """What every evaluation along training says of the same models; None where there are too few of them."""
    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.forecasting.every_evaluation import from_every_evaluation
    from dit_grid.analysis.tables import TableError

    try:
        found = from_every_evaluation(results, asked, metric)
    except (CannotFitError, TableError):
        return None
    return None if found is None else rows_of(found)


def _print_every(rows: list[dict[str, Any]]) -> None:
    from dit_grid.orchestrator.screen.tables import print_rows

    print_text("From every evaluation along training, by a mixture of laws of parameters, GMACs and steps:")
    columns = {"model": "model", "predicted": "predicted", "95 % low": "low", "high": "high"}
    if any(row["observed"] is not None for row in rows):
        rows = [row | {"error": _error(row)} for row in rows]
        columns |= {"measured": "observed", "error": "error"}
    print_rows(columns, rows)
    print_text("  Where the two differ, this one has seen floors that ends alone do not show (docs/forecast.md).")


def _error(row: dict[str, Any]) -> str | None:
    observed = row["observed"]
    return None if observed is None else f"{100 * (row['predicted'] / observed - 1):+.1f} %"


def _print_json(
    found: "Forecast", rows: list[dict[str, Any]], along: "pd.DataFrame | None", every: list[dict[str, Any]] | None
) -> None:
    from dit_grid.orchestrator.screen.tables import print_json

    finite = (
        found.scores.drop(columns="equation").astype(object).where(lambda f: f.notna() & ~f.isin([float("inf")]), None)
    )
    print_json({
        "metric": found.metric, "law": found.fit.law.name, "equation": found.fit.law.equation(found.fit.theta),
        "models_fitted": found.fit.n, "interval": 0.95, "predictions": rows, "forms": finite.to_dict("records"),
        "by_form": found.by_form.astype(object).where(found.by_form.notna(), None).to_dict("index"),
        "notes": [note.strip() for note in found.caveats()], "runs": [] if along is None else rows_of(along),
        "every_evaluation": every,
    })  # fmt: skip


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None or value != value else value * factor


def _print_table(found: "Forecast", rows: list[dict[str, Any]]) -> None:
    from dit_grid.orchestrator.screen.rows import time_unit
    from dit_grid.orchestrator.screen.tables import print_rows

    print_text("\n".join(found.heading()))
    measured = any(row["observed"] is not None for row in rows)
    unit, scale = time_unit([row["hours"] for row in rows])
    shown = [
        row | {"params_m": _times(row["params"], 1e-6), "train_tmacs": _times(row["train_gmacs"], 1e-3),
               "time": _times(row["hours"], scale), "error": _error(row)}
        for row in rows
    ]  # fmt: skip
    columns = {"model": "model", "params M": "params_m", "GMACs/image": "gmacs", "predicted": "predicted"}
    columns |= {"95 % low": "low", "high": "high", "decades past": "decades"}
    columns |= {"measured": "observed", "error": "error"} if measured else {}
    columns |= {"train TMACs": "train_tmacs", "on": "on", unit: "time", "usd": "usd"}
    columns = {heading: key for heading, key in columns.items() if any(row[key] is not None for row in shown)}
    print_rows(columns, shown, spare=("params M", "on", "train TMACs", "GMACs/image", "decades past"))
    for line in found.caveats():
        print_text(line)
    sources = {row["hours_from"] for row in rows if row["hours_from"]}
    if sources:
        print_text(f"  Time of training and evaluation from: {', '.join(sorted(sources))}.")
