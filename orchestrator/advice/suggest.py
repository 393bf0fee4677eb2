"""What to run next: candidates of a spec, and models beyond it where those teach nothing, ranked by what they teach.

The ranking is `dit_grid.analysis.forecasting.design`, prices are `plan`'s; nothing is started here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dit_grid.experiments.spec import AnyRun, ExperimentSpec
from dit_grid.orchestrator.advice.budgets import UNITS, Budget, priced_text
from dit_grid.orchestrator.advice.candidate_table import candidate_table
from dit_grid.orchestrator.advice.candidates import settled
from dit_grid.orchestrator.advice.suggestion_notes import BEYOND, notes_of
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Results
    from dit_grid.analysis.forecasting.design import Design
    from dit_grid.analysis.forecasting.target import Target


@dataclass(frozen=True)
class Suggestion:
    """Candidates best first (`candidates`, with `bought` numbering those within the budget), and what they would do.

    Without an amount in the budget the best one is bought. `now` and `then` are half-widths of the target's interval,
    None where no law can be fitted yet. `runs` are the bought ones that a launch can do; `notes` says why there is no
    ranking, what cannot be launched, and what it would take to know the target better.
    """

    target: "Target"
    budget: Budget
    candidates: "pd.DataFrame"
    runs: tuple[AnyRun, ...]
    now: float | None
    then: float | None
    noise: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def teaches(self) -> bool:
        """Whether any candidate alone is expected to narrow the interval by the share that makes it worth its price."""
        from dit_grid.analysis.forecasting.design import is_worth

        now, after = self.now, self.candidates["width_after"].dropna()
        return now is None or any(is_worth(now, width) for width in after)


def suggest(
    spec: ExperimentSpec, results: "Results", target: "Target", budget: Budget | None, metric: str,
    models: Sequence[str] = (),
) -> Suggestion:  # fmt: skip
    """Return the candidates ranked by expected narrowing of the target's interval per unit of the budget.

    Without a budget the unit is the first of dollars, hours and compute in which all have a price. Where `models` names
    none, and the spec's own runs teach nothing or are done, models beyond it are candidates as well.

    Raises RequestError where the spec has no price for the budget's unit, and what `design_for` raises but for too few
    models: then the cells come cheapest first.
    """
    from dit_grid.analysis.forecasting.design import NEW_MODEL

    table, runs = candidate_table(spec, results, target, metric, models)
    if (table["kind"] == NEW_MODEL).any():
        found = _ranked(spec, results, target, budget, metric, table, runs)
        if models or found.teaches:
            return found
    beyond = [] if models else _beyond(results, target, metric)
    if beyond:
        table, runs = candidate_table(spec, results, target, metric, beyond)
    found = _ranked(spec, results, target, budget, metric, table, runs)
    return replace(found, notes=(BEYOND, *found.notes)) if beyond else found


def _what_became_of_it(spec: ExperimentSpec, results: "Results") -> str:
    """Say of a spec with nothing left why that is: how many of its runs are done, and how many are out otherwise."""
    over = settled(spec, results)
    counts = Counter(over[run.id] for run in spec.runs if run.id in over)
    if set(counts) <= {"done"}:
        return "every run is done"
    said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    return f"no run is left ({said}{'; `dit-grid logs RUN` says why one failed' if counts['failed'] else ''})"


def _beyond(results: "Results", target: "Target", metric: str) -> list[str]:
    """Models outside the grid that could be run, named; none before there is a law."""
    from dit_grid.analysis import law
    from dit_grid.analysis.forecasting.next_models import new_models
    from dit_grid.analysis.results.frames import NotMeasuredError

    try:
        measured = law(results, metric).points["model"]
    except NotMeasuredError:
        return []
    return [name for name in new_models(results, list(measured)) if name != target.model]


def _ranked(
    spec: ExperimentSpec, results: "Results", target: "Target", budget: Budget | None, metric: str,
    table: "pd.DataFrame", runs: Mapping[str, AnyRun],
) -> Suggestion:  # fmt: skip
    import pandas as pd

    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.forecasting.design import (
        MORE_SAMPLES,
        NEW_MODEL,
        best_for_its_price,
        choose,
        design_for,
        rank,
    )
    from dit_grid.analysis.results.frames import NotMeasuredError

    budget = budget or Budget(None, _unit(table))
    if table.empty:
        raise RequestError(
            f"{spec.file}: {_what_became_of_it(spec, results)} and no other model or seed belongs to its law; name "
            "models with --models"
        )
    table["cost"] = _costs(table, budget, spec)
    try:
        design = design_for(results, target, metric, _region(target, table))
    except (CannotFitError, NotMeasuredError) as error:
        if not (table["kind"] == NEW_MODEL).any():
            raise RequestError(
                f"{spec.file}: {_what_became_of_it(spec, results)}, and there is no law: {error}"
            ) from error
        return _cheapest_first(table, runs, target, budget, str(error))
    if not design.noise.sampling:
        table = table[table["kind"] != MORE_SAMPLES].reset_index(drop=True)
    amount = budget.amount
    bought, reached = best_for_its_price(design, table) if amount is None else choose(design, table, amount)
    order = {place: number for number, place in enumerate(bought, 1)}
    ranked = rank(design, table.assign(bought=pd.Series(order, dtype=float).reindex(range(len(table)))))
    launched = [runs[table["run_id"].iloc[place]] for place in bought if table["run_id"].iloc[place] in runs]
    notes = notes_of(design, budget, table, bought, ranked)
    return Suggestion(
        target, budget, ranked, tuple(launched), design.half_width, reached.half_width, _noise(design), notes
    )


def _unit(table: "pd.DataFrame") -> str:
    return next((unit for unit in UNITS.values() if len(table) and table[unit].notna().all()), "flops")


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


def _costs(table: "pd.DataFrame", budget: Budget, spec: ExperimentSpec) -> "pd.Series":
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
    fits = cells["cost"].cumsum() <= budget.amount if budget.amount is not None else cells.index == 0
    ranked = cells.assign(bought=(cells.index + 1.0).where(fits), width_after=None, narrows=None, per_cost=None)
    chosen = tuple(runs[run_id] for run_id in cells.loc[fits, "run_id"])
    notes = [f"No ranking yet, the cheapest first: {why}."]
    if len(cells) and not chosen:
        first = cells.iloc[0]
        notes.append(f"The cheapest, {first['model']}, takes {priced_text(first['cost'], budget.unit)}.")
    return Suggestion(target, budget, ranked, chosen, None, None, notes=tuple(notes))


def _noise(design: "Design") -> str:
    noise = design.noise
    return (
        f"a model is off the law by {noise.misfit:.1%}, seeds of one model differ by {noise.seeds:.1%} ({noise.source})"
    )
