"""`dit-grid forecast` and `suggest`: what models not yet run would reach and cost, and which to run next.

The statistics are `dit_grid.analysis`; here are only the request and what is printed.
"""

from typing import TYPE_CHECKING, Any

import click

from dit_grid.orchestrator.commands.options import JSON, WHERE
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Forecast, Results
    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.orchestrator.advice.suggest import Suggestion

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
@SPEC
@METRIC
@JSON
def forecast(
    where: str | None,
    models: str | None,
    cheapest: int | None,
    paper: bool,
    rows_file: str | None,
    y: str | None,
    x: str | None,
    group: str | None,
    compute: str | None,
    form: str | None,
    spec_file: str | None,
    metric: str | None,
    as_json: bool,
) -> None:
    """Predict the metric of models not yet run, with 95 % intervals, cost, and how far past the data they lie.

    \b
    dit-grid forecast experiments/digits.yaml
    dit-grid forecast results/digits --models XL/1,96x6x6/2
    dit-grid forecast --paper --cheapest 9
    dit-grid forecast runs.csv --predict rows.csv --y fid --x params,gflops,steps --group family

    Without --models: the runs that are unfinished. A model that was measured is kept out of the fit and its value shown
    beside the prediction. Needs six measured models.

    With --predict WHERE is any table, of DiTs or not (CSV, TSV, Parquet; two rows suffice): a mixture of laws, each
    weighed by how well it predicts the dearer rows from the cheaper ones. --format csv prints predicted, low, high.
    """
    table_only = {"--y": y, "--x": x, "--group": group, "--compute": compute, "--format": form}
    if rows_file is not None or _is_table(where):
        store_only = {"--models": models, "--cheapest": cheapest, "--paper": paper or None, "--spec": spec_file,
                      "--metric": metric}  # fmt: skip
        _refuse(store_only, f"goes with a store or spec; {where} is a table")
        _forecast_of_table(where, rows_file, y, x, group, compute, "json" if as_json else form or "table")
        return
    _refuse(table_only, "goes with a table and --predict ROWS, as in `dit-grid forecast runs.csv --predict rows.csv`")
    from dit_grid.analysis.forecasting.prediction import forecast as predict

    results, spec = _opened(where, spec_file, paper)
    chosen = metric or main_metric_of(results)
    asked = _asked(results, spec, chosen, models or ("XL/2" if paper and not cheapest else None), cheapest)
    found = predict(results, asked, chosen)
    rows = _with_costs(found, results, spec, asked)
    _print_json(found, rows) if as_json else _print_table(found, rows)


@click.command()
@WHERE
@click.option(
    "--budget", required=True, help="What may be spent: 5000usd, 200h (of runs one after another) or 1e21flops."
)
@click.option(
    "--target", default="exponent", show_default=True, help="What to know better: exponent, … or forecast:XL/2."
)
@click.option("--models", metavar="NAMES", help="Also consider these models outside the grid, e.g. XL/1,96x6x6/2.")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False), help="Write the chosen runs as a spec that `launch` takes."
)
@SPEC
@METRIC
@JSON
def suggest(
    where: str | None,
    budget: str,
    target: str,
    models: str | None,
    out: str | None,
    spec_file: str | None,
    metric: str | None,
    as_json: bool,
) -> None:
    """Rank the next runs by how much they are expected to narrow what is known, per unit of the budget.

    \b
    dit-grid suggest experiments/digits.yaml --budget 1h
    dit-grid suggest experiments/grid.yaml --budget 5000usd --target "forecast:XL/2 ±10%" -o next.yaml

    Candidates are cells of the grid that are not done, another seed of each measured model, named models, and for FID
    four times the samples. Expected is the half of the 95 % interval, from the law's Jacobian and the noise; it does
    not depend on what the runs will find.
    """
    from dit_grid.analysis.forecasting.target import parse_target
    from dit_grid.orchestrator.advice.suggest import parse_budget, spec_yaml, suggest as suggested

    wanted, spending = parse_target(target), parse_budget(budget)
    results, spec = _opened(where, spec_file, paper=False)
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


COMMANDS = (forecast, suggest)

TABLES = (".csv", ".tsv", ".parquet")


def _is_table(where: str | None) -> bool:
    import os

    return where is not None and where.endswith(TABLES) and not os.path.isdir(where)


