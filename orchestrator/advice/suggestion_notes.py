"""What stands below a ranking of next runs: what cannot be launched, the best there is, and what it would take.

The ranking is `suggest`, its statistics `dit_grid.analysis.forecasting.design`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.advice.budgets import Budget, priced_text

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis.forecasting.design import Design

BEYOND = "No run left of the grid narrows it by 1 %; models beyond the grid are candidates too."


def candidate_text(row: Mapping[Any, Any]) -> str:
    """Return what a row of the ranking is, e.g. another seed: S/8 seed 2."""
    seed = row.get("run_seed")
    return f"{row['kind']}: {row['model']}" + ("" if seed is None or seed != seed else f" seed {seed:.0f}")


def notes_of(
    design: "Design", budget: Budget, table: "pd.DataFrame", bought: Sequence[int], ranked: "pd.DataFrame"
) -> tuple[str, ...]:
    """Return the lines; `bought` has rows of `table`, whose `cost` is in the budget's unit; `ranked` best first."""
    from dit_grid.analysis.forecasting.design import MORE_SAMPLES

    return (
        *_bought_nothing(design, budget, ranked, bought),
        *_more_samples(MORE_SAMPLES in set(table["kind"].iloc[list(bought)])),
        *_what_it_takes(design, budget, table, bought),
    )


def _bought_nothing(design: "Design", budget: Budget, ranked: "pd.DataFrame", bought: Sequence[int]) -> Iterator[str]:
    """Say that nothing is worth it, and the best of that."""
    if bought:
        return
    within = "of them" if budget.amount is None else "within the budget"
    yield f"Nothing {within} is expected to narrow the interval by 1 %."
    best = ranked.to_dict("records")[0]
    if 0 < best["width_after"] < design.half_width:
        price = priced_text(best["cost"], budget.unit)
        yield (f"The best for its price, {candidate_text(best)}, would leave "
               f"{design.target.tolerance(best['width_after'])} and take {price}.")  # fmt: skip


def _more_samples(are_bought: bool) -> Iterator[str]:
    if are_bought:
        yield "More samples are no launch: evaluate the checkpoints that exist with `dit-grid evaluate`."


def _what_it_takes(design: "Design", budget: Budget, table: "pd.DataFrame", bought: Sequence[int]) -> Iterator[str]:
    """Say what the width that was asked for takes, or else what all candidates that are worth it would leave."""
    from dit_grid.analysis.forecasting.design import choose, needed_for

    target = design.target
    chosen, everything = choose(design, table, float("inf"))
    all_cost = priced_text(float(table["cost"].iloc[chosen].sum()), budget.unit)
    if target.width is not None and everything.half_width > target.width:
        yield (f"All candidates together are expected to reach {target.tolerance(everything.half_width)}, "
               f"not {target.tolerance(target.width)}.")  # fmt: skip
    elif target.width is not None and (needed := needed_for(design, table, target.width)):
        price = priced_text(float(table["cost"].iloc[needed].sum()), budget.unit)
        yield f"{target.tolerance(target.width)} takes {counted(len(needed), 'run')}: {price}."
    elif len(chosen) > len(bought):
        left = target.tolerance(everything.half_width)
        yield f"All {len(chosen)} that are worth it would leave {left} and take {all_cost}."
