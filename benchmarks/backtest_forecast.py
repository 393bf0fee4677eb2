"""Forecasts and stopping rules tried on grids whose answers are known: the paper's table, a store, planted laws.

    uv run python benchmarks/backtest_forecast.py                    the paper and planted grids, some minutes
    uv run python benchmarks/backtest_forecast.py results/digits     also a finished grid of your own
    uv run python benchmarks/backtest_forecast.py --planted 20       fewer planted grids, for a look
    uv run python benchmarks/backtest_forecast.py --stores A B C     finished grids that differ in their seed alone, and
                                                                     no stopping, no planted grids: half a minute

Nothing is trained here. Prints up to four tables. *Part of the grid*: from the k cheapest models, the form that
`forecast` picks without seeing the others, its mean error on them beside a power law's, how many 95 % intervals held,
and the share of the grid's training compute that the k models cost. *Every form*: the same error for each form, a
column each, and in plain words where the forecast fails. *Stopping*: compute spent until a target was met with the runs
in the order that `launch --until` gives, cheapest first, and at random (mean of 8), and the error of what was then
known. *Planted*: how often the interval at which the rule stopped holds the truth (nominal 95 %), since stopping on a
narrow interval favours lucky ones.

With `--stores` the first two tables are for each store and for all: the mean over the stores, and the grid whose models
are the means of their seeds.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from dit_grid.analysis import Results, law, load, main_metric
from dit_grid.analysis.fits import FORMS, CannotFitError, PowerLaw
from dit_grid.analysis.fits.comparison import AnyLaw
from dit_grid.analysis.forecasting.prediction import costlier_than_cheapest, forecast, held_out
from dit_grid.analysis.forecasting.target import ENOUGH, parse_target, standing
from dit_grid.analysis.paper.selections import twelve
from dit_grid.analysis.results.frames import assemble
from dit_grid.experiments.store.records import EVALS, EVENTS, RUNS, TRAIN
from dit_grid.orchestrator.advice.until import until

RANDOM_ORDERS = 8

GOOD = 0.10
"""Mean error at which a forecast is worth its saving: what reruns of one FID differ by (`fits.RERUN_NOISE`)."""


def main() -> None:
    """Run the back-tests that the command line asks for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("more", nargs="*", metavar="STORE", help="finished stores to try it on, the stopping too")
    parser.add_argument("--stores", nargs="+", default=[], metavar="STORE", help="one a seed of the same grid")
    parser.add_argument("--planted", type=int, default=300, help="planted grids (default 300)")
    asked = parser.parse_args()
    part_of("the paper, Table 4", twelve(), "fid")
    if asked.stores:
        seeds(asked.stores)
    else:
        grids = {"the paper, Table 4": (twelve(), "fid")} | {where: measured(where) for where in asked.more}
        for name, (results, metric) in grids.items():
            if name in asked.more:
                part_of(name, results, metric)
            print(f"\n{name}, {metric}: stopping")
            show(pd.DataFrame(stops(results, metric)))
        print(f"\n{asked.planted} planted grids: coverage where the rule stopped")
        show(pd.DataFrame(coverages(asked.planted)))


def measured(where: str) -> tuple[Results, str]:
    """The results of a store, and the metric of its law."""
    results = load(where)
    metric = main_metric(set(results.evals["metric"]))
    if metric is None:
        raise SystemExit(f"{where}: no fid, fd_conv or heldout_loss was measured")
    return results, metric


