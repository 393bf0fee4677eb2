"""What to run next as a page says it: the candidates that teach most for their price, whatever the budget.

The ranking is `suggest`; here is which runs it is asked about, and in which words it answers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.model.accounting import FLOPS_PER_MAC
from dit_grid.orchestrator.advice.budgets import duration, gmacs_text
from dit_grid.orchestrator.advice.candidates import recorded_spec
from dit_grid.orchestrator.advice.suggestion_notes import candidate_text
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    from dit_grid.analysis import Results
    from dit_grid.analysis.report.next_runs import NextRuns
    from dit_grid.orchestrator.advice.suggest import Suggestion

SHOWN = 6
"""Candidates on the page."""

ASKED = 48
"""Runs of the spec that are looked at; of a larger grid as many evenly chosen ones."""

WRITTEN = " -o next.yaml && dit-grid launch next.yaml"
"""What is added to the question where it has an answer: `-o` with nothing to write is refused."""


def next_runs(results: "Results", spec: ExperimentSpec | None) -> "NextRuns":
    """The best next runs of a spec, or without one of the runs that the store records; or why there are none."""
    from dit_grid.analysis import main_metric
    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.forecasting.target import parse_target
    from dit_grid.analysis.report.next_runs import NextRuns
    from dit_grid.analysis.results.frames import NotMeasuredError
    from dit_grid.orchestrator.advice.suggest import suggest

    metric = main_metric(set(results.evals["metric"]))
    asked = _few(spec or recorded_spec(results))
    if metric is None:
        return NextRuns("Nothing was measured yet; what to run next is known once there is a law.")
    if not asked.runs:
        return NextRuns("This store does not say of which spec its runs are; name the spec in place of the store.")
    try:
        found = suggest(asked, results, parse_target("exponent"), None, metric)
    except (RequestError, CannotFitError, NotMeasuredError) as error:
        return NextRuns(f"Nothing is suggested: {error}")
    return _told(found, metric, spec.file if spec is not None else results.where)


def _few(spec: ExperimentSpec) -> ExperimentSpec:
    from dit_grid.analysis.figures.style import few

    return spec.model_copy(update={"runs": tuple(few(spec.runs, ASKED))})


def _told(found: "Suggestion", metric: str, where: str) -> "NextRuns":
    from dit_grid.analysis.report.next_runs import NextRuns

    rows: list[dict[Any, Any]] = found.candidates.head(SHOWN).to_dict("records")
    cells = tuple((candidate_text(row), _after(row, found.target), *_price(row)) for row in rows)
    titles = ("run", f"{found.target.name} then known to", "time", "price, USD", "compute, GMACs")
    kept = [k for k in range(len(titles)) if any(row[k] for row in cells)]
    now = f"now {found.target.tolerance(found.now)} (95 %)" if found.now is not None else "not known yet"
    said = f"The {found.target.name} of {metric} is {now}. Each run by itself, the most narrowing for its price first:"
    notes = found.notes if found.now is None or not found.teaches else (*found.notes, f"Noise: {found.noise}.")
    return NextRuns(
        said if cells else "No run is left that belongs to this law.",
        titles=tuple(titles[k] for k in kept),
        rows=tuple(tuple(row[k] for k in kept) for row in cells),
        notes=notes,
        command=f"dit-grid suggest {where}" + (WRITTEN if found.runs else ""),
    )


def _after(row: dict[Any, Any], target: Any) -> str:
    width = row.get("width_after")
    return "" if width is None or not abs(width) < float("inf") else str(target.tolerance(width))


def _price(row: dict[Any, Any]) -> tuple[str, str, str]:
    """Hours, money and compute of what is left of the run, each empty where it is not known."""
    hours, usd, flops = (row.get(name) for name in ("hours", "usd", "flops"))
    gmacs = None if flops is None else flops / FLOPS_PER_MAC / 1e9
    return _known(hours, duration), _known(usd, "{:,.2f}".format), _known(gmacs, gmacs_text)


def _known(value: float | None, words: Callable[[float], str]) -> str:
    return "" if value is None or value != value else words(value)
