"""A grid's results as tidy pandas frames, costs joined to every row, and one table with a row per run.

What is here reads the exactly-once view of a store and never writes. What a column of the store means is
`dit_grid.experiments.store.records`; fits and figures take the frames made here.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from dit_grid.analysis.fits.usable import described, is_usable
from dit_grid.analysis.results.metric_names import declare, metric_named
from dit_grid.analysis.results.protocols import main_protocol
from dit_grid.analysis.results.recipes import with_recipes
from dit_grid.analysis.results.unknown import completed, has_own_trainer, update_gmacs
from dit_grid.experiments.spec.swept import swept_settings
from dit_grid.model.plurals import counted

if TYPE_CHECKING:
    from dit_grid.experiments.store import RunState, Store

RUN_FACTS = (
    *("model", "size", "patch", "block", "image_size", "width", "depth", "heads"),
    *("tokens", "params", "forward_macs", "gmacs", "batch", "steps", "run_seed", "dataset", "recipe"),
    *("rule", "setting"),
)
"""Columns of `Results.runs` that `evals` and `train` rows carry too; `run_seed` is the run's own seed."""


class NotMeasuredError(ValueError):
    """What was asked for is not in the results (yet); the message says what it needs."""


@dataclass(frozen=True)
class Results:
    """Four tidy frames of one store.

    `runs` has one row a run, in order of size then patch, with `gmacs` (forward multiply-accumulates of one image
    / 1e9, the paper's Gflops), `state`: the latest attempt's outcome, "started" without one, "waiting" before any,
    `recipe`: a hash of how it was trained, the same for replicates, `rule` and `setting` (`recipes`), and a column for
    each setting that the runs were swept over, under its dotted name in the spec (`swept_columns`). `failure` is the
    class of what ended a failed run ("nan" where it diverged), empty without.
    `train` and `evals` carry those, RUN_FACTS and `train_gmacs` (training compute up to the row's step, GMACs: 3 x
    batch x step x gmacs). `events` is the scheduler's journal.
    """

    runs: pd.DataFrame
    train: pd.DataFrame
    evals: pd.DataFrame
    events: pd.DataFrame
    where: str = ""

    def _repr_html_(self) -> str:
        """What Jupyter shows: a line, and the results table."""
        table = run_table(self).to_html(index=False, float_format="{:.4g}".format, na_rep="", max_rows=40)
        return f"<p>{escape(repr(self))}</p>{table}"

    def __repr__(self) -> str:
        states = ", ".join(f"{n} {state}" for state, n in self.runs["state"].value_counts().items())
        runs, rows = counted(len(self.runs), "run"), counted(len(self.evals), "evaluation row")
        return f"Results({self.where!r}: {runs} ({states}), {rows})"


def load(where: str) -> Results:
    """The results at a store path or URL, whatever is there so far; raises what `Store.open` raises."""
    from dit_grid.experiments.store import Store  # frames made elsewhere need no store, pyarrow or fsspec

    store = Store.open(where)
    runs, train, evals, events = (
        table.to_pandas() for table in (store.runs(), store.train(), store.evals(), store.events())
    )
    found = store.states()
    states = {run_id: state.outcome or "started" for run_id, state in found.items()}
    return assemble(runs, train, evals, events, states, str(where), _failures(store, found.values()))


def _failures(store: "Store", states: Iterable["RunState"]) -> dict[str, str]:
    """Run id -> the class of what ended it, of the runs that failed; of one whose record is damaged none is known."""
    from dit_grid.experiments.store.errors import DamagedFileError

    found: dict[str, str] = {}
    for state in (state for state in states if state.outcome == "failed"):
        with suppress(DamagedFileError):  # `store check` and the report say so; numbers are read without it
            found[state.run_id] = str(store.details([state])[0].get("class", ""))
    return found


def assemble(
    runs: pd.DataFrame,
    train: pd.DataFrame,
    evals: pd.DataFrame,
    events: pd.DataFrame,
    states: Mapping[str, str],
    where: str = "",
    failures: Mapping[str, str] | None = None,
) -> Results:
    """Results from frames with the columns of `experiments.records`, and run id -> state (without one: "waiting").

    `failures` is run id -> the class of what ended it, of those that failed.
    """
    runs = completed(runs, train, evals)
    runs = runs.rename(columns={"seed": "run_seed"}).assign(gmacs=runs["forward_macs"] / 1e9)
    runs["state"] = [str(states.get(run_id, "waiting")) for run_id in runs["run_id"]]
    specs = [_spec(text) for text in runs["spec"]]
    declare(spec for spec in specs if spec)
    runs["spec"] = ["" if spec is None else text for spec, text in zip(specs, runs["spec"], strict=True)]
    runs["failure"] = [(failures or {}).get(run_id, "") for run_id in runs["run_id"]]
    runs = _with_swept(runs, specs)
    runs = in_grid_order(with_recipes(runs, specs, swept_columns(runs)))
    return Results(runs, _with_costs(train, runs), _with_costs(evals, runs), events, where)


def swept_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a frame that are settings which its runs were swept over: those with a dot in their name."""
    return [str(name) for name in frame.columns if "." in str(name)]


def _with_swept(runs: pd.DataFrame, specs: list[dict[str, Any] | None]) -> pd.DataFrame:
    swept = swept_settings([spec or {} for spec in specs])
    columns = {name: [_cell(row[name]) for row in swept] for name in (swept[0] if swept else {})}
    dotted = {name if "." in name else f"spec.{name}": values for name, values in columns.items()}
    return runs.assign(**{name: values for name, values in dotted.items() if name not in runs})


def _cell(value: Any) -> Any:
    """A setting as a cell: lists and mappings as JSON, so that a table can group by them."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _spec(text: object) -> dict[str, Any] | None:
    """A run's spec; None where there is none, or text that is no JSON object: of an imported run nobody checked it."""
    try:
        spec = json.loads(text) if isinstance(text, str) and text else None
    except (ValueError, RecursionError):
        return None
    return spec if isinstance(spec, dict) else None


