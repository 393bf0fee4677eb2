"""Forecasts of tables that have an answer, beside three simple laws: error, ratio, coverage and time of each task.

    python benchmarks/forecast_suite.py FOLDER                     each task scored with priors that do not know it
    python benchmarks/forecast_suite.py FOLDER --priors            the rows of analysis/tables/public_fits.csv
    python benchmarks/forecast_suite.py benchmarks/forecast_tables.csv     tables that nothing here was fitted to
    python benchmarks/forecast_suite.py FOLDER benchmarks/forecast_tables.csv --figure docs/forecast.png

FOLDER holds a folder a task: train.csv, test.csv with the truth, and task.json with y, x and group. The laws beside: a
power law of compute (a level per group; a curve by itself where the task's name says curve), the same with a floor, and
Hoffmann et al.'s where there are params and tokens. Errors below what a rerun moves by count as it. A file has a row a
measurement: the round in which its task was first scored, task, source, y, whether it is asked, and predictors by name;
each round has a summary of its own.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from forecast_figure import draw, rows_of
from scipy.optimize import nnls

from dit_grid.analysis.tables.any_table import TableForecast, forecast_table
from dit_grid.analysis.tables.axes import axes_of
from dit_grid.analysis.tables.mixture import mix
from dit_grid.analysis.tables.priors import kind_of, prior_of, public_fits

RERUN = {"fid": 0.02, "edm2": 0.02, "curves": 0.005}
RERUN_LOSS = 0.002
SAME_SOURCE = {"fid-repa-longer": "fid-repa-steps", "curves-vision": "curves-language"}
"""Tables of the file that come from where one of the priors' tables does, and so are scored without it."""

MOST_COUNTED = 20
"""Rows of one task that count at most towards the coverage of all."""


def main() -> None:
    """Score every task of the folder and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", type=Path, nargs="+", metavar="FOLDER|FILE")
    parser.add_argument("--priors", action="store_true")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    tasks = [task for where in asked.where for task in tasks_of(where)]
    if asked.priors:
        print(pd.DataFrame([fitted(*task) for task in tasks]).to_csv(index=False, float_format="%.4g"), end="")
        return
    rows, found = [], {}
    for name, task, train, test in tasks:
        began = time.process_time()
        blind = test.drop(columns=task["y"])
        found[name] = forecast_table(
            train, blind, task["y"], task["x"], task["group"], without=(SAME_SOURCE.get(name, name),)
        )
        told = score(name, task, train, test, found[name]) | {"cpu_s": time.process_time() - began}
        rows.append({"round": task.get("round", 0)} | told)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.4f}".format))
    for number, part in table.groupby("round"):
        print(f"{f'round {number}: ' if number else ''}{summary(part)}")
    if asked.figure:
        draw([rows_of(name, task, test, found[name].predictions) for name, task, _, test in tasks], asked.figure)


def tasks_of(where: Path) -> list[tuple[str, dict, pd.DataFrame, pd.DataFrame]]:
    """Every task of a folder of tasks, or of a file that has a row a measurement."""
    if where.is_dir():
        return [read(file.parent) for file in sorted(where.glob("*/task.json"))]
    found = []
    for name, rows in pd.read_csv(where).groupby("task", sort=False):
        y = str(rows["y"].iloc[0])
        used = (
            rows.drop(columns=["round", "task", "source", "y"]).dropna(axis=1, how="all").rename(columns={"value": y})
        )
        task = {"y": y, "x": [column for column in used if column not in ("asked", "group", y)]}
        parts = [used[used["asked"] == which].drop(columns="asked").reset_index(drop=True) for which in (0, 1)]
        more = {"group": "group" if "group" in used else None, "round": int(rows["round"].iloc[0])}
        found.append((str(name), task | more, *parts))
    return found


def read(folder: Path) -> tuple[str, dict, pd.DataFrame, pd.DataFrame]:
    """A task's name, its description, and its rows to learn from and to predict."""
    task = json.loads((folder / "task.json").read_text())
    return folder.name, task, pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")


def score(name: str, task: dict, train: pd.DataFrame, test: pd.DataFrame, found: TableForecast) -> dict:
    """A task's row of the table: our error, the baselines', and whether intervals held."""
    row = {"task": name, "rows": len(train), "asked": len(test)}
    for law in (power, floored, hoffmann):
        row[law.__name__] = error(name, task, test, beside(law, name, task, train, test))
    truth = test[task["y"]].to_numpy(float)
    low, high = found.predictions["low"].to_numpy(), found.predictions["high"].to_numpy()
    row["ours"] = error(name, task, test, found.predictions["predicted"].to_numpy())
    covered = float(np.mean((low <= truth) & (truth <= high)))
    return row | {"covered": covered, "width": float(np.exp(np.mean(np.log(high / low))))}


def summary(table: pd.DataFrame) -> str:
    """The geometric means over tasks, and how many intervals held, as text."""
    least = table["task"].map(lambda name: RERUN.get(name.split("-")[0], RERUN_LOSS))
    laws = table[["power", "floored", "hoffmann"]]
    best = laws.min(axis=1).clip(lower=least)
    plain = table["hoffmann"].fillna(table["floored"]).fillna(table["power"]).clip(lower=least)
    ours, counted = table["ours"].clip(lower=least), table["asked"].clip(upper=MOST_COUNTED)
    ratio, other = (float(np.exp(np.log(ours / base).mean())) for base in (best, plain))
    held = (table["covered"] * counted).sum() / counted.sum()
    return (
        f"answered {table['ours'].notna().sum()} of {len(table)}; error over that of the best law, picked with the "
        f"truth in hand, geometric mean {ratio:.3f}; over the law taken without looking {other:.3f}; "
        f"intervals that held {100 * held:.1f} %; {table['cpu_s'].sum():.1f} s of one core, the longest "
        f"{table['cpu_s'].max():.1f} s"
    )