def _refuse(options: dict[str, Any], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise RequestError(f"{name} {why}")


def _forecast_of_table(
    where: str | None, rows: str | None, y: str | None, x: str | None, group: str | None, compute: str | None, form: str
) -> None:
    """Print the forecast of any table; what was left out or looks odd goes to standard error beside CSV."""
    from dit_grid.analysis.forecasting.any_table import forecast_table
    from dit_grid.analysis.forecasting.table import read_table
    from dit_grid.analysis.forecasting.wording import said

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
            click.echo(note, err=True)
        click.echo(found.predictions[["predicted", "low", "high"]].to_csv(index=False), nl=False)
    elif form == "json":
        from dit_grid.orchestrator.screen.tables import print_json

        print_json(found.to_record())
    else:
        unit = f" Compute is in {compute}; forecasts do not depend on it." if compute else ""
        click.echo(said(found) + (f"\n {unit}" if unit else ""))


def _opened(where: str | None, spec_file: str | None, paper: bool) -> "tuple[Results, ExperimentSpec | None]":
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


def main_metric_of(results: "Results") -> str:
    """The metric a law is drawn in when none is named. Raises RequestError where nothing was measured."""
    from dit_grid.analysis import main_metric

    measured = set(results.evals["metric"])
    metric = main_metric(measured)
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

    points = law(results, metric).points
    if models and cheapest:
        raise RequestError("--models and --cheapest both choose what to predict; give one")
    if models:
        return named_models([name.strip() for name in models.split(",") if name.strip()], results)
    if cheapest:
        dearer = costlier_than_cheapest(law(results, metric), cheapest)
        if not dearer:
            raise RequestError(
                f"--cheapest {cheapest}: only {len(points)} models have a final {metric}, so none is left"
            )
        return named_models(dearer, results)
    waiting = unfinished(results, points)
    if spec is not None:
        waiting = pd.concat([waiting, _of_spec(spec, points, results)]).drop_duplicates("model")
    if waiting.empty:
        raise RequestError(
            f"every model of {results.where} has a final {metric}; name models to predict, e.g. --models XL/1, or ask "
            "for a back-test, e.g. --cheapest 9"
        )
    return waiting.reset_index(drop=True)


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


def _print_json(found: "Forecast", rows: list[dict[str, Any]]) -> None:
    from dit_grid.orchestrator.screen.tables import print_json

    finite = (
        found.scores.drop(columns="equation").astype(object).where(lambda f: f.notna() & ~f.isin([float("inf")]), None)
    )
    print_json({
        "metric": found.metric, "law": found.fit.law.name, "equation": found.fit.law.equation(found.fit.theta),
        "models_fitted": found.fit.n, "interval": 0.95, "predictions": rows, "forms": finite.to_dict("records"),
        "by_form": found.by_form.astype(object).where(found.by_form.notna(), None).to_dict("index"),
        "notes": [note.strip() for note in found.caveats()],
    })  # fmt: skip


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None or value != value else value * factor


def _print_table(found: "Forecast", rows: list[dict[str, Any]]) -> None:
    from dit_grid.orchestrator.screen.tables import print_rows

    for line in found.heading():
        click.echo(line)
    measured = any(row["observed"] is not None for row in rows)
    shown = [
        row | {"params_m": _times(row["params"], 1e-6), "train_tmacs": _times(row["train_gmacs"], 1e-3)} for row in rows
    ]
    for row in shown:
        row["error"] = (
            f"{100 * (row['predicted'] / row['observed'] - 1):+.1f} %" if row["observed"] is not None else None
        )
    columns = {"model": "model", "params M": "params_m", "GMACs/image": "gmacs", "predicted": "predicted"}
    columns |= {"95 % low": "low", "high": "high", "decades past": "decades"}
    columns |= {"measured": "observed", "error": "error"} if measured else {}
    columns |= {"train TMACs": "train_tmacs", "on": "on", "hours": "hours", "usd": "usd"}
    print_rows({heading: key for heading, key in columns.items() if any(row[key] is not None for row in shown)}, shown)
    for line in found.caveats():
        click.echo(line)
    sources = {row["hours_from"] for row in rows if row["hours_from"]}
    if sources:
        click.echo(f"  Hours of training and evaluation from: {', '.join(sorted(sources))}.")


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
        row["tmacs"] = _times(row["flops"], 0.5e-12)  # as a plan has it
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
