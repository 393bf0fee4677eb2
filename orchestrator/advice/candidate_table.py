"""The table of what could be bought next: a row a run that is left, another seed or a named model, with costs.

Which runs these are is `candidates`, what they would teach `suggest`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dit_grid.experiments.spec import AnyRun, ExperimentSpec, RunSpec
from dit_grid.model import accounting
from dit_grid.orchestrator.advice.candidates import (
    changed,
    hours_as_measured,
    in_family,
    named_runs,
    next_seeds,
    priced,
    settled,
    spec_frame,
)
from dit_grid.orchestrator.planning.plan import PlanRow, evaluation_macs

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Results
    from dit_grid.analysis.forecasting.target import Target

SAMPLES_FACTOR = 4.0
"""More FID samples are offered as four times as many: half of the sampling error."""


def candidate_table(
    spec: ExperimentSpec, results: "Results", target: "Target", metric: str, models: Sequence[str]
) -> "tuple[pd.DataFrame, dict[str, AnyRun]]":
    """A row a candidate with its costs, and the runs by id; the target's own model is no candidate."""
    import pandas as pd

    from dit_grid.analysis import law
    from dit_grid.analysis.forecasting.candidates import named_models
    from dit_grid.analysis.forecasting.design import ANOTHER_SEED, NEW_MODEL
    from dit_grid.analysis.results.frames import NotMeasuredError

    try:
        points = law(results, metric).points
    except NotMeasuredError:
        points = pd.DataFrame({"model": []})
    over = settled(spec, results)
    runs: list[AnyRun] = [run for run in spec.runs if run.id not in over]
    runs += named_runs(spec, named_models(models, results)) if models else []
    measured = {str(model): _seeds(spec, results, str(model)) for model in points["model"]}
    runs += next_seeds(spec.runs, measured)
    kept = {run.id: run for run in runs if run.model.name != target.model}
    kinds = [ANOTHER_SEED if run.model.name in measured else NEW_MODEL for run in kept.values()]
    frame = spec_frame(spec, kept.values()).assign(kind=kinds)
    for name, values in _columns(spec, kept, results, frame).items():
        frame[name] = pd.Series(values, dtype=float)
    samples = _more_samples(spec, [run for run in spec.networks if run.model.name in measured])
    return pd.concat([in_family(frame, results, points), samples], ignore_index=True), kept


def _seeds(spec: ExperimentSpec, results: "Results", model: str) -> list[int]:
    """Seeds of the model that were run or are asked for."""
    run = results.runs.loc[results.runs["model"] == model, "run_seed"].dropna()
    return [*map(int, run), *(run.seed for run in spec.runs if run.model.name == model)]


def _columns(
    spec: ExperimentSpec, runs: Mapping[str, AnyRun], results: "Results", frame: "pd.DataFrame"
) -> dict[str, list[float | None]]:
    """Costs of what is left of each run: one that was stopped goes on from its last logged step.

    Hours of a model whose speed nobody measured or states are those of the measured one that is nearest in size.
    """
    at = results.train.groupby("run_id")["step"].max().to_dict()
    rows = priced(spec, list(runs.values()))
    hours = [row.hours for row in rows]
    if None in hours:
        nearest = zip(rows, hours_as_measured(results, frame), strict=True)
        like = [None if one is None or not row.train_gmacs else one * (1 + row.eval_gmacs / row.train_gmacs)
                for row, one in nearest]  # fmt: skip
        hours = [known if known is not None else other for known, other in zip(hours, like, strict=True)]
    left = [1 - at.get(row.run_id, 0) / row.steps for row in rows]
    return {
        "hours": [None if one is None else one * share for one, share in zip(hours, left, strict=True)],
        "usd": [None if row.usd is None else row.usd * share for row, share in zip(rows, left, strict=True)],
        "flops": [_flops(row) * share for row, share in zip(rows, left, strict=True)],
    }


def _flops(row: PlanRow) -> float:
    return accounting.FLOPS_PER_MAC * 1e9 * ((row.train_gmacs or 0.0) + row.eval_gmacs)


def _more_samples(spec: ExperimentSpec, runs: Sequence[RunSpec]) -> "pd.DataFrame":
    """One candidate: every measured model evaluated once more, at its end, with SAMPLES_FACTOR times the samples."""
    import pandas as pd

    from dit_grid.analysis.forecasting.design import MORE_SAMPLES

    if not runs:
        return pd.DataFrame()
    rows = priced(spec, runs)
    shares = []
    for run, row in zip(runs, rows, strict=True):
        at_its_end = changed(run, evaluate=run.evaluate.model_dump() | {"every": run.train.steps})
        once = evaluation_macs(at_its_end) / 1e9
        shares.append(SAMPLES_FACTOR * once / ((row.train_gmacs or 0.0) + row.eval_gmacs))
    total: dict[str, Any] = {"flops": sum(_flops(row) * share for row, share in zip(rows, shares, strict=True))}
    for unit in ("hours", "usd"):
        values = [getattr(row, unit) for row in rows]
        total[unit] = None if None in values else sum(v * share for v, share in zip(values, shares, strict=True))
    return pd.DataFrame(
        [{"kind": MORE_SAMPLES, "model": "all measured", "run_id": "", "samples_factor": SAMPLES_FACTOR, **total}]
    )
