"""Which rows of a public table to measure next: what is known of the dear rows after a share of the budget, by rule.

    python benchmarks/next_rows.py FOLDER/loss-data-constrained --cost params,tokens
    python benchmarks/next_rows.py FOLDER/loss-porian-tuned-rw --cost params,tokens --shares 0.01,0.1
    python benchmarks/next_rows.py --paper

FOLDER/TASK holds train.csv, whose rows are for sale at the product of the columns of --cost; test.csv, whose rows are
to be known and are not for sale; and task.json with y, x and group. Every rule begins with the three cheapest rows, and
buys until the share of what all rows cost is spent: the cheapest first; at random (mean of five); the least mean
squared prediction error over the dear rows, chosen once (V-optimal); the same chosen again after every fifth of the
budget. What was bought is forecast by the same mixture. Prints R² of the dear rows and the mean |ln(predicted /
observed)|. The paper's twelve models are priced by their compute; the three dearest are the dear ones.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dit_grid.analysis.tables import forecast_table, next_rows

FIRST, PARTS, DRAWS = 3, 5, 5


class Market(NamedTuple):
    """What is for sale with its costs, what is to be known, and the columns."""

    name: str
    sold: pd.DataFrame
    costs: np.ndarray
    dear: pd.DataFrame
    y: str
    x: list[str]
    group: str | None


def main() -> None:
    """Print a row a share and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--cost", default="", help="columns whose product a row costs")
    parser.add_argument("--shares", default="0.01,0.03,0.1", help="shares of the whole cost to spend")
    parser.add_argument("--paper", action="store_true")
    asked = parser.parse_args()
    market = paper() if asked.paper else public(asked.folder, asked.cost.split(","))
    print(f"{market.name}: {len(market.sold)} rows for sale, {len(market.dear)} to be known", flush=True)
    for share in map(float, asked.shares.split(",")):
        budget = share * market.costs.sum()
        rules = {"cheapest": [cheapest(market, budget)], "V-optimal once": [optimal(market, budget, 1)],
                 "V-optimal again": [optimal(market, budget, PARTS)],
                 "random": [at_random(market, budget, seed) for seed in range(DRAWS)]}  # fmt: skip
        for rule, draws in rules.items():
            r2, error, rows = np.mean([(*score(market, rows), len(rows)) for rows in draws], 0)
            print(f"{share:6.1%}  {rule:16} {rows:5.1f} rows  R2 {r2:6.2f}  error {error:.4f}", flush=True)


def public(folder: Path, cost: list[str]) -> Market:
    """The market of a task's folder."""
    task = json.loads((folder / "task.json").read_text())
    sold, dear = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    return Market(folder.name, sold, sold[cost].prod(axis=1).to_numpy(float), dear, task["y"], task["x"], task["group"])


def paper() -> Market:
    """The paper's twelve models by size and tokens, the three dearest to be known."""
    from dit_grid.analysis import law
    from dit_grid.analysis.paper.selections import twelve

    points = law(twelve(), "fid").points.sort_values("gmacs")[["params", "tokens", "gmacs", "value"]]
    points.columns = ["params", "tokens", "gflops", "fid"]
    sold = points.iloc[:-3].reset_index(drop=True)
    return Market("paper", sold, sold["gflops"].to_numpy(float), points.iloc[-3:], "fid", ["params", "gflops"], None)


def begun(market: Market, budget: float) -> tuple[list[int], float]:
    """The three cheapest rows, and what is left; they are bought even where they cost more."""
    rows = np.argsort(market.costs, kind="stable")[:FIRST].tolist()
    return rows, budget - market.costs[rows].sum()


def cheapest(market: Market, budget: float) -> list[int]:
    """The cheapest rows that the budget holds."""
    rows, left = begun(market, budget)
    order = np.argsort(market.costs, kind="stable")[FIRST:]
    return rows + order[np.cumsum(market.costs[order]) <= left].tolist()


def at_random(market: Market, budget: float, seed: int) -> list[int]:
    """Rows in a random order, each that still fits."""
    rows, left = begun(market, budget)
    for row in np.random.default_rng(seed).permutation(len(market.costs)).tolist():
        if row not in rows and market.costs[row] <= left:
            rows.append(row)
            left -= market.costs[row]
    return rows


def optimal(market: Market, budget: float, parts: int) -> list[int]:
    """Rows by expected mean squared error over the dear rows, asked again after each part of the budget."""
    rows, left = begun(market, budget)
    for part in range(parts):
        others = np.setdiff1d(np.arange(len(market.costs)), rows)
        if not len(others) or left <= 0:
            break
        seen, candidates = market.sold.iloc[rows], market.sold.iloc[others]
        blind = market.dear.drop(columns=market.y)
        found = next_rows(
            seen, candidates, blind, market.y, market.x, market.costs[others], left / (parts - part), market.group,
            without=(market.name,),
        )  # fmt: skip
        new = others[found.rows.loc[found.rows["bought"].notna(), "row"].to_numpy(int)].tolist()
        rows += new
        left -= market.costs[new].sum()
    return rows


def score(market: Market, rows: list[int]) -> tuple[float, float]:
    """R² of the dear rows' values, and the mean |ln(predicted / observed)|, from the rows bought."""
    blind, truth = market.dear.drop(columns=market.y), market.dear[market.y].to_numpy(float)
    found = forecast_table(market.sold.iloc[rows], blind, market.y, market.x, market.group, without=(market.name,))
    predicted = found.predictions["predicted"].to_numpy()
    r2 = 1 - ((predicted - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    return float(r2), float(np.abs(np.log(predicted / truth)).mean())


if __name__ == "__main__":
    main()
