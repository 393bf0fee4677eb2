"""A grid's results as tidy pandas frames, costs joined to every row, and one table with a row per run.

What is here reads the exactly-once view of a store and never writes. What a column of the store means is
`dit_grid.experiments.store.records`; fits and figures take the frames made here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import pandas as pd

from dit_grid.analysis.results.metric_names import declare
from dit_grid.model.accounting import TRAINING_FORWARDS

RUN_FACTS = (
    *("model", "size", "patch", "block", "image_size", "width", "depth", "heads"),
    *("tokens", "params", "forward_macs", "gmacs", "batch", "steps", "run_seed", "dataset", "recipe"),
)
"""Columns of `Results.runs` that `evals` and `train` rows carry too; `run_seed` is the run's own seed."""

COUNTS = ("image_size", "width", "depth", "heads", "tokens", "params", "forward_macs", "batch")
"""Columns of `Results.runs` that a trainer of one's own may leave open."""

_NOT_RECIPE = ("seed", "evaluate", "model", "cost", "metrics", "label")
"""Parts of a spec that a recipe leaves out: the seed, what was measured along the way, and the network itself, whose
size and patch a law varies and whose other fields have columns of their own."""


class NotMeasuredError(ValueError):
    """What was asked for is not in the results (yet); the message says what it needs."""


@dataclass(frozen=True)
class Results:
    """Four tidy frames of one store.

    `runs` has one row a run, in order of size then patch, with `gmacs` (forward multiply-accumulates of one image
    / 1e9, the paper's Gflops), `state`: the latest attempt's outcome, "started" without one, "waiting" before any, and
    `recipe`: a hash of how it was trained, the same for replicates.
    `train` and `evals` carry RUN_FACTS and `train_gmacs` (training compute up to the row's step, GMACs: 3 x batch x
    step x gmacs). `events` is the scheduler's journal.
    """

    runs: pd.DataFrame
    train: pd.DataFrame
    evals: pd.DataFrame
    events: pd.DataFrame
    where: str = ""

    def _repr_html_(self) -> str:
        """What Jupyter shows: a line, and the results table."""
        table = results_table(self).to_html(index=False, float_format="{:.4g}".format, na_rep="", max_rows=40)
        return f"<p>{escape(repr(self))}</p>{table}"

    def __repr__(self) -> str:
        states = ", ".join(f"{n} {state}" for state, n in self.runs["state"].value_counts().items())
        return f"Results({self.where!r}: {len(self.runs)} runs ({states}), {len(self.evals)} evaluation rows)"


def load(where: str) -> Results:
    """The results at a store path or URL, whatever is there so far; raises what `Store.open` raises."""
    from dit_grid.experiments.store import Store  # frames made elsewhere need no store, pyarrow or fsspec

    store = Store.open(where)
    runs, train, evals, events = (
        table.to_pandas() for table in (store.runs(), store.train(), store.evals(), store.events())
    )
    states = {run_id: state.outcome or "started" for run_id, state in store.states().items()}
    return assemble(runs, train, evals, events, states, str(where))


def assemble(
    runs: pd.DataFrame,
    train: pd.DataFrame,
    evals: pd.DataFrame,
    events: pd.DataFrame,
    states: Mapping[str, str],
    where: str = "",
) -> Results:
    """Results from frames with the columns of `experiments.records`, and run id -> state (without one: "waiting")."""
    runs = numbered(runs.rename(columns={"seed": "run_seed"}))
    runs = runs.assign(gmacs=runs["forward_macs"] / 1e9)
    declare(runs["spec"])
    runs["state"] = [str(states.get(run_id, "waiting")) for run_id in runs["run_id"]]
    runs["recipe"] = [_recipe(spec) for spec in runs["spec"]]
    runs = in_grid_order(runs)
    return Results(runs, _with_costs(train, runs), _with_costs(evals, runs), events, where)


