"""What to run next for a budget: candidates of a spec ranked by what they teach, and the YAML that launches the chosen.

The ranking is `dit_grid.analysis.forecasting.design`, prices are `plan`'s; nothing is started here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from dit_grid.experiments.spec import AnyRun, ExperimentSpec, RunSpec
from dit_grid.experiments.spec.any_run import tree
from dit_grid.model import accounting
from dit_grid.orchestrator.advice.candidates import changed, in_family, named_runs, next_seeds, priced, spec_frame
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.planning.plan import PlanRow, evaluation_macs

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Results
    from dit_grid.analysis.forecasting.design import Design
    from dit_grid.analysis.forecasting.target import Target

UNITS = {"usd": "usd", "h": "hours", "flops": "flops"}

SAMPLES_FACTOR = 4.0
"""More FID samples are offered as four times as many: half of the sampling error."""

_BUDGET = re.compile(r"\s*(?P<amount>[0-9][0-9_.,]*(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>[A-Za-z$]+)\s*")


@dataclass(frozen=True)
class Budget:
    """An amount of `usd`, `hours` (of runs one after another, as `plan` counts them) or `flops` (true: 2 a MAC)."""

    amount: float
    unit: str


@dataclass(frozen=True)
class Suggestion:
    """Candidates best first (`candidates`, with `bought` numbering those within the budget), and what they would do.

    `now` and `then` are half-widths of the target's interval, None where no law can be fitted yet. `runs` are the
    bought ones that a launch can do; `notes` says why there is no ranking, or what cannot be launched.
    """

    target: "Target"
    budget: Budget
    candidates: "pd.DataFrame"
    runs: tuple[AnyRun, ...]
    now: float | None
    then: float | None
    noise: str = ""
    notes: tuple[str, ...] = field(default=())


def parse_budget(text: str) -> Budget:
    """Return the budget in `5000usd`, `200h` or `1e21flops`; RequestError for anything else."""
    found = _BUDGET.fullmatch(text)
    unit = UNITS.get(found["unit"].lower()) if found else None
    try:
        amount = float(found["amount"].replace(",", "").replace("_", "")) if found else 0.0
    except ValueError:
        amount = 0.0
    if unit is None or not 0 < amount < float("inf"):
        raise RequestError(f"--budget {text!r}: give an amount above 0 and its unit, 5000usd, 200h or 1e21flops")
    return Budget(amount, unit)


def suggest(
    spec: ExperimentSpec, results: "Results", target: "Target", budget: Budget, metric: str, models: Sequence[str] = ()
) -> Suggestion:
    """Return the candidates ranked by expected narrowing of the target's interval per unit of the budget.

    Raises RequestError where the spec has no price for the budget's unit, and what `design_for` raises but for too few
    models: then the cells come cheapest first.
    """
    import pandas as pd

    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.forecasting.design import choose, design_for, rank
    from dit_grid.analysis.results.frames import NotMeasuredError

    table, runs = _candidates(spec, results, target, metric, models)
    table["cost"] = _costs(table, budget, spec)
    try:
        design = design_for(results, target, metric, _region(target, table))
    except (CannotFitError, NotMeasuredError) as error:
        return _cheapest_first(table, runs, target, budget, str(error))
    if not design.noise.sampling:
        table = table[table["kind"] != "more samples"].reset_index(drop=True)
    bought, reached = choose(design, table, budget.amount)
    order = {place: number for number, place in enumerate(bought, 1)}
    ranked = rank(design, table.assign(bought=pd.Series(order, dtype=float).reindex(range(len(table)))))
    launched = [runs[table["run_id"].iloc[place]] for place in bought if table["run_id"].iloc[place] in runs]
    notes = _notes(design, reached, table.iloc[bought], table)
    return Suggestion(
        target, budget, ranked, tuple(launched), design.half_width, reached.half_width, _noise(design), notes
    )


def _region(target: "Target", table: "pd.DataFrame") -> "pd.DataFrame | None":
    """The models not measured, each once, where the target is all of them. Raises RequestError where there is none."""
    from dit_grid.analysis.forecasting.design import NEW_MODEL
    from dit_grid.analysis.forecasting.target import REGION

    if target.what != REGION:
        return None
    models = table[table["kind"] == NEW_MODEL].drop_duplicates("model").reset_index(drop=True)
    if models.empty:
        raise RequestError("--target region: every model was measured; name others with --models")
    return models


def _candidates(
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
    done = set(results.runs.loc[results.runs["state"] == "done", "run_id"])
    runs: list[AnyRun] = [run for run in spec.runs if run.id not in done]
    runs += named_runs(spec, named_models(models, results)) if models else []
    measured = {str(model): _seeds(spec, results, str(model)) for model in points["model"]}
    runs += next_seeds(spec.runs, measured)
    kept = {run.id: run for run in runs if run.model.name != target.model}
    kinds = [ANOTHER_SEED if run.model.name in measured else NEW_MODEL for run in kept.values()]
    frame = spec_frame(spec, kept.values()).assign(kind=kinds)
    for name, values in _columns(spec, kept, results).items():
        frame[name] = pd.Series(values, dtype=float)
    samples = _more_samples(spec, [run for run in spec.networks if run.model.name in measured])
    return pd.concat([in_family(frame, results, points), samples], ignore_index=True), kept


def _seeds(spec: ExperimentSpec, results: "Results", model: str) -> list[int]:
    """Seeds of the model that were run or are asked for."""
    run = results.runs.loc[results.runs["model"] == model, "run_seed"].dropna()
    return [*map(int, run), *(run.seed for run in spec.runs if run.model.name == model)]


def _columns(spec: ExperimentSpec, runs: Mapping[str, AnyRun], results: "Results") -> dict[str, list[float | None]]:
    """Costs of what is left of each run: one that was stopped goes on from its last logged step."""
    at = results.train.groupby("run_id")["step"].max().to_dict()
    rows = priced(spec, list(runs.values()))
    left = [1 - at.get(row.run_id, 0) / row.steps for row in rows]
    return {
        "hours": [None if row.hours is None else row.hours * share for row, share in zip(rows, left, strict=True)],
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


def _costs(table: "pd.DataFrame", budget: Budget, spec: ExperimentSpec) -> "pd.Series":
    if table.empty:
        raise RequestError(
            f"{spec.file}: every run is done and no other model or seed belongs to its law; name models with --models"
        )
    if table[budget.unit].isna().any():
        fix = {"usd": "set plan.usd_per_core_hour or plan.usd_per_chip_hour, and plan.mfu where nothing was measured,"}
        what = fix.get(budget.unit, "set plan.mfu, or launch something so that a speed is measured,")
        raise RequestError(
            f"{spec.file}: no price in {budget.unit} for {budget.unit!r} budgets; {what} or give 1e21flops"
        )
    return table[budget.unit].astype(float)


def _cheapest_first(
    table: "pd.DataFrame", runs: Mapping[str, AnyRun], target: "Target", budget: Budget, why: str
) -> Suggestion:
    """Before a law can be fitted: the cells themselves, cheapest first, as many as the budget holds."""
    cells = table[table["kind"] == "new model"].sort_values("cost", kind="stable").reset_index(drop=True)
    fits = cells["cost"].cumsum() <= budget.amount
    ranked = cells.assign(bought=(cells.index + 1.0).where(fits), width_after=None, narrows=None, per_cost=None)
    chosen = tuple(runs[run_id] for run_id in cells.loc[fits, "run_id"])
    return Suggestion(
        target, budget, ranked, chosen, None, None, notes=(f"No ranking yet, the cheapest first: {why}.",)
    )


def _noise(design: "Design") -> str:
    noise = design.noise
    return (
        f"a model is off the law by {noise.misfit:.1%}, seeds of one model differ by {noise.seeds:.1%} ({noise.source})"
    )


def _notes(design: "Design", reached: "Design", bought: "pd.DataFrame", table: "pd.DataFrame") -> tuple[str, ...]:
    from dit_grid.analysis.forecasting.design import MORE_SAMPLES, choose

    target, notes = design.target, []
    if bought.empty:
        notes.append(
            "Nothing within the budget is expected to narrow the interval by 1 %; a larger budget or other models may."
        )
    if (bought["kind"] == MORE_SAMPLES).any():
        notes.append("More samples are no launch: evaluate the checkpoints that exist with `dit-grid evaluate`.")
    everything = choose(design, table, float("inf"))[1].half_width
    if target.width is not None and everything > target.width:
        notes.append(
            f"All candidates together are expected to reach {target.tolerance(everything)}, "
            f"not {target.tolerance(target.width)}."
        )
    return tuple(notes)


def spec_yaml(spec: ExperimentSpec, runs: Sequence[AnyRun], comment: str) -> str:
    """Return a spec of exactly these runs, ids unchanged, with the store of `spec`; what all share stands once."""
    trees = [tree(run) for run in runs]
    shared = {key: value for key, value in trees[0].items() if all(one.get(key) == value for one in trees)}
    models = [one.get("model", {}) for one in trees]
    network = {k: v for k, v in models[0].items() if k != "size" and all(model.get(k) == v for model in models)}
    for one in trees:
        for key in shared:
            one.pop(key)
    if any("model" in one for one in trees):
        for one in trees:
            one["model"] = {key: value for key, value in one["model"].items() if key not in network}
        shared["model"] = network
    head = {"name": spec.name, "store": spec.store, "plan": spec.plan.model_dump(mode="json", exclude_none=True)}
    if cluster := spec.cluster.model_dump(mode="json", exclude_defaults=True):
        head["cluster"] = cluster
    body = yaml.safe_dump(
        head | shared | {"runs": trees}, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110
    )
    return "".join(f"# {line}\n".replace("# \n", "#\n") for line in comment.splitlines()) + "\n" + body
