"""What `plan` shows beside the price: every metric that each run is expected to reach, and how that is known.

From the spec's own store once it holds enough results; for the paper's own models what the paper printed, and for
others of its family the paper's law. With neither there is nothing to show.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dit_grid.experiments.spec import ExperimentSpec, RunSpec
from dit_grid.experiments.store import NotAStoreError
from dit_grid.model.plurals import counted

if TYPE_CHECKING:
    from dit_grid.analysis import Results

PAPER = {"block": "adaln-zero", "image_size": 32, "channels": 4, "classes": 1000, "batch": 256, "steps": 400_000}
"""What the twelve models of Table 4 share; the law says nothing about others."""


LEAST_DONE = 6
"""Runs of a store that must be done before a law of them is asked."""


@dataclass(frozen=True)
class Expectation:
    """A metric's expected final value with its 95 % interval (None for a printed value), and its source."""

    metric: str
    value: float
    low: float | None
    high: float | None
    source: str

    def to_text(self) -> str:
        """The value, with its interval where it has one."""
        interval = "" if self.low is None or self.high is None else f" ({self.low:.3g}–{self.high:.3g})"
        return f"{self.value:.4g}{interval}"


Expectations = dict[str, dict[str, Expectation]]
"""Run id -> metric -> what is expected, the metric of the law first."""


def expectations(spec: ExperimentSpec) -> Expectations:
    """Return what is expected of each run, for the runs and metrics of which something can be said."""
    found = _from_store(spec)
    missing = [run for run in spec.networks if run.id not in found and _is_papers(run)]
    return found | (_from_paper(missing) if missing else {})


def has_expectations(spec: ExperimentSpec) -> bool:
    """Return whether anything may be expected, which takes the analysis; a plan without it need not wait for pandas."""
    return _has_law(spec) or any(map(_is_papers, spec.networks))


def _has_law(spec: ExperimentSpec) -> bool:
    """Whether enough runs of the store are done: there is no law of fewer."""
    from dit_grid.experiments.store import Store

    try:
        states = Store.open(spec.store).states()
    except NotAStoreError:
        return False
    return sum(state.outcome == "done" for state in states.values()) >= LEAST_DONE


def _from_store(spec: ExperimentSpec) -> Expectations:
    """Forecasts of the models that have no final value yet, from those that have, of each metric that has a law."""
    if not _has_law(spec):
        return {}
    from dit_grid.analysis import load, main_metric
    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.results.frames import NotMeasuredError

    results = load(spec.store)
    measured = {str(name) for name in results.evals["metric"]}
    found: Expectations = {}
    for metric in sorted(measured, key=lambda name: (name != main_metric(measured), name)):
        try:
            forecasts = _forecasts(spec, results, metric, f"{spec.store}")
        except (CannotFitError, NotMeasuredError):
            continue
        for run_id, one in forecasts.items():
            found.setdefault(run_id, {})[metric] = one
    return found


def _forecasts(spec: ExperimentSpec, results: "Results", metric: str, source: str) -> dict[str, Expectation]:
    from dit_grid.analysis import forecast, law
    from dit_grid.orchestrator.advice.candidates import in_family, spec_frame

    points = law(results, metric).points
    frame = in_family(spec_frame(spec, spec.runs), results, points)
    frame = frame[~frame["model"].isin(points["model"])].drop_duplicates("model")
    if frame.empty:
        return {}
    found = forecast(results, frame, metric)
    rows = {row["model"]: row for row in found.predictions.to_dict("records")}
    text = f"{found.fit.law.name} on {counted(found.fit.n, 'model')} of {source}"
    return {
        run.id: Expectation(metric, row["predicted"], row["low"], row["high"], text)
        for run in spec.runs if (row := rows.get(run.model.name)) is not None
    }  # fmt: skip


def _is_papers(run: RunSpec) -> bool:
    facts = run.model.model_dump() | {"batch": run.train.batch, "steps": run.train.steps}
    same = all(facts[name] == value for name, value in PAPER.items())
    return same and "imagenet" in run.data.name and any("fid" in setting.metrics for setting in run.evaluate.settings)


def _from_paper(runs: list[RunSpec]) -> Expectations:
    """What Table 4 printed, where the network is the paper's; else its law."""
    from dit_grid.analysis import forecast
    from dit_grid.analysis.forecasting.candidates import named_models
    from dit_grid.analysis.paper.selections import twelve
    from dit_grid.model.config import SIZES

    results = twelve()
    found: Expectations = {}
    printed = results.evals.set_index("model")["value"]
    others = {}
    for run in runs:
        if run.model.name in printed.index and _shape(run) == tuple(SIZES[run.model.size]):
            value = float(printed[run.model.name])
            found[run.id] = {"fid": Expectation("fid", value, None, None, "the paper, Table 4")}
        else:
            others[run.id] = f"{run.model.width}x{run.model.depth}x{run.model.heads}/{run.model.patch}"
    if others:
        law = forecast(results, named_models(others.values(), results), "fid")
        rows = {row["model"]: row for row in law.predictions.to_dict("records")}
        for run_id, name in others.items():
            row, source = rows[name], f"{law.fit.law.name} on the paper's {counted(law.fit.n, 'model')}"
            found[run_id] = {"fid": Expectation("fid", row["predicted"], row["low"], row["high"], source)}
    return found


def _shape(run: RunSpec) -> tuple[int, int, int]:
    return run.model.depth, run.model.width, run.model.heads