def numbered(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows with numbers for what a trainer of one's own does not have: patch 0, and what nobody knows NaN."""
    unknown = {name: runs[name].astype(float) for name in COUNTS if name in runs and runs[name].isna().any()}
    if runs["patch"].isna().any():
        runs = runs.assign(patch=runs["patch"].astype(float).fillna(0).astype("int64"))
    return runs.assign(**unknown)


def own_update_gmacs(runs: pd.DataFrame) -> "pd.Series[float]":
    """Training GMACs of an update of each run, where the spec of one's own trainer says them; else NaN."""

    def said(spec: object) -> float:
        cost = json.loads(spec).get("cost") if isinstance(spec, str) and spec else None
        return float((cost or {}).get("train_gmacs") or "nan")

    return pd.Series([said(spec) for spec in runs["spec"]], runs.index, dtype=float) / runs["steps"]


def _recipe(spec: object) -> str:
    """A short hash of a spec given as JSON, without the parts of _NOT_RECIPE; empty where there is no spec."""
    if not isinstance(spec, str) or not spec:
        return ""
    kept = {name: value for name, value in json.loads(spec).items() if name not in _NOT_RECIPE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def in_grid_order(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows from the smallest size to the largest, within it from the coarsest patch, as in the paper's Table 4."""
    frame = frame.reset_index(drop=True)
    largest_by = next((name for name in ("params", "gmacs") if name in frame and frame[name].notna().any()), "params")
    rank = frame.groupby("size")[largest_by].transform("median")
    keys = frame.assign(_rank=rank, _coarse=-frame["patch"])
    by = ["_rank", "_coarse", *(c for c in ("run_seed", "run_id") if c in frame)]
    return frame.loc[keys.sort_values(by, kind="stable").index].reset_index(drop=True)


def _with_costs(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    joined = rows.merge(runs[["run_id", *RUN_FACTS]], on="run_id").sort_values(["run_id", "step"], kind="stable")
    train_gmacs = TRAINING_FORWARDS * joined["batch"] * joined["step"] * joined["gmacs"]
    said = joined["run_id"].map(dict(zip(runs["run_id"], own_update_gmacs(runs), strict=True)))
    train_gmacs = train_gmacs.where(said.isna(), said * joined["step"])
    return joined.assign(train_gmacs=train_gmacs).reset_index(drop=True)


def main_protocol(evals: pd.DataFrame, metric: str) -> str | None:
    """The evaluation setting of a metric that most runs have; of equals, the one with the most samples, then the most
    sampler steps, then by name.

    Values under different settings are not comparable, so every table, fit and figure keeps to one.
    """
    rows = evals[evals["metric"] == metric]
    if rows.empty:
        return None
    settings = rows.groupby("protocol").agg(
        runs=("run_id", "nunique"), samples=("samples", "max"), steps=("sampler_steps", "max")
    )
    order = ["runs", "samples", "steps", "protocol"]
    ranked = settings.reset_index().sort_values(order, ascending=[False, False, False, True])
    return str(ranked["protocol"].iloc[0])


def metric_rows(results: Results, metric: str, protocol: str | None = None) -> pd.DataFrame:
    """The evaluation rows of one metric under one protocol (by default the main one).

    Raises:
        NotMeasuredError: the metric, or the protocol, is not in the store; the message lists what is.
    """
    evals = results.evals
    chosen = protocol or main_protocol(evals, metric)
    rows = evals[(evals["metric"] == metric) & (evals["protocol"] == chosen)]
    if rows.empty:
        have = sorted(set(evals["metric"])) or ["nothing yet"]
        under = f" under protocol {protocol!r}" if protocol else ""
        raise NotMeasuredError(
            f"no {metric!r} values{under} in {results.where or 'these results'}; measured: {', '.join(have)}"
        )
    return rows


def final_rows(results: Results, metric: str, protocol: str | None = None) -> pd.DataFrame:
    """Of `metric_rows`, those at the last step that the run asks for: one row a finished run."""
    rows = metric_rows(results, metric, protocol)
    return rows[rows["step"] == rows["steps"]]


def results_table(results: Results) -> pd.DataFrame:
    """One row a run: what it is and costs, its state, how far it is, its latest loss and its latest metrics.

    A metric's column holds the value at the run's latest evaluated step (`evaluated_at`) under the main protocol.
    """
    what = ["run_id", "model", "size", "patch", "block", "run_seed"]
    table = (
        results.runs[[*what, "params", "tokens", "gmacs", "batch", "state", "steps"]]
        .rename(columns={"run_seed": "seed"})
        .set_index("run_id")
    )
    progress = results.train.groupby("run_id")[["step", "loss", "steps_per_s"]].last()
    table = table.join(progress).join(_latest_metrics(results))
    table["step"] = table["step"].fillna(0).astype("int64")
    if (table["patch"] == 0).all():  # all of a trainer of one's own, which has no blocks and patches
        unknown = [name for name in ("params", "tokens", "gmacs", "batch") if table[name].isna().all()]
        table = table.drop(columns=["size", "patch", "block", *unknown])
    return table.reset_index()


def _latest_metrics(results: Results) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {}
    for metric in sorted(set(results.evals["metric"])):
        columns[metric] = metric_rows(results, metric).groupby("run_id")["value"].last()
    columns["evaluated_at"] = results.evals.groupby("run_id")["step"].max()
    return pd.DataFrame(columns)