def objective_of(spec: object) -> str:
    """The words of the objective of a spec given as JSON; empty of imported runs and own trainers, which have none."""
    held = _spec(spec)
    if held is None or not {"imported_from", "trainer"}.isdisjoint(held):
        return ""
    from dit_grid.experiments.spec.objective import DiffusionSpec  # pydantic; frames made elsewhere need none

    try:
        return DiffusionSpec.model_validate(held.get("diffusion", {})).words
    except ValueError:  # another program's spec
        return ""


def has_several_objectives(runs: pd.DataFrame) -> bool:
    """Whether runs that say so were trained on more than one objective."""
    return len({objective_of(spec) for spec in runs["spec"]} - {""}) > 1


def in_grid_order(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows from the smallest size to the largest, within it from the coarsest patch, as in the paper's Table 4."""
    frame = frame.reset_index(drop=True)
    largest_by = next((name for name in ("params", "gmacs") if name in frame and frame[name].notna().any()), "params")
    rank = frame.groupby("size")[largest_by].transform("median")
    keys = frame.assign(_rank=rank, _coarse=-frame["patch"])
    swept = swept_columns(frame)
    keys = keys.assign(**{name: _ordered(frame[name]) for name in swept})
    by = ["_rank", "_coarse", *swept, *(c for c in ("run_seed", "run_id") if c in frame)]
    return frame.loc[keys.sort_values(by, kind="stable").index].reset_index(drop=True)


def _ordered(column: pd.Series) -> pd.Series:
    """Ranks by which a swept setting sorts, numbers by size, whatever else it mixes by its text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().sum() == column.notna().sum() else column.astype(str).rank(method="dense")


def _with_costs(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    joined = rows.merge(runs[["run_id", *RUN_FACTS, *swept_columns(runs)]], on="run_id").sort_values(
        ["run_id", "step"], kind="stable"
    )
    of_update = dict(zip(runs["run_id"], update_gmacs(runs), strict=True))
    return joined.assign(train_gmacs=joined["run_id"].map(of_update) * joined["step"]).reset_index(drop=True)


def metric_rows(results: Results, metric: str, protocol: str | None = None) -> pd.DataFrame:
    """Of `measured_rows`, those with a value that can be drawn and fitted (see `usable`).

    Raises:
        NotMeasuredError: there is none; the message says what there is.
    """
    rows, positive = measured_rows(results, metric, protocol), metric_named(metric).log
    kept = rows[is_usable(rows["value"], positive)]
    if kept.empty:
        raise NotMeasuredError(f"nothing to draw or fit: {described(rows, 'value', metric, positive)}")
    return kept


def measured_rows(results: Results, metric: str, protocol: str | None = None) -> pd.DataFrame:
    """The evaluation rows of one metric under one protocol (by default the main one), whatever their values.

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


def run_table(results: Results) -> pd.DataFrame:
    """One row a run: what it is and costs, its state, how far it is, its latest loss and its latest metrics.

    Settings that the runs were swept over follow the seed, under their names in the spec. A metric's column holds the
    value at the run's latest evaluated step (`evaluated_at`) under the main protocol: NaN where it was NaN, or where
    this metric was not measured then. `loss` and `steps_per_s` are those of `step`, likewise. Where the grid has
    several objectives, `objective` says which, in words, and the main protocol is that of each.
    """
    what = ["run_id", "model", "size", "patch", "block", "run_seed", *swept_columns(results.runs)]
    runs = results.runs.assign(objective=[objective_of(spec) for spec in results.runs["spec"]])
    if has_several_objectives(runs):
        what.insert(what.index("run_seed"), "objective")
    table = (
        runs[[*what, "params", "tokens", "gmacs", "batch", "state", "steps"]]
        .rename(columns={"run_seed": "seed"})
        .set_index("run_id")
    )
    progress = _last_rows(results.train).set_index("run_id")[["step", "loss", "steps_per_s"]]
    table = table.join(progress).join(_latest_metrics(results))
    table["step"] = table["step"].fillna(0).astype("int64")
    if has_own_trainer(table).all():  # which have no blocks and patches
        unknown = [name for name in ("params", "tokens", "gmacs", "batch") if table[name].isna().all()]
        table = table.drop(columns=["size", "patch", "block", *unknown])
    return table.reset_index()


def _latest_metrics(results: Results) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {}
    newest = results.evals.groupby("run_id")["step"].max()
    for metric in sorted(set(results.evals["metric"])):
        rows = pd.concat([measured_rows(part, metric) for part in _by_objective(results, metric)])
        at_newest = rows[rows["step"] == rows["run_id"].map(newest)]
        columns[metric] = _last_rows(at_newest).set_index("run_id")["value"]
    columns["evaluated_at"] = newest
    return pd.DataFrame(columns)


def _by_objective(results: Results, metric: str) -> list[Results]:
    """The results of each objective that has the metric: samplers, and so protocols, go with objectives."""
    if not has_several_objectives(results.runs):
        return [results]
    words = results.runs["spec"].map(objective_of)
    evals = results.evals[results.evals["metric"] == metric]
    own = [evals[evals["run_id"].isin(runs["run_id"])] for _, runs in results.runs.groupby(words, sort=False)]
    return [replace(results, evals=part) for part in own if len(part)]


def _last_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The last row of each run as it is; `groupby.last` would put finite values of earlier rows in place of NaN."""
    return rows.drop_duplicates("run_id", keep="last")