def part_of(name: str, results: Results, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Print the tables of one grid, and return them."""
    chosen, forms = pd.DataFrame(parts(results, metric)), every_form(results, metric)
    print(f"\n{name}, {metric}: part of the grid")
    show(chosen)
    print(f"\n{name}, {metric}: mean error on the rest, every form")
    show(forms)
    print("\n".join(verdict(chosen, forms)), flush=True)
    return chosen, forms


def seeds(stores: Sequence[str]) -> None:
    """The tables of each store, their mean, and those of the means over seeds."""
    opened = {where: measured(where) for where in stores}
    tables = [part_of(where, *found) for where, found in opened.items()]
    if len(tables) == 1:
        return
    all_chosen = pd.concat([chosen for chosen, _ in tables])
    columns = ["compute", "mean error", "power law", "dearest"]
    mean = all_chosen.assign(dearest=all_chosen["dearest"].abs()).groupby("models")[columns].mean()
    held = all_chosen["intervals held"].str.split(" of ", expand=True).astype(int).groupby(all_chosen["models"]).sum()
    mean["worst mean error"] = all_chosen.groupby("models")["mean error"].max()
    mean["intervals held"] = [f"{a} of {b}" for a, b in held.to_numpy()]
    print(f"\nmean of {len(tables)} stores (dearest: size of the error): part of the grid")
    show(mean.reset_index())
    print(f"\nmean of {len(tables)} stores: mean error on the rest, every form")
    show(pd.concat([forms for _, forms in tables]).groupby("models").mean().reset_index())
    part_of(f"{len(tables)} seeds a model", pooled([found for found, _ in opened.values()]), tables_metric(opened))


def tables_metric(opened: dict[str, tuple[Results, str]]) -> str:
    """The one metric of all stores."""
    metrics = {metric for _, metric in opened.values()}
    if len(metrics) > 1:
        raise SystemExit(f"the stores have different metrics: {', '.join(sorted(metrics))}")
    return metrics.pop()


def pooled(parts: Sequence[Results]) -> Results:
    """One grid of several stores' runs, so that seeds of a model are averaged."""
    frames = [pd.concat([getattr(p, name) for p in parts], ignore_index=True) for name in ("runs", "train", "evals")]
    return dataclasses.replace(parts[0], runs=frames[0], train=frames[1], evals=frames[2], where="all seeds")


def every_form(results: Results, metric: str) -> pd.DataFrame:
    """A row for each number of cheapest models from six: the mean error of each form on the others, NaN where none."""
    points = law(results, metric).points.sort_values("gmacs", kind="stable").reset_index(drop=True)
    rows = []
    for k in range(6, len(points)):
        seen, rest = points.iloc[:k], points.iloc[k:]
        errors = {form.name: mean_error(form, seen, rest) for form in FORMS}
        rows.append({"models": k} | errors)
    return pd.DataFrame(rows)


def mean_error(form: AnyLaw, seen: pd.DataFrame, rest: pd.DataFrame) -> float:
    """The mean relative error of a form on models that it did not see; NaN where it cannot say all of them."""
    try:
        mean = form.fit(seen).predict(rest)["mean"].to_numpy()
    except CannotFitError:
        return float("nan")
    return float(np.mean(np.abs(mean / rest["value"].to_numpy() - 1))) if (mean > 0).all() else float("nan")


def verdict(chosen: pd.DataFrame, forms: pd.DataFrame) -> Iterator[str]:
    """In words: what compute was saved at which error, against which alternative, and where it failed."""
    good = chosen[chosen["mean error"] <= GOOD]
    if len(good):
        row = good.iloc[0]
        yield f"  {row['models']} models, {row['compute']:.0%} of the compute, are the first to predict the rest to"
        yield f"  {GOOD:.0%} on average ({row['mean error']:.1%}; a power law in compute: {row['power law']:.0%})."
        later = chosen[(chosen["models"] > row["models"]) & (chosen["mean error"] > GOOD)]
        if len(later):
            yield f"  It did not stay so: {', '.join(map(str, later['models']))} models did worse than {GOOD:.0%}."
    else:
        yield f"  FAILS: no part of the grid predicted the rest within {GOOD:.0%} on average."
    worse = chosen[chosen["mean error"] > chosen["power law"]]
    if len(worse):
        yield f"  Worse than a plain power law from {', '.join(map(str, worse['models']))} models."
    best = forms.drop(columns="models").min(axis=1).to_numpy()
    lost = chosen.loc[chosen["mean error"].to_numpy() > 2 * best, "models"]
    if len(lost):
        yield f"  From {', '.join(map(str, lost))} models another form would have erred less than half as much."
    counts = chosen["intervals held"].str.split(" of ", expand=True).astype(int).sum()
    yield f"  95 % intervals held {counts[0]} of {counts[1]} times."


def show(table: pd.DataFrame) -> None:
    """Print a table without its index, numbers short."""
    print(table.to_string(index=False, float_format=lambda v: f"{v:.3g}", na_rep="–"), flush=True)


def parts(results: Results, metric: str) -> Iterator[dict[str, object]]:
    """A row for each number of cheapest models from six."""
    whole = law(results, metric)
    points = whole.points.sort_values("gmacs", kind="stable").reset_index(drop=True)
    for k in range(6, len(points)):
        rest = points.iloc[k:]
        asked = results.runs[results.runs["model"].isin(rest["model"])].drop_duplicates("model")
        found = forecast(held_out(results, costlier_than_cheapest(whole, k)), asked, metric)
        rows = found.predictions.merge(rest[["model", "value"]], on="model")
        plain = PowerLaw().fit(points.iloc[:k]).predict(rest)["mean"] / rest["value"] - 1
        error = rows["predicted"] / rows["value"] - 1
        held = int(((rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])).sum())
        yield {
            "models": k,
            "compute": points["gmacs"].iloc[:k].sum() / points["gmacs"].sum(),
            "form": found.fit.law.name,
            "mean error": error.abs().mean(),
            "power law": plain.abs().mean(),
            "dearest": error.iloc[-1],
            "intervals held": f"{held} of {len(rows)}",
            "decades past": rows["decades"].max(),
        }


