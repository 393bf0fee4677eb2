"""What to run next as a page says it: the candidates that teach most for their price, whatever the budget.

The ranking is `suggest`; here is which runs it is asked about, and in which words it answers.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.experiments.spec.any_run import run_from
from dit_grid.model.accounting import FLOPS_PER_MAC
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    from dit_grid.analysis import Results
    from dit_grid.analysis.report.next_runs import NextRuns

SHOWN = 6
"""Candidates on the page."""

ASKED = 48
"""Runs of the spec that are looked at; of a larger grid as many evenly chosen ones."""

UNITS = (("d", 1 / 24, 3.0), ("h", 1.0, 2.0), ("min", 60.0, 2.0), ("s", 3600.0, 0.0))
"""Units of time, and from how many of them on they are used."""

WRITTEN = " -o next.yaml && dit-grid launch next.yaml"
"""What is added to the question where it has an answer: `-o` with nothing to write is refused."""

LITTLE = 1e-9
"""A budget that buys nothing: candidates are ranked one by one, without reckoning what to buy together."""


def next_runs(results: "Results", spec: ExperimentSpec | None) -> "NextRuns":
    """The best next runs of a spec, or without one of the runs that the store records; or why there are none."""
    from dit_grid.analysis import main_metric
    from dit_grid.analysis.fits import CannotFitError
    from dit_grid.analysis.forecasting.target import parse_target
    from dit_grid.analysis.report.next_runs import NextRuns
    from dit_grid.analysis.results.frames import NotMeasuredError
    from dit_grid.orchestrator.advice.suggest import Budget, suggest

    metric = main_metric(set(results.evals["metric"]))
    asked = _few(spec or _recorded(results))
    if metric is None or not asked.runs:
        return NextRuns("Nothing was measured yet; what to run next is known once there is a law.")
    for unit in ("usd", "hours", "flops"):
        try:
            found = suggest(asked, results, parse_target("exponent"), Budget(LITTLE, unit), metric)
        except (RequestError, CannotFitError, NotMeasuredError) as error:
            said = str(error)
            continue
        return _told(found, metric, spec)
    return NextRuns(f"Nothing is suggested: {said}")


def _recorded(results: "Results") -> ExperimentSpec:
    """A spec of the runs in the store; of other programs' runs, which nobody here can launch, there are none."""
    import json

    runs = []
    for text in results.runs["spec"]:
        try:
            runs.append(run_from(json.loads(text)))
        except (ValueError, TypeError):
            continue
    return ExperimentSpec(name="recorded", store=results.where, runs=tuple(runs), file=results.where)


def _few(spec: ExperimentSpec) -> ExperimentSpec:
    from dit_grid.analysis.figures.style import few

    return spec.model_copy(update={"runs": tuple(few(spec.runs, ASKED))})


def _told(found: Any, metric: str, spec: ExperimentSpec | None) -> "NextRuns":
    from dit_grid.analysis.forecasting.design import WORTH
    from dit_grid.analysis.report.next_runs import NextRuns

    rows = found.candidates.head(SHOWN).to_dict("records")
    cells = tuple((_what(row), _after(row, found.target), *_price(row)) for row in rows)
    titles = ("run", f"{found.target.name} then known to", "time", "price, USD", "compute, GMACs")
    empty = [k for k in range(len(titles)) if not any(row[k] for row in cells)]
    kept = [k for k in range(len(titles)) if k not in empty]
    now = f"now {found.target.tolerance(found.now)} (95 %)" if found.now is not None else "not known yet"
    said = f"The {found.target.name} of {metric} is {now}. Each run by itself, the most narrowing for its price first:"
    teaches = _teaches(found, rows, WORTH)
    noise = f"Noise: {found.noise}."
    nothing = "None of them narrows it by 1 %: other models would, larger ones or of patch sizes between."
    notes = ((noise if teaches else nothing),) if found.now is not None else found.notes
    where = spec.file if spec is not None else "SPEC.yaml"
    advice = NextRuns(said if cells else "No run is left that belongs to this law.", notes=notes)
    return replace(
        advice,
        titles=tuple(titles[k] for k in kept),
        rows=tuple(tuple(row[k] for k in kept) for row in cells),
        command=f"dit-grid suggest {where} --budget 1h" + (WRITTEN if teaches else ""),
    )


def _teaches(found: Any, rows: list[dict[str, Any]], least: float) -> bool:
    """Whether any of the runs is expected to narrow the interval by that share; one not known yet all do."""
    after = [row["width_after"] for row in rows if row.get("width_after") is not None]
    return found.now is None or not after or min(after) <= (1 - least) * found.now


def _what(row: dict[str, Any]) -> str:
    seed = row.get("run_seed")
    return f"{row['kind']}: {row['model']}" + ("" if seed is None or seed != seed else f" seed {seed:.0f}")


def _after(row: dict[str, Any], target: Any) -> str:
    width = row.get("width_after")
    return "" if width is None or not abs(width) < float("inf") else str(target.tolerance(width))


def _price(row: dict[str, Any]) -> tuple[str, str, str]:
    """Hours, money and compute of what is left of the run, each empty where it is not known."""
    hours, usd, flops = (row.get(name) for name in ("hours", "usd", "flops"))
    gmacs = None if flops is None else flops / FLOPS_PER_MAC / 1e9
    return _duration(hours), _known(usd, "{:,.2f}"), _known(gmacs, "{:,.3g}" if gmacs and gmacs < 1e3 else "{:,.0f}")


def _known(value: float | None, form: str) -> str:
    return "" if value is None or value != value else form.format(value)


def _duration(hours: float | None) -> str:
    if hours is None or hours != hours:
        return ""
    return next(f"{hours * per:.2g} {unit}" for unit, per, least in UNITS if hours * per >= least or unit == "s")
