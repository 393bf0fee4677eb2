"""Forecasts and stopping rules tried on grids whose answers are known: the paper's table, a store, planted laws.

    uv run python benchmarks/backtest_forecast.py                    the paper and planted grids, some minutes
    uv run python benchmarks/backtest_forecast.py results/digits     also a finished grid of your own
    uv run python benchmarks/backtest_forecast.py --planted 20       fewer planted grids, for a look

Prints three tables. *Part of the grid*: from the k cheapest models, the form that `forecast` picks without seeing the
others, its mean error on them beside a power law's, how many 95 % intervals held, and the share of the grid's
training compute that the k models cost. *Stopping*: compute spent until a target was met with the runs in the order
that `launch --until` gives, cheapest first, and at random (mean of 8), and the error of what was then known.
*Planted*: how often the interval at which the rule stopped holds the truth (nominal 95 %), since stopping on a narrow
interval favours lucky ones.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from dit_grid.analysis import Results, law, load, main_metric
from dit_grid.analysis.fits import CannotFitError, PowerLaw
from dit_grid.analysis.paper.report import twelve
from dit_grid.analysis.prediction import costlier_than_cheapest, forecast, held_out
from dit_grid.analysis.results import assemble
from dit_grid.analysis.target import ENOUGH, parse_target, standing
from dit_grid.experiments.records import EVALS, EVENTS, RUNS, TRAIN
from dit_grid.orchestrator.until import until

RANDOM_ORDERS = 8


def main() -> None:
    """Run the back-tests that the command line asks for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="*", help="finished stores to try it on")
    parser.add_argument("--planted", type=int, default=300, help="planted grids (default 300)")
    asked = parser.parse_args()
    grids = {"the paper, Table 4": (twelve(), "fid")}
    for where in asked.stores:
        results = load(where)
        grids[where] = (results, main_metric(set(results.evals["metric"])) or "")
    for name, (results, metric) in grids.items():
        print(f"\n{name}, {metric}: part of the grid")
        show(pd.DataFrame(parts(results, metric)))
        print(f"\n{name}, {metric}: stopping")
        show(pd.DataFrame(stops(results, metric)))
    print(f"\n{asked.planted} planted grids: coverage where the rule stopped")
    show(pd.DataFrame(coverages(asked.planted)))


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
            "power law's": plain.abs().mean(),
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
