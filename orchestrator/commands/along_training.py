"""What `forecast` prints of runs along their training: where each will end, or what longer training would bring.

The statistics are `dit_grid.analysis.curves`.
"""

from typing import TYPE_CHECKING, Any

from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from dit_grid.analysis import Results

FARTHEST = 100
"""Times its steps beyond which a run's own curve says nothing that anybody should act on."""

HEADINGS = {"run": "run_id", "model": "model", "step": "step", "of": "until", "now": "last", "predicted": "predicted",
            "95 % low": "low", "95 % high": "high", "peers": "peers"}  # fmt: skip


def along_training(results: "Results", metric: str) -> "pd.DataFrame | None":
    """Return where the runs that train will end; None where none can be told, or the metric is one that rises."""
    from dit_grid.analysis.curves import ends_of
    from dit_grid.analysis.results.frames import NotMeasuredError
    from dit_grid.analysis.tables import TableError

    try:
        found = ends_of(results, metric)
    except (TableError, NotMeasuredError):
        return None
    return None if found.empty else found


def longer_training(results: "Results", metric: str, factor: float) -> "pd.DataFrame":
    """Return what `factor` times its steps would bring each run. Raises RequestError where no run can tell."""
    from dit_grid.analysis.curves import ends_of

    if not 1 < factor <= FARTHEST:
        raise RequestError(f"--longer {factor:g}: give a number above 1 and up to {FARTHEST}, as 2 for twice the steps")
    found = ends_of(results, metric, factor)
    if found.empty:
        raise RequestError(
            f"--longer {factor:g}: no run of {results.where} has two evaluations of {metric} before that end; set "
            "evaluate.every to a part of the steps"
        )
    return found


def rows_of(ends: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows as plain values."""
    plain = ends.astype(object).where(ends.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def print_along(ends: "pd.DataFrame", metric: str, factor: float = 1.0) -> None:
    """Print a line a run, and how to read it."""
    from dit_grid.orchestrator.screen.prose import print_text
    from dit_grid.orchestrator.screen.tables import print_rows

    of = "at their end" if factor == 1 else f"after {factor:g} times their steps"
    print_text(f"{metric} of runs along training, {of}; 95 % intervals of one new run")
    print_rows(HEADINGS, rows_of(ends))
    alone = int((ends["peers"] == 0).sum())
    if alone:
        print_text(
            f"  {alone} of {len(ends)} rest on their own curve alone: no run of their recipe has ended there. Believe "
            "the interval, not the value."
        )