def error(name: str, task: dict, test: pd.DataFrame, predicted: np.ndarray) -> float:
    """Mean |ln(predicted / observed)|; of curves the mean over them of the root mean square."""
    off = np.log(predicted / test[task["y"]].to_numpy(float))
    if "curve" in name:
        return float(pd.Series(off**2).groupby(test[task["group"]].to_numpy()).mean().pow(0.5).mean())
    return float(np.mean(np.abs(off)))


def beside(law, name: str, task: dict, train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """What a simple law says of the test rows, NaN where it does not apply."""
    out = np.full(len(test), np.nan)
    if "curve" not in name:
        return law(train, test, task["y"], task["x"], task["group"])
    for curve in set(test[task["group"]]):
        rows = (test[task["group"]] == curve).to_numpy()
        out[rows] = law(train[train[task["group"]] == curve], test[rows], task["y"], task["x"], None)
    return out


def power(train: pd.DataFrame, test: pd.DataFrame, y: str, x: list[str], group: str | None) -> np.ndarray:
    """A power law of compute, a level a group, at the test rows."""
    names = sorted(set(train[group])) if group else [None]

    def design(frame: pd.DataFrame) -> np.ndarray:
        level = frame[group].to_numpy()[:, None] == np.array(names) if group else np.ones((len(frame), 1))
        return np.column_stack([level, np.log(compute_of(frame, x))]).astype(float)

    fit = np.linalg.lstsq(design(train), np.log(train[y].to_numpy(float)), rcond=None)[0]
    return np.exp(design(test) @ fit)


def compute_of(frame: pd.DataFrame, x: list[str]) -> np.ndarray:
    """The compute-like column; where that is of one step, as a size is, and there are steps, times those."""
    column = next(c for c in ("flops", "compute", "gflops", "examples", "params", "steps") if c in x)
    a_step = column in ("gflops", "params") and "steps" in x
    return frame[column].to_numpy(float) * (frame["steps"].to_numpy(float) if a_step else 1.0)


def floored(train: pd.DataFrame, test: pd.DataFrame, y: str, x: list[str], group: str | None) -> np.ndarray:
    """A power law with a floor, at the test rows."""

    def at(share: float) -> tuple[float, float]:
        floor = share * float(train[y].min())
        shifted = train.assign(**{y: train[y] - floor})
        off = np.log(power(shifted, train, y, x, group) + floor) - np.log(train[y].to_numpy(float))
        return float(off @ off), floor

    floor = min(map(at, np.linspace(0, 0.995, 200)))[1]
    return power(train.assign(**{y: train[y] - floor}), test, y, x, group) + floor


def hoffmann(train: pd.DataFrame, test: pd.DataFrame, y: str, x: list[str], group: str | None) -> np.ndarray:
    """Chinchilla's law of parameters and tokens, at the test rows; NaN without those."""
    if not {"params", "tokens"} <= set(x):
        return np.full(len(test), np.nan)
    mean = train[["params", "tokens"]].mean()

    def design(frame: pd.DataFrame, a: float, b: float) -> np.ndarray:
        n, d = (frame[c].to_numpy(float) / mean[c] for c in ("params", "tokens"))
        return np.column_stack([np.ones_like(n), n**-a, d**-b])

    def at(a: float, b: float) -> tuple:
        k, off = nnls(design(train, a, b) / train[y].to_numpy(float)[:, None], np.ones(len(train)))
        return off, a, b, tuple(k)

    grid = np.linspace(0.1, 0.9, 41)
    _, a, b, k = min(at(a, b) for a in grid for b in grid)
    return design(test, a, b) @ k


def fitted(name: str, task: dict, train: pd.DataFrame, test: pd.DataFrame) -> dict:
    """Exponent, floor share, noise and misfit of a whole table, posterior means under the anchors alone."""
    rows, y, x = pd.concat([train, test], ignore_index=True), task["y"], tuple(task["x"])
    prior = prior_of(kind_of(y), tuple(public_fits()["table"]))
    found = []
    for _, part in rows.groupby(task["group"]) if task["group"] else [("", rows)]:
        axes = axes_of(part, part[:1], x)
        ones = np.ones((len(part), 1))
        mixture = mix(np.log(part[y].to_numpy(float)), axes, prior, ones, ones[:1], 1.0)
        fit = mixture.posteriors["sum of powers" if "size" in axes.named else "power of compute"]
        w = np.exp(fit.log_weight - fit.log_evidence)
        exponents = fit.theta[:, 1:3].mean(1) if "size" in axes.named else fit.theta[:, 1]
        found.append([np.exp(w @ exponents), w @ fit.floor, np.exp(w @ np.log(fit.noise)), w @ fit.misfit])
    exponent, floor, noise, misfit = np.exp(np.mean(np.log(np.maximum(found, 1e-4)), 0))
    return {"table": name, "kind": kind_of(y), "exponent": exponent, "floor": floor, "noise": noise, "misfit": misfit}


if __name__ == "__main__":
    main()