def stops(results: Results, metric: str) -> Iterator[dict[str, object]]:
    """A row a target and way of ordering: compute at which it was met, and how far off what was known then is."""
    points = law(results, metric).points.sort_values("gmacs", kind="stable")
    dearest, cheapest = str(points["model"].iloc[-1]), list(points["model"])
    exponent = standing(results, parse_target("exponent"), metric)
    rng = np.random.default_rng(0)
    width = 1.2 * (exponent.width or 1.0)
    targets = (f"exponent ±{width:.3g}", *(f"forecast:{dearest} ±{share}%" for share in (20, 30)))
    for text in targets:
        truth = exponent.value if text.startswith("exponent") else float(points["value"].iloc[-1])
        orders: dict[str, list[Sequence[str] | None]] = {"launch --until": [None], "cheapest first": [cheapest]}
        orders["random"] = [list(rng.permutation(cheapest)) for _ in range(RANDOM_ORDERS)]
        for name, tried in orders.items():
            rows = pd.DataFrame([replay(results, metric, text, order) for order in tried])
            off = (rows["value"] - truth) if text.startswith("exponent") else rows["value"] / truth - 1
            yield {
                "target": text, "order": name, "compute": rows["compute"].mean(), "models": rows["models"].mean(),
                "met": f"{rows['met'].sum()} of {len(rows)}", "off by": off.abs().mean(),
            }  # fmt: skip


def replay(results: Results, metric: str, text: str, order: Sequence[str] | None) -> dict[str, object]:
    """Run the grid model by model until the policy says that the target is met, in its order or the one given."""
    points = law(results, metric).points.set_index("model")
    runs = results.runs[results.runs["model"].isin(points.index)]
    costs = dict(zip(runs["run_id"], runs["gmacs"], strict=True))
    models = dict(zip(runs["run_id"], runs["model"], strict=True))
    policy, done, target = until(text, costs, metric), list[str](), parse_target(text)
    while len(done) < len(points) - bool(target.model):
        seen = held_out(results, [model for model in points.index if model not in done])
        seen = dataclasses.replace(seen, runs=runs.assign(state=np.where(runs["model"].isin(done), "done", "waiting")))
        if order is None:
            advice = policy(seen)
            ranked: Sequence[str] = [models[i] for i in sorted(advice.priorities, key=lambda i: -advice.priorities[i])]
            met = advice.stop
        else:
            ranked, met = order, len(done) >= ENOUGH and standing(seen, target, metric).met
        if met:
            break
        done.append(next(model for model in ranked if model not in done and model != target.model))
    now = standing(held_out(results, [model for model in points.index if model not in done]), target, metric)
    share = points.loc[done, "gmacs"].sum() / points["gmacs"].sum()
    return {"compute": share, "models": len(done), "met": now.met, "value": now.value, "width": now.width}


def coverages(count: int) -> Iterator[dict[str, object]]:
    """A row a target on planted grids of twelve models: how often it was met early, and held the truth then."""
    for text in ("exponent ±0.1", "exponent ±0.05"):
        for order in ("launch --until", "cheapest first"):
            rows = []
            for seed in range(count):
                grid = planted(seed)
                cheapest = list(law(grid, "fid").points.sort_values("gmacs")["model"])
                rows.append(replay(grid, "fid", text, cheapest if order == "cheapest first" else None))
            table = pd.DataFrame(rows)
            held = (table["value"] + 0.4).abs() <= table["width"]
            early = table["met"] & (table["models"] < 12)
            yield {
                "target": text, "order": order, "met early": early.mean(), "compute": table["compute"].mean(),
                "held, all": held.mean(), "held where stopped early": held[early].mean() if early.any() else np.nan,
            }  # fmt: skip


def planted(seed: int, exponent: float = -0.4, scatter: float = 0.15) -> Results:
    """The paper's twelve models with a FID that is a power law of their compute, each off it by `scatter` in ln FID."""
    paper, rng = twelve(), np.random.default_rng(seed)
    runs = paper.runs.rename(columns={"run_seed": "seed"}).reindex(columns=RUNS.schema.names)
    values = 100 * paper.runs["gmacs"] ** exponent * np.exp(rng.normal(0, scatter, len(paper.runs)))
    evals = paper.evals.merge(paper.runs[["run_id"]].assign(new=values), on="run_id")
    evals = evals.assign(value=evals["new"]).reindex(columns=EVALS.schema.names)
    empty = [pd.DataFrame(columns=table.schema.names) for table in (TRAIN, EVENTS)]
    return assemble(runs, empty[0], evals, empty[1], dict.fromkeys(runs["run_id"], "done"), "planted")


if __name__ == "__main__":
    try:
        main()
    except CannotFitError as error:
        raise SystemExit(str(error)) from None
